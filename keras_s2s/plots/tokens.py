"""From a translator and a text to tokens that can be drawn."""

from __future__ import annotations

import re
from typing import Any

import tensorflow as tf

from keras_s2s.errors import InputError
from keras_s2s.tokenizers import Tokenizer
from keras_s2s.translator import Translator


def check_translator(translator: Any) -> None:
    """Refuse what is not a translator.

    Args:
        translator: what was given.

    Raises:
        TypeError: if it is something else.
    """
    if not isinstance(translator, Translator):
        raise TypeError(
            "`translator` must be a `Translator`. "
            f"Received: translator={translator!r} (type {type(translator)})"
        )


def source_tokens_and_ids(translator: Translator, text: Any) -> tuple[list[str], tf.Tensor]:
    """Tokenize one text.

    Args:
        translator: whose source tokenizer to use.
        text: the text.

    Returns:
        Its tokens, eos too, and their ids, int32 `(1, source_length)`.

    Raises:
        TypeError: if `text` is not a `str`.
        ValueError: if it is empty.
    """
    if not isinstance(text, str):
        raise TypeError(f"`text` must be a str. Received: text={text!r} (type {type(text)})")
    if not text.strip():
        raise InputError(f"`text` must not be empty. Received: text={text!r}")
    ids = translator.source.tokenize([text])
    return tokens_of(translator.source, ids[0].numpy()), ids


def tokens_of(tokenizer: Tokenizer, ids: Any) -> list[str]:
    """Give the tokens of ids `(length,)`, the special ones too."""
    vocabulary = tokenizer.vocabulary
    return [_readable(vocabulary[id_]) for id_ in ids]


def _readable(token: str) -> str:
    """Give the letter that a byte of ASCII is; `<0xE4>` stays what it is."""
    byte = re.fullmatch("<0x([0-7][0-9A-F])>", token)
    return chr(int(byte[1], 16)) if byte else token
