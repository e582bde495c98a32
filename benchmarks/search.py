"""Search speed, compared with a yardstick, other packages, and the limit of the machine.

    python -m benchmarks.search --quick                  # about 10 minutes
    python -m benchmarks.search --peers torch=PYTHON tfa=PYTHON opennmt=PYTHON
    python -m benchmarks.search --curves                 # cost against width, batch, length, ids

All systems run a decoder of the same sizes with random weights that never predicts eos, so that
every search runs to its last step. The systems take turns, round by round. The result is the median
over the rounds of each system's ratio to the yardstick in the same round, so that noise on the
machine affects all systems alike. A peer runs as a process of its PYTHON, in an environment
that benchmarks/README.md explains how to create.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import (
    describe_machine,
    describe_processor,
    read_results,
    write_results,
)
from benchmarks.search_sizes import BATCHES, WORKLOADS, Sizes
from keras_s2s.layers.products import has_bfloat16

RESULTS = Path(__file__).parent / "results" / "search.json"
OURS = (
    "yardstick",
    "keras_s2s",
    "keras_s2s, exported",
    *(["keras_s2s bfloat16"] if has_bfloat16() else []),
    "keras_s2s XLA",
    "products alone",
)
PEERS = {
    "torch": ("PyTorch", "PyTorch, fairseq-style"),
    "tfa": ("tfa.seq2seq", "yardstick, TF 2.15"),
    "opennmt": ("OpenNMT-tf",),
}


def main() -> None:
    """Run the requested benchmarks, print the tables and save the results."""
    arguments = _parse()
    kept: dict[str, Any] = read_results(RESULTS).get(describe_processor(), {})
    for threads in arguments.threads:
        with Servers(threads, dict(arguments.peers)) as servers:
            if arguments.curves:
                kept[f"curves {threads}"] = measure_curves(servers, arguments.rounds)
            else:
                for workload in arguments.workloads:
                    kept[f"{workload} {threads}"] = measure(servers, workload, arguments)
        write_results(RESULTS, kept)
    print(describe_machine(arguments.threads), tables(kept), sep="\n\n")
    if arguments.curves:
        from benchmarks.search_plot import plot

        plot(kept)


class Servers:
    """Processes that run the systems, each with the same number of threads.

    Args:
        threads: Integer. Number of threads of each process.
        peers: Dictionary from peer name to the Python of its environment.
    """

    def __init__(self, threads: int, peers: dict[str, str]) -> None:
        self.places: dict[str, subprocess.Popen[str]] = {}
        self.processes: list[subprocess.Popen[str]] = []
        pythons = {"tensorflow": sys.executable, **peers}
        for name, python in pythons.items():
            process = _start(python, f"benchmarks.search_{name}", threads)
            self.processes.append(process)
            systems = (*OURS, "Keras example") if name == "tensorflow" else PEERS[name]
            self.places.update(dict.fromkeys(systems, process))

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self.processes:
            process.communicate()

    def time(self, system: str, sizes: Sizes, batch: int) -> float:
        """Return the seconds of one search of `batch` sources."""
        process = self.places[system]
        request = {"system": system, "sizes": sizes, "batch": batch}
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("The server was started without pipes.")
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            if line.startswith("@"):
                return float(line[1:])
        raise RuntimeError(f"{system!r} ended without an answer. See its errors above.")


def measure(
    servers: Servers, workload: str, arguments: argparse.Namespace
) -> dict[str, dict[str, list[float]]]:
    """Run all systems in turn at each batch size. Return the seconds per round for each."""
    sizes = WORKLOADS[workload]
    found = {}
    for batch in BATCHES[workload]:
        if arguments.quick and batch == 8:
            continue
        systems = [system for system in servers.places if system != "Keras example"]
        if batch == 1 and workload == "G":
            systems.append("Keras example")
        found[str(batch)] = _take_turns(servers, systems, sizes, batch, arguments.rounds)
        print(f"{workload}, batch {batch}: done", file=sys.stderr)
    return found


def measure_curves(servers: Servers, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Measure the cost as a function of each size, with the other sizes those of G at batch 8."""
    found: dict[str, dict[str, list[float]]] = {}
    base = WORKLOADS["G"]
    for name, values in {
        "beam_width": (1, 2, 5, 10, 20),
        "steps": (15, 30, 60, 120),
        "vocabulary_size": (500, 2000, 8000, 32000),
        "batch": (1, 4, 16, 64),
    }.items():
        for value in values:
            batch = value if name == "batch" else 8
            sizes = base if name == "batch" else base._replace(**{name: value})
            systems = ["yardstick", "keras_s2s"]
            turns = _take_turns(servers, systems, sizes, batch, rounds)
            found[f"{name} {value}"] = turns
        print(f"{name}: done", file=sys.stderr)
    return found


def tables(kept: dict[str, Any]) -> str:
    """Format the results as Markdown tables, one per workload and number of threads."""
    lines = []
    for name, batches in kept.items():
        if name.startswith("curves"):
            continue
        workload, threads = name.split()
        head = " | ".join(f"batch {batch}" for batch in batches)
        lines += [f"{workload}, {threads} thread(s): ms per source (ratio to the yardstick)", ""]
        lines += [f"| system | {head} |", "|---" * (len(batches) + 1) + "|"]
        for system in dict.fromkeys(system for figures in batches.values() for system in figures):
            cells = [_cell(figures, system, int(batch)) for batch, figures in batches.items()]
            lines.append(f"| {system} | {' | '.join(cells)} |")
        shares = [_ratio(figures, "products alone", "keras_s2s") for figures in batches.values()]
        cells = [f"{100 * share:.0f} %" for share in shares]
        lines += [f"| products in the time of keras_s2s | {' | '.join(cells)} |", ""]
    return "\n".join(lines)


def _cell(figures: dict[str, list[float]], system: str, batch: int) -> str:
    if system not in figures:
        return "–"
    milliseconds = 1000 * statistics.median(figures[system]) / batch
    return f"{milliseconds:.1f} ({_ratio(figures, system, 'yardstick'):.2f})"


def _ratio(figures: dict[str, list[float]], system: str, other: str) -> float:
    """Return the median ratio of two systems in the same round."""
    pairs = zip(figures[system], figures[other], strict=False)
    return statistics.median(own / others for own, others in pairs)


def _take_turns(
    servers: Servers, systems: list[str], sizes: Sizes, batch: int, rounds: int
) -> dict[str, list[float]]:
    for system in systems:
        servers.time(system, sizes, batch)
    # short measurements are the noisiest
    rounds = max(rounds, min(20, int(3.0 / servers.time("yardstick", sizes, batch))))
    seconds: dict[str, list[float]] = {system: [] for system in systems}
    for number in range(rounds):
        first = number % len(systems)  # rotate, so that no system always follows the same one
        for system in systems[first:] + systems[:first]:
            if system != "Keras example" or number < 3:
                seconds[system].append(servers.time(system, sizes, batch))
    return seconds


def _start(python: str, module: str, threads: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python, "-m", "benchmarks.search_server", module, str(threads)],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workloads", nargs="+", choices=tuple(WORKLOADS), default=["G", "T"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="skip batch 8")
    parser.add_argument("--curves", action="store_true", help="measure the curves, and plot them")
    parser.add_argument(
        "--peers",
        nargs="+",
        default=[],
        metavar="NAME=PYTHON",
        type=lambda text: tuple(text.split("=", 1)),
        help=f"the Python of each peer's environment: {', '.join(PEERS)}",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
