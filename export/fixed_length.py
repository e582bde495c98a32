"""Running and checking exports whose sources have a fixed length."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keras_s2s.errors import InputError
from keras_s2s.export.parity import Runtime
from keras_s2s.export.questions import Arrays
from keras_s2s.special_ids import PAD_ID
from keras_s2s.translator import Translator


def short_texts(translator: Translator, texts: list[str], source_length: int) -> list[str]:
    """Return the texts whose ids fit into a length, eos included.

    Args:
        translator: The `Translator`.
        texts: The texts.
        source_length: Maximum number of ids.

    Returns:
        The texts that fit; the empty text always does.
    """
    _, lengths = translator.source.split(tf.constant(texts))
    fits = (lengths.numpy() < source_length).tolist()
    return [text for text, short in zip(texts, fits, strict=True) if short]


def pad_sources(inputs: Arrays, source_length: int) -> Arrays:
    """Pad the "source_ids" of a request.

    Args:
        inputs: An array for each input of a signature that takes ids.
        source_length: The length to pad to.

    Returns:
        The inputs, with "source_ids" of that length.

    Raises:
        ValueError: If "source_ids" are longer.
    """
    length = inputs["source_ids"].shape[1]
    if length > source_length:
        raise InputError(
            f"A source must have at most `source_length` tokens, {source_length}, eos counted. "
            f"Received: {length} tokens"
        )
    return {**inputs, "source_ids": _pad(inputs["source_ids"], source_length)}


def padded(runtime: Runtime, source_length: int) -> Runtime:
    """Wrap a runtime whose "source_ids" have a fixed length.

    Args:
        runtime: The runtime.
        source_length: The fixed length.

    Returns:
        A runtime that takes shorter "source_ids" and pads them.
    """

    def run(signature: str, inputs: Arrays) -> Arrays:
        return runtime(signature, pad_sources(inputs, source_length))

    return run


def one_by_one(runtime: Runtime, source_length: int | None) -> Runtime:
    """Wrap a runtime that takes one row at a time.

    Args:
        runtime: The runtime.
        source_length: The fixed length of its "source_ids", or `None` for any length.

    Returns:
        A runtime that takes a batch of rows, and calls the wrapped one for each row.
    """
    run_row = runtime if source_length is None else padded(runtime, source_length)

    def run(signature: str, inputs: Arrays) -> Arrays:
        size = len(inputs["source_ids"])
        rows = [
            run_row(signature, {name: value[row : row + 1] for name, value in inputs.items()})
            for row in range(size)
        ]
        if "target_ids" in rows[0]:
            longest = max(row["target_ids"].shape[-1] for row in rows)
            for row in rows:
                row["target_ids"] = _pad(row["target_ids"], longest)
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    return run


def _pad(ids: np.ndarray, length: int) -> np.ndarray:
    """Pad the last axis of ids to a length."""
    widths = [(0, 0)] * (ids.ndim - 1) + [(0, length - ids.shape[-1])]
    return np.pad(ids, widths, constant_values=PAD_ID)
