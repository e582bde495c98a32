"""Description of the machine and the versions, for the line above the table of a benchmark."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_s2s.layers.products import cpuinfo, instruction_sets
from keras_s2s.models.batches import count_cores

_VECTORS = ("avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")
PACKAGES = ("tensorflow", "keras", "torch", "ai-edge-litert", "onnxruntime", "openvino")


def describe_machine(threads: Iterable[int] = ()) -> str:
    """Describe the processor, its vector instructions, threads, load and versions in one line.

    Args:
        threads: Numbers of threads of the measured systems. Defaults to TensorFlow's.
    """
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    counts = " and ".join(map(str, sorted(set(threads)))) or "default"
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return (
        f"{describe_processor()}, {count_cores()} cores, {counts} threads, load {load:.1f} at the "
        f"end; {', '.join(versions)}"
    )


def describe_processor() -> str:
    """Return the name of the processor and its vector instructions."""
    name = cpuinfo().get("model name") or platform.processor() or platform.machine()
    vectors = [it for it in _VECTORS if it in instruction_sets()]
    return f"{name} ({', '.join(vectors)})" if vectors else name


def read_results(path: Path) -> dict[str, Any]:
    """Return the saved results of a benchmark by the processor that they were measured on."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_results(path: Path, results: Any) -> None:
    """Save the results of this processor, and keep those of others.

    Args:
        path: Path of a JSON file.
        results: Results that JSON can represent.
    """
    path.parent.mkdir(exist_ok=True)
    kept = read_results(path) | {describe_processor(): results}
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
