"""Models: encoder and decoder together."""

from keras_s2s.models.searchable import Searchable
from keras_s2s.models.seq2seq import Seq2Seq

__all__ = ["Searchable", "Seq2Seq"]
