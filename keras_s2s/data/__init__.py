"""Reads pairs of texts from files, and makes datasets of ids.

Names are imported on first use (PEP 562), so that files of pairs can be read without TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_s2s.lazy_names import lazy_names

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

__getattr__, __dir__ = lazy_names(globals(), _MODULES)
