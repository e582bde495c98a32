"""Checking and encoding texts from users."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import tensorflow as tf

from keras_s2s.errors import InputError
from keras_s2s.texts import is_empty

# Upper bound of tokens per byte: compatibility composition makes 18 letters of U+FDFA.
_TOKENS_PER_BYTE = 8


def check_several(texts: Any) -> None:
    """Check that `texts` is not a single text, whose letters would be taken for texts.

    Args:
        texts: The texts from the user.

    Raises:
        TypeError: If `texts` is a single text.
    """
    if isinstance(texts, str | bytes):
        raise TypeError(
            f"`texts` must be a list of texts, not a single one. Received: texts={texts!r}"
        )


def encode_texts(texts: Any) -> list[bytes]:
    """Encode texts in UTF-8, and raise with the position of an invalid text.

    Args:
        texts: str or bytes, in a list, a numpy array or a string tensor `(n,)`.

    Returns:
        The texts in UTF-8.

    Raises:
        TypeError: If `texts` is a single text, or one of them is not text.
        ValueError: If a text is empty or not valid Unicode.
    """
    check_several(texts)
    if isinstance(texts, tf.Tensor):
        texts = texts.numpy()
    if isinstance(texts, np.ndarray):
        texts = texts.tolist()
    encoded = []
    for number, text in enumerate(texts):
        if not isinstance(text, str | bytes):
            raise TypeError(
                f"`texts` must hold text. Received: {text!r} (type {type(text)}) at position "
                f"{number}"
            )
        try:
            raw = text.encode("utf-8") if isinstance(text, str) else text
            raw.decode("utf-8")
        except UnicodeError as error:
            raise InputError(
                f"`texts` must be valid Unicode. Received: {text!r} at position {number}: {error}"
            ) from None
        if is_empty(raw):
            raise InputError(f"`texts` must not be empty. Received: {text!r} at position {number}")
        encoded.append(raw)
    return encoded


def check_token_counts(
    encoded: list[bytes], tokenizer: Any, max_length: int | None, *, truncate: bool
) -> None:
    """Check that texts have at most `max_length` tokens, or warn that they are truncated.

    Texts are split only if one of them may be too long.

    Args:
        encoded: Texts in UTF-8, at least one.
        tokenizer: Their `Tokenizer`.
        max_length: Maximum number of tokens, eos counted. `None` for no limit.
        truncate: Whether longer texts are truncated.

    Raises:
        ValueError: If a text is longer and `truncate` is false.
    """
    if max_length is None or max(map(len, encoded)) * _TOKENS_PER_BYTE < max_length:
        return
    _, lengths = tokenizer.split(tf.constant(encoded))
    (numbers,) = np.nonzero(lengths.numpy() >= max_length)  # eos counts too
    if not len(numbers):
        return
    length = int(lengths[numbers[0]]) + 1
    if not truncate:
        raise InputError(
            f"`texts` must have at most `max_source_length` tokens each, {max_length}, eos "
            f"counted. Received: {length} tokens at position {numbers[0]}"
        )
    warnings.warn(
        f"{len(numbers)} texts were truncated to `max_source_length`, {max_length} tokens; the "
        f"first is at position {numbers[0]}, {length} tokens.",
        stacklevel=4,  # the caller of `Translator.translate`
    )
