"""How quick training is, beside plain Keras 3 layers and PyTorch.

    python -m benchmarks.training                 # everything, about 20 minutes
    python -m benchmarks.training --workloads G --threads 1 --rounds 3

One process for each number of threads and workload; in it the systems take turns, round by round,
over the same batches. What is reported is the median over the rounds of each system's ratio to
plain Keras in the same round, so that a noisy machine disturbs all of them alike. Tokens are the
real target tokens, padding is none. PyTorch takes part where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
RESULTS = Path(__file__).parent / "results" / "training.json"


def main() -> None:
    """Measure what the command line asks for, print the tables, keep the figures."""
    arguments = _parse()
    if arguments.one:
        print(json.dumps(measure(arguments)))
        return
    figures = []
    for workload in arguments.workloads:
        for threads in arguments.threads:
            for precision in arguments.precisions:
                print(f"{workload}, {precision}, {threads} thread(s) ...", file=sys.stderr)
                figures += _run_apart(arguments, workload, threads, precision)
    print(table(figures))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Let the systems take turns in this process.

    Args:
        arguments: one workload, one number of threads, one precision, and how many batches and
            rounds.

    Returns:
        For each system its seconds and CPU seconds for each round, and what they were for.
    """
    from benchmarks import training_systems as systems

    (workload,), (threads,), (precision,) = (
        arguments.workloads,
        arguments.threads,
        arguments.precisions,
    )
    systems.use_threads(threads)
    sizes = systems.WORKLOADS[workload]
    batches = systems.make_batches(
        sizes, arguments.batches, sorted_by_length=arguments.sorted_by_length
    )
    policy = POLICIES[precision]
    entrants = [
        systems.keras_system(sizes, batches, policy),
        systems.keras_s2s_system(sizes, batches, policy),
    ]
    if importlib.util.find_spec("torch") and not arguments.without_torch:
        entrants += [
            systems.torch_system(sizes, batches, policy, packed=packed) for packed in (False, True)
        ]
    for system in entrants:
        system.train()
    seconds: dict[str, list[tuple[float, float]]] = {system.name: [] for system in entrants}
    for _ in range(arguments.rounds):
        for system in entrants:
            wall, cpu = time.perf_counter(), time.process_time()
            system.train()
            seconds[system.name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return [
        {
            "workload": workload,
            "threads": threads,
            "precision": precision,
            "system": name,
            "target_tokens": systems.count_target_tokens(batches),
            "seconds": [wall for wall, _ in rounds],
            "cpu_seconds": [cpu for _, cpu in rounds],
        }
        for name, rounds in seconds.items()
    ]


def table(figures: list[dict[str, Any]]) -> str:
    """Show the figures as a Markdown table: tokens a second, and ratios to plain Keras.

    Args:
        figures: what `measure` gave.

    Returns:
        The table.
    """
    lines = [
        "| workload | precision | threads | system | tokens/s | tokens/CPU-s | against Keras 3 |",
        "|---|---|---|---|---|---|---|",
    ]
    for figure in figures:
        same = [
            other
            for other in figures
            if other["system"] == "Keras 3"
            and all(other[key] == figure[key] for key in ("workload", "precision", "threads"))
        ]
        ratio = statistics.median(
            yardstick / own
            for yardstick, own in zip(same[0]["seconds"], figure["seconds"], strict=True)
        )
        tokens = figure["target_tokens"]
        lines.append(
            f"| {figure['workload']} | {figure['precision']} | {figure['threads']} "
            f"| {figure['system']} | {tokens / statistics.median(figure['seconds']):.0f} "
            f"| {tokens / statistics.median(figure['cpu_seconds']):.0f} | {ratio:.2f} |"
        )
    return "\n".join(lines)


def _run_apart(
    arguments: argparse.Namespace, workload: str, threads: int, precision: str
) -> list[dict[str, Any]]:
    """Measure in a process of its own, because threads are set once for a process."""
    command = [sys.executable, "-m", "benchmarks.training", "--one"]
    command += ["--workloads", workload, "--threads", str(threads), "--precisions", precision]
    command += ["--batches", str(arguments.batches), "--rounds", str(arguments.rounds)]
    for flag in ("without_torch", "sorted_by_length"):
        command += [f"--{flag.replace('_', '-')}"] if getattr(arguments, flag) else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return list(json.loads(done.stdout.splitlines()[-1]))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workloads", nargs="+", choices=("G", "T"), default=["G", "T"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--precisions", nargs="+", choices=tuple(POLICIES), default=list(POLICIES))
    parser.add_argument("--batches", type=int, default=20, help="a round is one pass over these")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-torch", action="store_true")
    parser.add_argument(
        "--sorted-by-length",
        action="store_true",
        help="batches as make_dataset gives them, not out of two buckets",
    )
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
