"""Models: encoder and decoder together."""

from keras_s2s.models.seq2seq import Seq2Seq

__all__ = ["Seq2Seq"]
