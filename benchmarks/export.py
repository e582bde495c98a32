"""Size and speed of each export of a model, compared with other tools on the same words.

    taskset -c 1 python -m benchmarks.export g2p.keras words.tsv.gz --folder /tmp/exports

Writes the exports that are missing from the folder, starts each runtime in a separate process, and
lets them take turns on the words. Prints the machine and a table, and writes results/export.json.
README.md explains the columns and how to install the other tools.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))  # contains the C server

BATCH = 32
SERVER = "SavedModel, C API"
COLUMNS = {
    "megabytes": "MB",
    "load": "start, CPU s",
    "first": "first output, CPU ms",
    "median": "one word, ms",
    "work": "one word, CPU ms",
    "rate": "words/CPU s, 32 at once",
    "memory": "peak memory, MB",
    "same": "same best output",
    "right": "words correct",
}


class Worker:
    """A runtime in a separate process; see export_worker.py."""

    def __init__(self, kind: str, path: str, python: str = sys.executable) -> None:
        self.path = path
        self.times: list[float] = []
        self.work: list[float] = []
        self.batch_work: list[float] = []
        environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
        environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [python, ROOT / "benchmarks" / "export_worker.py", kind, path, ROOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self.load: float = self._read()

    def ask(self, texts: list[str]) -> tuple[list[str], float, float]:
        """Return the answers to a batch of texts, and the seconds and CPU seconds they took."""
        if self.process.stdin is None:
            raise RuntimeError("the worker has no input")
        print(json.dumps(texts), file=self.process.stdin, flush=True)
        answers, seconds, work = self._read()
        return answers, seconds, work

    def close(self) -> float:
        """End the process. Return its peak memory."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        memory: float = self._read()
        self.process.wait()
        return memory

    def _read(self) -> Any:
        if self.process.stdout is None:
            raise RuntimeError("the worker was started without pipes")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker for {self.path} has ended")
        return json.loads(line)


def export(model: str, folder: Path) -> dict[str, tuple[str, Path]]:
    """Write the exports that are missing. Return the kind of worker and the path of each."""
    found = {
        f"LiteRT {kind}": ("litert", folder / f"{kind}.tflite")
        for kind in ("float32", "float16", "int8")
    }
    if importlib.util.find_spec("tf2onnx"):
        found |= {
            f"ONNX Runtime {kind}": ("onnx", folder / f"{kind}.onnx")
            for kind in ("float32", "int8")
        }
    if importlib.util.find_spec("openvino"):
        found["OpenVINO"] = ("openvino", folder / "ids" / "1")
    found[SERVER] = ("", folder / "saved_model" / "1")
    missing = {name: path for name, (_, path) in found.items() if not path.exists()}
    if missing:
        import keras_s2s as s2s

        translator = s2s.load(model)
        folder.mkdir(parents=True, exist_ok=True)
        for name, path in missing.items():
            quantization = None if path.stem == "float32" else path.stem
            if name == SERVER:
                s2s.export.saved_model(translator, path.parent)
            elif name == "OpenVINO":
                s2s.export.saved_model(translator, path.parent, signatures=("ids",))
            elif path.suffix == ".onnx":
                s2s.export.onnx(translator, path, quantization=quantization)
            else:
                s2s.export.litert(translator, path, quantization=quantization)
    return found


def measure_workers(workers: dict[str, Worker], words: list[str]) -> dict[str, dict[str, Any]]:
    """Run the workers in turn, word by word and then batch by batch."""
    rows: dict[str, dict[str, Any]] = {}
    for name, worker in workers.items():
        rows[name] = {"load": worker.load, "first": 1e3 * worker.ask(words[:1])[2]}
    answers: dict[str, list[str]] = {name: [] for name in workers}
    for word in words:
        for name, worker in workers.items():
            found, seconds, work = worker.ask([word])
            answers[name] += found
            worker.times.append(1e3 * seconds)
            worker.work.append(1e3 * work)
    for start in range(0, len(words) - BATCH + 1, BATCH):
        for worker in workers.values():
            worker.batch_work.append(worker.ask(words[start : start + BATCH])[2])
    for name, worker in workers.items():
        rows[name] |= {
            "median": statistics.median(worker.times),
            "work": statistics.median(worker.work),
            "rate": BATCH / statistics.median(worker.batch_work),
            "memory": worker.close(),
            "answers": answers[name],
        }
    return rows


def measure_server(path: Path, words: list[str], folder: Path) -> dict[str, Any]:
    """Measure the SavedModel with the TensorFlow C API: one thread, no Python."""
    import numpy as np
    from helpers import c_server

    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}

    def requests(size: int) -> list[tuple[str, Any]]:
        batches = [words[start : start + size] for start in range(0, len(words), size)]
        return [
            ("serving_default", {"source": np.array([word.encode() for word in batch], object)})
            for batch in batches
        ]

    program = c_server.compile_server(folder)
    first = c_server.measure(program, str(path), requests(1)[:1], num_threads=1, seconds=0.1)
    one = c_server.measure(program, str(path), requests(1), num_threads=1, seconds=5.0)
    many = c_server.measure(program, str(path), requests(BATCH), num_threads=1, seconds=5.0)
    answers = c_server.ask(program, str(path), requests(1), num_threads=1)
    return {
        "load": first["load_cpu_ms"] / 1e3,
        "median": one["median_ms"],
        "work": one["cpu_ms_an_answer"],
        "rate": BATCH / many["cpu_ms_an_answer"] * 1e3,
        "memory": one["peak_memory_mb"] * 2**20 / 1e6,
        "answers": [answer["target"][0, 0].decode() for answer in answers],
    }


def size(path: str | Path) -> float:
    """Return the size of a file, or of all files in a folder, in MB."""
    path = Path(path)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


def add_peers(workers: dict[str, Worker], peers: list[str], sizes: dict[str, float]) -> None:
    """Start other tools, each given as NAME=PYTHON[=MODEL]."""
    for peer in peers:
        name, python, model = f"{peer}=".split("=")[:3]
        workers[name] = Worker(name, model, python)
        if model:
            sizes[name] = size(model)


def report(rows: dict[str, dict[str, Any]], path: Path, words: list[str]) -> None:
    """Print the machine and the table, and write the results."""
    from benchmarks.machine import describe_machine  # after the workers: imports TensorFlow

    machine = describe_machine([1])
    print(f"{machine}; {len(words)} words\n")
    print("| runtime | " + " | ".join(COLUMNS.values()) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for name, row in rows.items():
        cells = [f"{row[key]:.4g}" if key in row else "–" for key in COLUMNS]
        print(f"| {name} | " + " | ".join(cells) + " |")
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps({"machine": machine, "words": len(words), "runtimes": rows}, indent=1) + "\n"
    )


def main() -> None:
    """Export, measure and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a .keras file")
    parser.add_argument("words", help="TSV file, plain or gzip: word, pronunciation")
    parser.add_argument("--folder", type=Path, required=True, help="folder of the exports")
    parser.add_argument("--limit", type=int, default=500, help="number of words, drawn at random")
    parser.add_argument("--peers", nargs="*", default=[], help="NAME=PYTHON[=MODEL] of other tools")
    parser.add_argument(
        "--results", type=Path, default=ROOT / "benchmarks" / "results" / "export.json"
    )
    options = parser.parse_args()
    from keras_s2s.data import read_pairs

    right: dict[str, set[str]] = {}
    for word, target in read_pairs(options.words):
        right.setdefault(word, set()).add(target)
    words = random.Random(0).sample(sorted(right), min(options.limit, len(right)))

    exports = export(options.model, options.folder)
    sizes = {name: size(path) for name, (_, path) in exports.items()}
    sizes["model in Python"] = size(options.model)
    workers = {"model in Python": Worker("model", options.model)}
    _, served = exports.pop(SERVER)
    for name, (kind, path) in exports.items():
        workers[name] = Worker(kind, str(path))
    add_peers(workers, options.peers, sizes)
    rows = measure_workers(workers, words)
    rows[SERVER] = measure_server(served, words, options.folder)

    expected = rows["model in Python"]["answers"]
    for name, row in rows.items():
        answers = row.pop("answers")
        if name in sizes:
            row["megabytes"] = sizes[name]
        if name not in (peer.split("=")[0] for peer in options.peers):
            row["same"] = sum(map(str.__eq__, answers, expected)) / len(words)
        found = zip(words, answers, strict=True)
        row["right"] = sum(answer in right[word] for word, answer in found) / len(words)
    report(rows, options.results, words)


if __name__ == "__main__":
    main()
