"""Reading pairs of texts from files, and making datasets of ids.

Names are imported on first use (PEP 562), so that files of pairs can be read without TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_s2s.data.dataset import make_dataset
    from keras_s2s.data.pair_files import iterate_pairs
    from keras_s2s.data.pairs import read_pairs
    from keras_s2s.data.record_writer import write_records

_MODULES = {
    "iterate_pairs": "pair_files",
    "make_dataset": "dataset",
    "read_pairs": "pairs",
    "write_records": "record_writer",
}

__all__ = ["iterate_pairs", "make_dataset", "read_pairs", "write_records"]


def __getattr__(name: str) -> Any:
    """Import the public name `name` on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module 'keras_s2s.data' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"keras_s2s.data.{_MODULES[name]}"), name)
    globals()[name] = value  # later uses do not call `__getattr__`
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
