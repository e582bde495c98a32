"""An app with LiteRT and NumPy but without TensorFlow.

tests/integration/test_served_litert.py runs this file. The text operations come from the libraries
in the tensorflow-text wheel, loaded on their own. Takes the path of a file, reads a JSON list of
texts, and prints the answers as JSON.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import InterpreterWithCustomOps


def load_text_operations() -> ModuleType:
    """Load tensorflow-text's registrar without importing its parent packages."""
    found = importlib.util.find_spec("ai_edge_litert")
    if found is None or found.origin is None:
        raise ImportError("ai_edge_litert has no folder")
    packages = Path(found.origin).parents[1]
    ctypes.CDLL(str(next((packages / "tensorflow").glob("libtensorflow_framework.*"))))
    library = packages / "tensorflow_text" / "core" / "pybinds" / "tflite_registrar.so"
    spec = importlib.util.spec_from_file_location("tflite_registrar", library)
    if spec is None or spec.loader is None:
        raise ImportError(f"{library} is no module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


text = load_text_operations()
interpreter = InterpreterWithCustomOps(
    custom_op_registerers=[text.AddByteSplit, text.AddByteSplitByOffsets, text.AddNgramsStringJoin],
    model_path=sys.argv[1],
)
source = np.array(json.load(sys.stdin), dtype=object)


def run(signature: str, **inputs: Any) -> dict[str, Any]:
    """Call a signature. Return its outputs in a form that JSON can represent."""
    found = interpreter.get_signature_runner(signature)(**inputs)
    if "target" in found:
        found["target"] = np.vectorize(bytes.decode, otypes=[object])(found["target"])
    return {name: value.tolist() for name, value in found.items()}


answers = {name: run(name, source=source) for name in ("serving_default", "greedy")}
best = np.array([row[0] for row in answers["serving_default"]["target"]], dtype=object)
answers["score"] = run("score", source=source, target=best)
foreign = sorted(name for name in sys.modules if name.split(".")[0] in {"tensorflow", "keras"})
print(json.dumps({**answers, "modules": foreign}))
