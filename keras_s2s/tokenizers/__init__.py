"""Tokenizers, which convert text to ids and back in the graph."""

from __future__ import annotations

from keras_s2s.tokenizers.byte_tokenizer import ByteTokenizer
from keras_s2s.tokenizers.char_tokenizer import CharTokenizer
from keras_s2s.tokenizers.copying import copy_ids
from keras_s2s.tokenizers.decomposed_char_tokenizer import DecomposedCharTokenizer
from keras_s2s.tokenizers.feature_tokenizer import FeatureTokenizer
from keras_s2s.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer
from keras_s2s.tokenizers.tokenizer import Tokenizer
from keras_s2s.tokenizers.word_tokenizer import WordTokenizer

__all__ = [
    "ByteTokenizer",
    "CharTokenizer",
    "DecomposedCharTokenizer",
    "FeatureTokenizer",
    "SentencePieceTokenizer",
    "Tokenizer",
    "WordTokenizer",
    "copy_ids",
]
