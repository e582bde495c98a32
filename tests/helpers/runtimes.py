"""Run a tokenizer in the runtimes of its users: as a SavedModel and as a LiteRT file."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_text
from ai_edge_litert.interpreter import InterpreterWithCustomOps

from keras_s2s.tokenizers import Tokenizer

# Realistic texts that break careless implementations.
NASTY_TEXTS = [
    "",
    "a",
    "hello world",
    "  spaces  inside   and around ",
    "tab\tand\nnew line\r\n",
    "no\u00a0break and\u3000ideographic\u2003em\u0085next line\u2028separator",
    "zero\u200bwidth is no space, nor is the \ufeffmark",
    "e\u0301 combined, é composed",
    "👩🏽‍🚀 rocket 🏳️‍🌈 𝄞 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "हिन्दी العربية עברית 日本語 한국어",
    "NUL \x00 inside",
    "[PAD] [UNK] [BOS] [EOS] ⁇",
    "x" * 33,
    "long " * 700,
]
INVALID_TEXTS = [
    b"\xff",
    b"a\x80\x80\x80b",
    b"\xc2",
    b"\xe2\x80",
    b"\x80 \xa0",
    b"ok \xf0\x9f\x98 cut",
    b"\xc3\x28 \xc0\x80",
]


class Tokenizing(tf.Module):
    """A tokenizer as in an export: its functions and the tables they need."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tables = tokenizer.tables
        self.tokenize = tf.function(
            lambda texts: {"ids": tokenizer.tokenize(texts)},
            input_signature=[tf.TensorSpec([None], tf.string, name="texts")],
        )
        self.detokenize = tf.function(
            lambda ids: {"texts": tokenizer.detokenize(ids)},
            input_signature=[tf.TensorSpec([None, None], tf.int32, name="ids")],
        )
        self.detokenize_hypotheses = tf.function(
            lambda ids: {"texts": tokenizer.detokenize(ids)},
            input_signature=[tf.TensorSpec([None, None, None], tf.int32, name="ids")],
        )

    def save(self, folder: str) -> None:
        """Save a SavedModel with a signature for each function."""
        names = ("tokenize", "detokenize", "detokenize_hypotheses")
        tf.saved_model.save(self, folder, signatures={name: getattr(self, name) for name in names})


class LiteRT:
    """A tokenizer in a LiteRT file, run by LiteRT's own runtime."""

    def __init__(self, folder: str) -> None:
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.allow_custom_ops = True
        self._interpreter = InterpreterWithCustomOps(
            model_content=converter.convert(),
            custom_op_registerers=tensorflow_text.tflite_registrar.SELECT_TFTEXT_OPS,
        )

    def runner(self, name: str) -> Callable[..., dict[str, np.ndarray]]:
        """Return the function of a signature."""
        return self._interpreter.get_signature_runner(name)

    def tokenize(self, texts: Sequence[str | bytes]) -> np.ndarray:
        """Convert texts to ids `(batch, length)`."""
        encoded = [text.encode() if isinstance(text, str) else text for text in texts]
        return self.runner("tokenize")(texts=np.array(encoded, dtype=object))["ids"]

    def detokenize(self, ids: np.ndarray) -> list[bytes]:
        """Convert ids `(batch, length)` to texts."""
        return list(self.runner("detokenize")(ids=ids)["texts"])
