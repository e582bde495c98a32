"""Tokens of texts, for drawing."""

from __future__ import annotations

import re
from typing import Any

import tensorflow as tf

from keras_s2s.errors import InputError
from keras_s2s.tokenizers import Tokenizer
from keras_s2s.translator import Translator


def check_translator(translator: Any) -> None:
    """Check that an argument is a `Translator`.

    Args:
        translator: Value of the argument.

    Raises:
        TypeError: If it is not a `Translator`.
    """
    if not isinstance(translator, Translator):
        raise TypeError(
            "`translator` must be a `Translator`. "
            f"Received: translator={translator!r} (type {type(translator)})"
        )


def source_tokens_and_ids(translator: Translator, text: Any) -> tuple[list[str], tf.Tensor]:
    """Tokenize one text.

    Args:
        translator: `Translator` whose source tokenizer to use.
        text: Source text.

    Returns:
        The tokens, including eos, and their ids, int32 `(1, source_length)`.

    Raises:
        TypeError: If `text` is not a `str`.
        ValueError: If `text` is empty.
    """
    if not isinstance(text, str):
        raise TypeError(f"`text` must be a str. Received: text={text!r} (type {type(text)})")
    if not text.strip():
        raise InputError(f"`text` must not be empty. Received: text={text!r}")
    ids = translator.source.tokenize([text])
    return tokens_of(translator.source, ids[0].numpy()), ids


def tokens_of(tokenizer: Tokenizer, ids: Any) -> list[str]:
    """Return the tokens of ids `(length,)`, including special tokens."""
    vocabulary = tokenizer.vocabulary
    return [_decode_byte(vocabulary[id_]) for id_ in ids]


def _decode_byte(token: str) -> str:
    """Return the character of an ASCII byte token. Leave others, such as `<0xE4>`, unchanged."""
    byte = re.fullmatch("<0x([0-7][0-9A-F])>", token)
    return chr(int(byte[1], 16)) if byte else token
