"""Checks of what a model is asked: ids, settings of rows, and how to compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_s2s.search import ExactSearch, Search
from keras_s2s.search.limits import check_prefix, row_values

# The dtype and the least value of what may be given for each row.
_ROW_VALUES = {
    "max_length": (tf.int32, 1),
    "min_length": (tf.int32, 0),
    "length_penalty": (tf.float32, 0.0),
    "seed": (tf.int32, tf.int32.min),
}


def check_ids(name: str, ids: Any, vocabulary_size: int) -> tf.Tensor:
    """Give `ids` as int32 `(batch, length)`, refuse what the model cannot read.

    Values can be checked only where they are known, outside a graph.

    Args:
        name: the argument's name, for the message.
        ids: what came.
        vocabulary_size: how many ids there are.

    Returns:
        The ids, int32 `(batch, length)` with a length of at least 1.

    Raises:
        TypeError: if they are not integers.
        ValueError: if they have another rank or do not fit the vocabulary.
    """
    if isinstance(ids, tf.RaggedTensor):
        ids = ids.to_tensor()
    ids = tf.convert_to_tensor(ids)
    if not ids.dtype.is_integer:
        raise TypeError(f"`{name}` must hold integers. Received: dtype={ids.dtype.name}")
    if ids.shape.rank != 2:
        raise ValueError(
            f"`{name}` must have the shape (batch, length). Received: shape {tuple(ids.shape)}"
        )
    if hasattr(ids, "numpy"):
        _check_known_ids(name, ids.numpy(), vocabulary_size)
    return tf.cast(ids, tf.int32)


def check_jit_compile(jit_compile: bool, search: Search) -> None:
    """Refuse XLA where it cannot be.

    Args:
        jit_compile: whether it was asked for.
        search: the search that it is asked for.

    Raises:
        ValueError: if this is within a graph, or the search cannot be compiled.
    """
    if not jit_compile:
        return
    if not tf.executing_eagerly():
        raise ValueError(
            "`jit_compile` must be False within a graph: no server would run what is exported. "
            "Received: jit_compile=True"
        )
    if isinstance(search, ExactSearch):
        raise ValueError(
            "`jit_compile` must be False for an `ExactSearch`, whose memory grows as it needs. "
            "Received: jit_compile=True"
        )


def check_rows(
    given: dict[str, Any], batch_size: tf.Tensor, vocabulary_size: int
) -> dict[str, tf.Tensor]:
    """Give what came for each row as tensors.

    Args:
        given: "max_length", "min_length", "length_penalty", "prefix" and "seed"; None: not given.
        batch_size: how many rows there are.
        vocabulary_size: how many target ids there are.

    Returns:
        Those that were given: a number for each row, `(batch,)`; of "prefix" `(batch, any)`.

    Raises:
        TypeError: if integers are wanted and something else comes.
        ValueError: if a shape or a value is wrong.
    """
    checked = {}
    for name, (dtype, minimum) in _ROW_VALUES.items():
        value = given[name]
        if value is not None:
            column = row_values(name, value, batch_size, dtype=dtype, minimum=minimum)
            checked[name] = tf.squeeze(column, 1)
    prefix = given["prefix"]
    if prefix is not None:
        prefix = prefix.to_tensor() if isinstance(prefix, tf.RaggedTensor) else prefix
        checked["prefix"] = check_prefix(prefix, batch_size, vocabulary_size)
    return checked


def _check_known_ids(name: str, ids: np.ndarray[Any, Any], vocabulary_size: int) -> None:
    if ids.shape[1] == 0:
        raise ValueError(
            f"`{name}` must have a length of at least 1: even an empty text ends in eos. "
            f"Received: shape {ids.shape}"
        )
    foreign = np.argwhere((ids < 0) | (ids >= vocabulary_size))
    if len(foreign):
        row, position = foreign[0]
        raise ValueError(
            f"`{name}` must lie in [0, {vocabulary_size}), the vocabulary of the model. "
            f"Received: id {ids[row, position]} in row {row} at position {position}"
        )
