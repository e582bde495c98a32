"""Reading pairs of texts from files, and making datasets of ids."""

from __future__ import annotations

from keras_s2s.data.dataset import make_dataset
from keras_s2s.data.pairs import read_pairs
from keras_s2s.data.records import write_records
from keras_s2s.data.stream import iterate_pairs

__all__ = ["iterate_pairs", "make_dataset", "read_pairs", "write_records"]
