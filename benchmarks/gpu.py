"""Training and search speed on a GPU, compared with plain Keras and PyTorch.

    python -m benchmarks.gpu OUT training search   # with TensorFlow
    python -m benchmarks.gpu OUT torch             # with PyTorch, in an environment of its own
    python -m benchmarks.gpu OUT tables

Each system trains on the same 30 batches, pass after pass. The result is the median time of a pass.
TensorFloat-32 is used where the framework uses it by default. OUT is a file with one JSON object
per line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.search_sizes import WORKLOADS as SEARCHES
from benchmarks.training_data import WORKLOADS, make_batches

NUM_BATCHES = 30
PASSES = 5
SCALES = (1, 8)  # factors for the batch sizes of the workloads
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
# In an order that measures systems to compare close together in time.
TRAININGS = (
    ("keras_s2s", "float32"),
    ("Keras 3", "float32"),
    ("keras_s2s", "bfloat16"),
    ("keras_s2s", "float16"),
    ("Keras 3", "float16"),
    ("keras_s2s, attention, dropout", "float32"),
)
SEARCH_BATCHES = (1, 32, 512)
SEARCH_SYSTEMS = ("keras_s2s", "yardstick", "keras_s2s XLA")


def measure(run: Callable[[], Any], passes: int = PASSES) -> float:
    """Return the median seconds of a call, after one untimed call."""
    run()
    seconds = []
    for _ in range(passes):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def train(keep: Callable[..., None], only: str) -> None:
    """Measure training with TensorFlow."""
    from benchmarks import training_systems as systems

    for name, workload in WORKLOADS.items():
        for system, precision in TRAININGS:
            if only not in system:
                continue
            model = systems.MODELS[system](workload, POLICIES[precision])
            for scale in SCALES:
                sizes = workload._replace(batch_size=scale * workload.batch_size)
                run = systems.train_by_fit(model, make_batches(sizes, NUM_BATCHES))
                took = measure(run) / NUM_BATCHES
                keep("training", name, sizes.batch_size, precision, system, took)


def train_torch(keep: Callable[..., None], device: str) -> None:
    """Measure training with PyTorch: padded `nn.LSTM`, fused Adam, autocast for 16 bits."""
    import numpy as np
    import torch

    from benchmarks.training_torch import TorchSeq2Seq, train_step

    for name, workload in WORKLOADS.items():
        for precision in ("float32", "bfloat16"):
            for scale in SCALES:
                sizes = workload._replace(batch_size=scale * workload.batch_size)
                model = TorchSeq2Seq(sizes, packed=False).to(device)
                optimizer = torch.optim.Adam(model.parameters(), lr=0.001, fused=True)
                batches = [
                    [torch.from_numpy(it.astype(np.int64)) for it in (*inputs.values(), labels)]
                    for inputs, labels in make_batches(sizes, NUM_BATCHES)
                ]

                def run(
                    model: Any = model,
                    optimizer: Any = optimizer,
                    batches: Any = batches,
                    bfloat16: bool = precision == "bfloat16",
                ) -> None:
                    for batch in batches:
                        on_device = [it.to(device, non_blocking=True) for it in batch]
                        source_ids, target_inputs, labels = on_device
                        train_step(
                            model, optimizer, source_ids, target_inputs, labels, bfloat16, device
                        )
                    if device == "cuda":
                        torch.cuda.synchronize()

                took = measure(run) / NUM_BATCHES
                keep("training", name, sizes.batch_size, precision, "PyTorch", took)


def search(keep: Callable[..., None], only: str) -> None:
    """Measure search with TensorFlow."""
    from benchmarks.search_tensorflow import SYSTEMS

    for system in SEARCH_SYSTEMS:
        for name, sizes in SEARCHES.items():
            for batch in SEARCH_BATCHES:
                if only in system:
                    took = measure(SYSTEMS[system](sizes, batch), passes=3)
                    keep("search", name, batch, "float32", system, took)


def search_torch(keep: Callable[..., None], device: str) -> None:
    """Measure search with PyTorch, all rows in one batch."""
    import torch

    from benchmarks.search_torch import SYSTEMS

    torch.set_default_device(device)
    for name, sizes in SEARCHES.items():
        for batch in SEARCH_BATCHES:
            run = SYSTEMS["PyTorch"](sizes, batch)

            def search_and_wait(run: Callable[[], Any] = run) -> None:
                run().cpu()

            took = measure(search_and_wait, passes=3)
            keep("search", name, batch, "float32", "PyTorch", took)


def tables(path: str) -> str:
    """Format the results as Markdown tables in milliseconds."""
    lines_kept = Path(path).read_text(encoding="utf-8").splitlines()
    kept = [json.loads(line) for line in lines_kept]
    lines: list[str] = []
    for part in ("training", "search"):
        rows = [it for it in kept if it["part"] == part]
        columns = list(dict.fromkeys((it["workload"], it["batch"]) for it in rows))
        lines += ["", f"| {part}, ms | " + " | ".join(f"{w}, {b}" for w, b in columns) + " |"]
        lines += ["|---" * (1 + len(columns)) + "|"]
        for system in dict.fromkeys((it["system"], it["precision"]) for it in rows):
            found = {
                (it["workload"], it["batch"]): it["seconds"]
                for it in rows
                if (it["system"], it["precision"]) == system
            }
            cells = [f"{1000 * found[c]:.2f}" if c in found else "–" for c in columns]
            lines.append(f"| {system[0]}, {system[1]} | " + " | ".join(cells) + " |")
    cards = dict.fromkeys(it["card"] for it in kept)
    return "\n".join([f"Card: {', '.join(cards)}", *lines])


def card() -> str:
    """Return the name of the GPU."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "no GPU"


def main() -> None:
    """Measure the parts named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", help="file to append figures to")
    parser.add_argument("parts", nargs="+", choices=("training", "search", "torch", "tables"))
    parser.add_argument("--device", default="cuda", help="device of PyTorch")
    parser.add_argument(
        "--only", default="", help="measure only systems whose name contains this text"
    )
    arguments = parser.parse_args()
    name = card()

    def keep(
        part: str, workload: str, batch: int, precision: str, system: str, took: float
    ) -> None:
        figures = {"part": part, "workload": workload, "batch": batch, "precision": precision}
        figures |= {"system": system, "seconds": took, "card": name}
        print(f"{part} {workload} {batch} {precision} {system}: {1000 * took:.2f} ms", flush=True)
        with open(arguments.out, "a", encoding="utf-8") as file:
            print(json.dumps(figures), file=file)

    for part in arguments.parts:
        if part == "training":
            train(keep, arguments.only)
        elif part == "search":
            search(keep, arguments.only)
        elif part == "torch":
            train_torch(keep, arguments.device)
            search_torch(keep, arguments.device)
        else:
            sys.stdout.write(tables(arguments.out) + "\n")


if __name__ == "__main__":
    main()
