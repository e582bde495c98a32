"""Text: tokenizers, pairs of texts from files, and datasets of ids."""

from __future__ import annotations

from keras_s2s.text.byte_tokenizer import ByteTokenizer
from keras_s2s.text.char_tokenizer import CharTokenizer
from keras_s2s.text.dataset import make_dataset
from keras_s2s.text.pairs import read_pairs
from keras_s2s.text.records import write_records
from keras_s2s.text.sentencepiece_tokenizer import SentencePieceTokenizer
from keras_s2s.text.stream import iterate_pairs
from keras_s2s.text.tokenizer import Tokenizer
from keras_s2s.text.word_tokenizer import WordTokenizer

__all__ = [
    "ByteTokenizer",
    "CharTokenizer",
    "SentencePieceTokenizer",
    "Tokenizer",
    "WordTokenizer",
    "iterate_pairs",
    "make_dataset",
    "read_pairs",
    "write_records",
]
