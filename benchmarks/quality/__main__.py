"""Measure the error rates of `keras-s2s train` with its default settings.

    python -m benchmarks.quality wikipron-800 DATA --seeds 0 1 2
    python -m benchmarks.quality cmudict DATA --minutes 90

DATA contains the folders listed in `TASKS`, each with `train.tsv.gz` and `valid.tsv.gz`. Each
training is a process with one thread, which resumes if the command is run again. Prints the errors
on the validation pairs with 95% intervals, their means, and the CPU time of training. Results are
appended to `benchmarks/results/quality.jsonl`.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.metadata
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import describe_processor

RESULTS = Path(__file__).parents[1] / "results" / "quality.jsonl"
PROGRAM = [sys.executable, "-c", "from keras_s2s.cli.main import run; run()"]
LOW = ("ice", "gre", "khm", "ita", "mlt_latn", "wel_sw")
WORDS = ("--target-tokenizer", "word")


class Task(NamedTuple):
    """Data sets that are trained on with the same options.

    Attributes:
        folders: Names of folders, each with a training and a validation file.
        options: Options of `keras-s2s train`.
        pairs: Integer or None. Number of training pairs. `None` means all.
        measured: File to evaluate on instead of the validation pairs.
        features: Whether a source consists of a lemma, a space and features.
    """

    folders: tuple[str, ...]
    options: tuple[str, ...] = ()
    pairs: int | None = None
    measured: str = "valid"
    features: bool = False


def _wikipron(*languages: str, pairs: int | None = None) -> Task:
    return Task(tuple(f"wikipron2021/{it}" for it in languages), WORDS, pairs)


TASKS = {
    "wikipron-400": _wikipron(*LOW, pairs=400),
    "wikipron-800": _wikipron(*LOW),
    "wikipron-8000": _wikipron("fre", "hun", "dut", "kor"),
    "wikipron-english": _wikipron("eng_us"),
    "cmudict": Task(("cmudict",), WORDS, measured="test_public"),
    "inflection": Task(
        tuple(f"inflection2023/{it}" for it in ("eng", "fin", "spa")),
        ("--features-column", "2"),
        features=True,
    ),
    "dates": Task(("dates",)),
    "dakshina": Task(("dakshina_hi",)),
}


class Measured(NamedTuple):
    """Results of one training run."""

    folder: str
    seed: int
    figures: dict[str, dict[str, float]]  # by name: value, low, high
    cpu_seconds: float


def main() -> None:
    """Train and evaluate the requested tasks, and print a table."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="Other options are passed on to keras-s2s train.",
    )
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("data", type=Path, help="folder of the data")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--folders", nargs="+", help="only these folders of the task")
    parser.add_argument(
        "--models", type=int, default=1, help="number of models in an ensemble (default 1)"
    )
    parser.add_argument("--minutes", type=float, help="time limit of each training run")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/quality"), help="folder of the runs"
    )
    arguments, options = parser.parse_known_args()
    arguments.options = options
    task = TASKS[arguments.task]
    rows = []
    for folder in task.folders:
        if arguments.folders and folder.rpartition("/")[2] not in arguments.folders:
            continue
        for seed in arguments.seeds:
            rows.append(measure(task, folder, seed, arguments))
            keep(arguments, rows[-1])
            print(line(rows[-1]), flush=True)
    for name in ("wer", "ter"):
        values = [100 * row.figures[name]["value"] for row in rows]
        print(f"mean {name.upper()} {statistics.mean(values):.2f} % of {len(values)} runs")


def measure(task: Task, folder: str, seed: int, arguments: argparse.Namespace) -> Measured:
    """Train on the pairs of a folder and evaluate the best model.

    Args:
        task: The task.
        folder: One of the folders of the task.
        seed: Integer. Random seed of the training run.
        arguments: Command line arguments.

    Returns:
        The metrics of the best model on the evaluation pairs of the task.
    """
    name = f"{arguments.task}-{arguments.models}-{folder.replace('/', '-')}-{seed}"
    run = arguments.runs / name
    files = {}
    for part in dict.fromkeys(("train", "valid", task.measured)):
        files[part] = arguments.runs / f"{name}-{part}.tsv"
        pairs = task.pairs if part == "train" else None
        write_pairs(arguments.data / folder / f"{part}.tsv.gz", files[part], task, pairs)
    options = [
        *("--train", files["train"], "--valid", files["valid"], "--output", run),
        *("--seed", 1000 * seed, "--models", arguments.models, "--threads", 1),
        *(("--minutes", arguments.minutes) if arguments.minutes else ()),
        *task.options,
        *arguments.options,
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command([*PROGRAM, "train", *options])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    features = task.options if task.features else ()
    printed = command([*PROGRAM, "evaluate", run, files[task.measured], "--json", *features])
    figures = json.loads(printed)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(folder, seed, {it: figures[it] for it in ("wer", "ter")}, seconds)


def write_pairs(source: Path, destination: Path, task: Task, pairs: int | None) -> None:
    """Write the training pairs of a task, with features in a separate column.

    Args:
        source: Path of a gzip-compressed file of pairs.
        destination: Path of the file to write.
        task: The task.
        pairs: Integer or None. Number of pairs, evenly spaced in the file. `None` means all.
    """
    lines = gzip.decompress(source.read_bytes()).decode("utf-8").splitlines()
    if pairs is not None:
        lines = lines[:: len(lines) // pairs][:pairs]
    if task.features:
        split = (line.split("\t") for line in lines)
        lines = ["\t".join([*text.rsplit(" ", 1), form]) for text, form in split]
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def command(words: list[Any]) -> str:
    """Run a program and return its output. If it fails, exit with its message."""
    done = subprocess.run([str(it) for it in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def line(row: Measured) -> str:
    """Format a row of the table."""
    shown = (
        f"{name.upper()} {100 * it['value']:6.2f} % [{100 * it['low']:.2f}, {100 * it['high']:.2f}]"
        for name, it in row.figures.items()
    )
    return (
        f"{row.folder:24s} seed {row.seed}  {'  '.join(shown)}  {row.cpu_seconds / 60:.1f} CPU min"
    )


def keep(arguments: argparse.Namespace, row: Measured) -> None:
    """Append a row to the results file, with the version of the package and the processor."""
    kept = {"task": arguments.task, "models": arguments.models, "options": arguments.options}
    origin = {
        "version": importlib.metadata.version("keras-s2s"),
        "processor": describe_processor(),
    }
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**kept, **row._asdict(), **origin}) + "\n")


if __name__ == "__main__":
    main()
