"""Checks of texts that a user passes in a list, an array or a tensor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_s2s.checks import short_repr
from keras_s2s.errors import InputError
from keras_s2s.texts import is_empty


def check_several(texts: Any) -> None:
    """Check that `texts` is not a single text, whose characters would be treated as texts.

    Args:
        texts: Value of the argument.

    Raises:
        TypeError: If `texts` is a single text, or is not iterable.
    """
    # NumPy and TensorFlow can also hold a single text: an array without dimensions.
    if isinstance(texts, str | bytes) or getattr(texts, "shape", None) == ():
        raise TypeError(
            "`texts` must be a list of texts, not a single text. "
            f"Received: texts={short_repr(texts)}"
        )
    if not isinstance(texts, Iterable):
        raise TypeError(f"`texts` must be a list of texts. Received: texts={short_repr(texts)}")


def encode_texts(texts: Any) -> list[bytes]:
    """Check texts, and encode them in UTF-8. Errors include the position of the text.

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
                "`texts` must contain texts only. "
                f"Received: {short_repr(text)} (of type {type(text).__name__}) at position "
                f"{number}"
            )
        try:
            raw = text.encode("utf-8") if isinstance(text, str) else text
            raw.decode("utf-8")
        except UnicodeError as error:
            raise InputError(
                "`texts` must be valid Unicode. "
                f"Received: {short_repr(text)} at position {number}: {error}"
            ) from None
        if is_empty(raw):
            raise InputError(
                f"`texts` must not be empty. Received: {short_repr(text)} at position {number}"
            )
        encoded.append(raw)
    return encoded
