"""Training and search speed on a GPU, compared with plain Keras and PyTorch.

    python -m benchmarks.gpu OUT all --torch PYTHON   # the tests and everything below
    python -m benchmarks.gpu OUT training search
    python -m benchmarks.gpu OUT tables

Each system trains on the same 30 batches, pass after pass. The result is the median time of a pass.
TensorFloat-32 is used where the framework uses it by default. "data" measures the rate of
`make_dataset`, "accuracy" the share of right dates after training in each precision, and "export"
the time of the exports. "torch" needs an environment with PyTorch. OUT is a file with one JSON
object per line. `all` runs each part in a separate process and continues after a part that fails.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
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
RUNS = (
    ("keras_s2s", "float32"),
    ("Keras 3", "float32"),
    ("keras_s2s", "bfloat16"),
    ("keras_s2s", "float16"),
    ("Keras 3", "float16"),
    ("keras_s2s, attention, dropout", "float32"),
)
SEARCH_BATCHES = (1, 32, 512)
SEARCH_SYSTEMS = ("keras_s2s", "yardstick", "keras_s2s XLA")
PARTS = ("training", "search", "torch", "accuracy", "export", "data")


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
        for system, precision in RUNS:
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
    from benchmarks.training_torch import make_system

    for name, workload in WORKLOADS.items():
        for precision in ("float32", "bfloat16"):
            for scale in SCALES:
                sizes = workload._replace(batch_size=scale * workload.batch_size)
                run = make_system(
                    "PyTorch, padded",
                    sizes,
                    make_batches(sizes, NUM_BATCHES),
                    POLICIES[precision],
                    device=device,
                    fused=True,
                )
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


def accuracy(keep_figure: Callable[[str, float], None]) -> None:
    """Train a model of dates in each precision, and measure the share of right validation dates."""
    import keras

    import keras_s2s as s2s

    days = [datetime.date(1990, 1, 1) + datetime.timedelta(day) for day in range(20_000)]
    random.Random(0).shuffle(days)
    pairs = [(f"{day:%A, %d %B %Y}", day.isoformat()) for day in days]
    source = s2s.CharTokenizer.train(text for text, _ in pairs)
    target = s2s.CharTokenizer.train(text for _, text in pairs)
    train_pairs, held_out = pairs[:-500], pairs[-500:]
    for precision, policy in POLICIES.items():
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(policy)
        model = s2s.Seq2Seq(
            s2s.LSTMEncoder(source.vocabulary_size, 128, bidirectional=True),
            s2s.LSTMDecoder(target.vocabulary_size, 128, attention="luong"),
        )
        model.compile(s2s.FusedAdam(0.003, global_clipnorm=1.0), loss=s2s.SequenceLoss())
        dataset = s2s.make_dataset(train_pairs, source, target, batch_size=64, shuffle=True, seed=0)
        start = time.perf_counter()
        model.fit(dataset, epochs=3, verbose=0)
        keep_figure(f"seconds of three epochs of dates, {precision}", time.perf_counter() - start)
        outputs = s2s.Translator(model, source, target).translate([text for text, _ in held_out])
        right = sum(output == date for output, (_, date) in zip(outputs, held_out, strict=True))
        keep_figure(f"right dates of {len(held_out)}, {precision}", right)
    keras.config.set_dtype_policy("float32")


def export(keep_figure: Callable[[str, float], None]) -> None:
    """Measure the seconds of both exports of a model, with a GPU if one is visible."""
    import tensorflow as tf

    import keras_s2s as s2s

    place = "with" if tf.config.list_physical_devices("GPU") else "without"
    texts = ["ab cd", "abcdefgh"]
    tokenizer = s2s.CharTokenizer.train(texts)
    size = tokenizer.vocabulary_size
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(size, 256, num_layers=2),
        s2s.LSTMDecoder(size, 256, num_layers=2, attention="luong"),
    )
    model.compile("adam", loss=s2s.SequenceLoss())
    model.fit(s2s.make_dataset([(it, it) for it in texts], tokenizer, tokenizer), verbose=0)
    translator = s2s.Translator(model, tokenizer, tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        s2s.export.saved_model(translator, f"{folder}/saved_model")
        middle = time.perf_counter()
        s2s.export.litert(translator, f"{folder}/model.tflite")
        end = time.perf_counter()
    keep_figure(f"seconds to export a SavedModel {place} a GPU", middle - start)
    keep_figure(f"seconds to export LiteRT {place} a GPU", end - middle)


def data(keep_figure: Callable[[str, float], None]) -> None:
    """Measure the target tokens per second of `make_dataset`."""
    import keras_s2s as s2s
    from keras_s2s.models.batches import count_cores

    rng = random.Random(0)
    texts = ["".join(rng.choices("abcdefghij", k=rng.randint(4, 12))) for _ in range(200_000)]
    pairs = [(text, " ".join(text)) for text in texts]
    source = s2s.CharTokenizer.train(text for text, _ in pairs)
    target = s2s.WordTokenizer.train(text for _, text in pairs)
    tokens = sum(len(text) + 1 for text in texts)  # with eos
    for batch in (128, 1024):
        dataset = s2s.make_dataset(pairs, source, target, batch_size=batch, shuffle=True, seed=0)

        def run(dataset: Any = dataset) -> None:
            for _ in dataset:
                pass

        rate = tokens / measure(run, passes=3)
        keep_figure(
            f"target tokens per second of make_dataset, batch {batch}, {count_cores()} cores", rate
        )


def measure_all(arguments: argparse.Namespace) -> None:
    """Run the tests marked `gpu` and all parts, each in a separate process."""
    start = time.monotonic()
    gpu = {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0")}
    cpu = {"CUDA_VISIBLE_DEVICES": "-1"}
    program = ["-m", "benchmarks.gpu", arguments.out]
    tests = ["-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    commands = [([sys.executable, *tests], gpu)]
    for part in PARTS:
        python = arguments.torch if part == "torch" else sys.executable
        if python:
            commands.append(([python, *program, part], gpu))
    commands.append(([sys.executable, *program, "export"], cpu))
    for command, environment in commands:
        ended = subprocess.run(command, env=os.environ | environment, check=False).returncode
        name = " ".join(command[1:])
        print(f"{time.monotonic() - start:.0f} s: {name} ended with {ended}", flush=True)


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
    lines += ["", "| other | |", "|---|---|"]
    lines += [f"| {it['what']} | {it['value']:,.1f} |" for it in kept if it["part"] == "other"]
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
    parser.add_argument("parts", nargs="+", choices=("all", *PARTS, "tables"))
    parser.add_argument("--device", default="cuda", help="device of PyTorch")
    parser.add_argument("--torch", metavar="PYTHON", help="Python of an environment with PyTorch")
    parser.add_argument(
        "--only", default="", help="measure only systems whose name contains this text"
    )
    arguments = parser.parse_args()
    name = card()

    def write(figures: dict[str, Any]) -> None:
        with open(arguments.out, "a", encoding="utf-8") as file:
            print(json.dumps(figures | {"card": name}), file=file)

    def keep(
        part: str, workload: str, batch: int, precision: str, system: str, took: float
    ) -> None:
        print(f"{part} {workload} {batch} {precision} {system}: {1000 * took:.2f} ms", flush=True)
        figures = {"part": part, "workload": workload, "batch": batch, "precision": precision}
        write(figures | {"system": system, "seconds": took})

    def keep_figure(what: str, value: float) -> None:
        print(f"{what}: {value:,.1f}", flush=True)
        write({"part": "other", "what": what, "value": value})

    for part in arguments.parts:
        if part == "all":
            measure_all(arguments)
        elif part == "training":
            train(keep, arguments.only)
        elif part == "search":
            search(keep, arguments.only)
        elif part == "torch":
            train_torch(keep, arguments.device)
            search_torch(keep, arguments.device)
        elif part == "accuracy":
            accuracy(keep_figure)
        elif part == "export":
            export(keep_figure)
        elif part == "data":
            data(keep_figure)
        if part in ("all", "tables"):
            sys.stdout.write(tables(arguments.out) + "\n")


if __name__ == "__main__":
    main()
