"""Training speed, compared with plain Keras 3 layers and PyTorch.

    python -m benchmarks.training --torch PYTHON  # everything, about 20 minutes
    python -m benchmarks.training --workloads G --threads 1 --rounds 3
    python -m benchmarks.training --systems "Keras 3" "keras_s2s, luong" "keras_s2s, bahdanau"

Each system is a separate process with the threads that suit it best. The systems take turns, round
by round, over the same batches. The result is the median over the rounds of each system's ratio to
the first system, plain Keras, in the same round, so that noise on the machine affects all systems
alike. Token counts are real target tokens without padding. The memory of a process is its peak,
including that of its libraries. PyTorch is measured with the
PYTHON of an environment that has it: TensorFlow and PyTorch cannot be loaded into one process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, cast

from benchmarks.export_worker import most_memory

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
TORCH = ("PyTorch, padded", "PyTorch, packed encoder")
RESULTS = Path(__file__).parent / "results" / "training.json"


def main() -> None:
    """Run the requested benchmarks, print the tables and save the results."""
    arguments = _parse()
    if arguments.system:
        work(arguments)
        return
    from benchmarks.machine import describe_machine, write_results  # imports TensorFlow
    from keras_s2s.layers.products import has_bfloat16

    precisions = arguments.precisions or ["float32", *(["bfloat16"] if has_bfloat16() else [])]
    figures = []
    for workload in arguments.workloads:
        for threads in arguments.threads:
            for precision in precisions:
                print(f"{workload}, {precision}, {threads} thread(s) ...", file=sys.stderr)
                figures += measure(arguments, workload, threads, precision)
    print(describe_machine(arguments.threads), table(figures), sep="\n\n")
    write_results(RESULTS, figures)


def measure(
    arguments: argparse.Namespace, workload: str, threads: int, precision: str
) -> list[dict[str, Any]]:
    """Run the systems in turn, each in a separate process.

    Args:
        arguments: Command line arguments with the number of batches and rounds.
        workload: "G" or "T".
        threads: Integer. Number of cores and threads of each system.
        precision: One of `POLICIES`.

    Returns:
        For each system, its seconds and CPU seconds per round, its peak memory, and the
        configuration.
    """
    names = arguments.systems or ["Keras 3", "keras_s2s", *(TORCH if arguments.torch else ())]
    command = ["-m", "benchmarks.training", "--workloads", workload]
    command += ["--threads", str(threads), "--precisions", precision]
    command += ["--batches", str(arguments.batches)]
    command += ["--sorted-by-length"] if arguments.sorted_by_length else []
    workers = [
        subprocess.Popen(
            [arguments.torch if name in TORCH else sys.executable, *command, "--system", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    seconds: list[list[tuple[float, float]]] = [[] for _ in workers]
    target_tokens = [_ask(worker) for worker in workers]  # warm up one after the other
    for _ in range(arguments.rounds):
        for worker, rounds in zip(workers, seconds, strict=True):
            rounds.append(_ask(worker))
    memory = [json.loads(worker.communicate()[0]) for worker in workers]
    return [
        {
            "workload": workload,
            "threads": threads,
            "precision": precision,
            "system": name,
            "target_tokens": target_tokens[0],
            "seconds": [wall for wall, _ in rounds],
            "cpu_seconds": [cpu for _, cpu in rounds],
            "memory_mb": most,
        }
        for name, rounds, most in zip(names, seconds, memory, strict=True)
    ]


def work(arguments: argparse.Namespace) -> None:
    """Run one system: train on all batches for each line of input, and print the time.

    At the end of the input, print the peak memory of the process.

    Args:
        arguments: Command line arguments with one workload, one number of threads, one precision,
            and the name of the system.
    """
    from benchmarks import training_data as data

    answers, sys.stdout = sys.stdout, sys.stderr  # libraries may print to standard output
    (workload,), (threads,), (precision,) = (
        arguments.workloads,
        arguments.threads,
        arguments.precisions,
    )
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    batches = data.make_batches(
        data.WORKLOADS[workload], arguments.batches, sorted_by_length=arguments.sorted_by_length
    )
    sizes = data.WORKLOADS[workload], batches, POLICIES[precision]
    if arguments.system in TORCH:
        from benchmarks import training_torch

        train = training_torch.make_system(arguments.system, *sizes)
    else:
        from benchmarks import training_systems

        ours = arguments.system.startswith("keras_s2s")
        training_systems.use_threads(threads, side_by_side=ours)
        train = training_systems.make_system(arguments.system, *sizes)
    for number, _ in enumerate(sys.stdin):
        wall, cpu = time.perf_counter(), time.process_time()
        train()
        took = time.perf_counter() - wall, time.process_time() - cpu
        answer = took if number else data.count_target_tokens(batches)
        print(json.dumps(answer), file=answers, flush=True)
    print(json.dumps(most_memory()), file=answers)


def table(figures: list[dict[str, Any]]) -> str:
    """Format the results as a Markdown table: tokens per second, and ratios to the first system.

    Args:
        figures: Results of `measure`.

    Returns:
        The table.
    """
    lines = [
        "| workload | precision | threads | system | tokens/s | tokens/CPU-s | "
        f"vs. {figures[0]['system']} | in CPU time | peak memory, MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for figure in figures:
        first = next(
            other
            for other in figures
            if all(other[key] == figure[key] for key in ("workload", "precision", "threads"))
        )
        ratio, cpu_ratio = (
            statistics.median(
                theirs / own for theirs, own in zip(first[unit], figure[unit], strict=True)
            )
            for unit in ("seconds", "cpu_seconds")
        )
        tokens = figure["target_tokens"]
        lines.append(
            f"| {figure['workload']} | {figure['precision']} | {figure['threads']} "
            f"| {figure['system']} | {tokens / statistics.median(figure['seconds']):.0f} "
            f"| {tokens / statistics.median(figure['cpu_seconds']):.0f} | {ratio:.2f} "
            f"| {cpu_ratio:.2f} | {figure['memory_mb']:.0f} |"
        )
    return "\n".join(lines)


def _ask(worker: subprocess.Popen[str]) -> Any:
    """Train once in a process, and wait for its result."""
    requests, answers = cast("IO[str]", worker.stdin), cast("IO[str]", worker.stdout)
    print("go", file=requests, flush=True)
    return json.loads(answers.readline())


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workloads", nargs="+", choices=("G", "T"), default=["G", "T"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=tuple(POLICIES),
        help="default: float32, and bfloat16 if the processor has instructions for it",
    )
    parser.add_argument("--batches", type=int, default=20, help="number of batches in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--systems",
        nargs="+",
        metavar="SYSTEM",
        help=f"keys of training_systems.MODELS, {' or '.join(map(repr, TORCH))}",
    )
    parser.add_argument(
        "--torch", metavar="PYTHON", help="the Python of an environment with PyTorch"
    )
    parser.add_argument(
        "--sorted-by-length",
        action="store_true",
        help="batches as in make_dataset, not from two buckets",
    )
    parser.add_argument("--system", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.torch and set(arguments.systems or ()) & set(TORCH):
        parser.error("PyTorch is measured with --torch PYTHON.")
    return arguments


if __name__ == "__main__":
    main()
