"""A server without Python: serve.c, compiled against the installed TensorFlow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text

TENSORFLOW = Path(tf.__file__).parent
TEXT_OPERATIONS = Path(tensorflow_text.__file__).parent / "python" / "ops"
DTYPES = {"s": object, "i": np.int32, "f": np.float32}

Arrays = Mapping[str, "np.ndarray[Any, Any]"]


def find_compiler() -> str | None:
    """Return the path of a C compiler, if there is one on the PATH."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def compile_server(folder: Path) -> Path:
    """Compile the program into a folder."""
    built, compiler = folder / "serve", find_compiler()
    assert compiler is not None
    subprocess.run(
        [
            *(compiler, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-o", built),
            *(Path(__file__).with_name("serve.c"), f"-I{TENSORFLOW / 'include'}"),
            *(f"-L{TENSORFLOW}", f"-Wl,-rpath,{TENSORFLOW}", "-Wl,--allow-shlib-undefined"),
            *("-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2", "-pthread"),
        ],
        check=True,
    )
    return built


def ask(
    program: Path, export: str, requests: Iterable[tuple[str, Arrays]], *, num_threads: int = 8
) -> list[Arrays]:
    """Load an export, send all requests from each of several threads, and return the answers."""
    answers = _run(program, ["-j", str(num_threads)], export, requests)
    blocks = answers.split("\n\n")[:-1]
    return [dict(_read_tensor(line) for line in block.splitlines()) for block in blocks]


def measure(
    program: Path,
    export: str,
    requests: Iterable[tuple[str, Arrays]],
    *,
    num_threads: int,
    seconds: float,
) -> dict[str, float]:
    """Send requests from `num_threads` threads for `seconds`. Return times and memory."""
    options = ["-j", str(num_threads), "-b", str(seconds)]
    figures: dict[str, float] = json.loads(_run(program, options, export, requests))
    return figures


def _run(
    program: Path, options: list[str], export: str, requests: Iterable[tuple[str, Arrays]]
) -> str:
    """Run the program on the requests and return its output."""
    lines = [
        " ".join([name, *(f"{key} {_write_tensor(value)}" for key, value in inputs.items())])
        for name, inputs in requests
    ]
    settings = {name: value for name, value in os.environ.items() if name.startswith("TF_")}
    done = subprocess.run(
        [program, *options, export, *sorted(TEXT_OPERATIONS.glob("*.so"))],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "TF_CPP_MIN_LOG_LEVEL": "3", **settings},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _write_tensor(value: np.ndarray[Any, Any]) -> str:
    letter = {"O": "s", "i": "i", "f": "f"}[value.dtype.kind]
    values = ["x" + item.hex() if letter == "s" else str(item) for item in value.ravel()]
    return " ".join([letter, str(value.ndim), *map(str, value.shape), *values])


def _read_tensor(line: str) -> tuple[str, np.ndarray[Any, Any]]:
    name, letter, rank, *rest = line.split(" ")
    shape, values = [int(size) for size in rest[: int(rank)]], rest[int(rank) :]
    array = np.empty(len(values), DTYPES[letter])
    array[:] = [bytes.fromhex(value[1:]) if letter == "s" else float(value) for value in values]
    return name, array.reshape(shape)
