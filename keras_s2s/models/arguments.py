"""Checks of the arguments of a model: ids, and whether XLA can compile a search."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_s2s.errors import InputError
from keras_s2s.search import ExactSearch, Search


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
        raise InputError(
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
        raise InputError(
            "`jit_compile` must be False within a graph: no server would run what is exported. "
            "Received: jit_compile=True"
        )
    if isinstance(search, ExactSearch):
        raise InputError(
            "`jit_compile` must be False for an `ExactSearch`, whose memory grows as it needs. "
            "Received: jit_compile=True"
        )


def _check_known_ids(name: str, ids: np.ndarray[Any, Any], vocabulary_size: int) -> None:
    if ids.shape[1] == 0:
        raise InputError(
            f"`{name}` must have a length of at least 1: even an empty text ends in eos. "
            f"Received: shape {ids.shape}"
        )
    foreign = np.argwhere((ids < 0) | (ids >= vocabulary_size))
    if len(foreign):
        row, position = foreign[0]
        raise InputError(
            f"`{name}` must lie in [0, {vocabulary_size}), the vocabulary of the model. "
            f"Received: id {ids[row, position]} in row {row} at position {position}"
        )
