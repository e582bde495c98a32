"""Checks of the arguments of a model: ids, and whether XLA compiles a search."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import tensorflow as tf

from keras_s2s.errors import InputError
from keras_s2s.layers.cudnn_recurrence import runs_on_gpu
from keras_s2s.search import BeamSearch, ExactSearch, GreedySearch, Sampling, Search


def check_ids(name: str, ids: Any, vocabulary_size: int) -> tf.Tensor:
    """Check ids and return them as int32 `(batch, length)`.

    Values can be checked only if they are known, outside a graph.

    Args:
        name: Name of the argument, for the error message.
        ids: Value of the argument.
        vocabulary_size: Number of ids.

    Returns:
        The ids, int32 `(batch, length)` with a length of at least 1.

    Raises:
        TypeError: If the ids are not integers.
        ValueError: If the ids have a wrong rank or do not fit the vocabulary.
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


def choose_jit_compile(
    jit_compile: bool | str, search: Search, row_options: Collection[str] = ()
) -> bool:
    """Choose whether XLA compiles a search.

    Args:
        jit_compile: `True`, `False` or "auto": only outside a graph, on a GPU, and for a search
            that XLA compiles once per shape.
        search: Search to compile.
        row_options: Names of the options that are given for each row.

    Returns:
        Boolean, whether to compile the search.

    Raises:
        ValueError: If `jit_compile` has another value, or is `True` inside a graph or for a search
            that XLA cannot compile.
    """
    if jit_compile not in (True, False, "auto"):
        raise InputError(
            f'`jit_compile` must be True, False or "auto". Received: jit_compile={jit_compile!r}'
        )
    in_steps = isinstance(search, BeamSearch | GreedySearch | Sampling)
    if jit_compile == "auto":
        # XLA compiles the search anew for each value of a `max_length` per row.
        once = in_steps and search.max_length is not None and "max_length" not in row_options
        return once and tf.executing_eagerly() and runs_on_gpu()
    if not jit_compile:
        return False
    if not tf.executing_eagerly():
        raise InputError(
            "`jit_compile` must be False inside a graph: servers cannot run exports that need "
            "XLA. Received: jit_compile=True"
        )
    if isinstance(search, ExactSearch):
        raise InputError(
            "`jit_compile` must be False for an `ExactSearch`, whose memory has no fixed size. "
            "Received: jit_compile=True"
        )
    if search.max_length is None and "max_length" not in row_options:
        raise InputError(
            "`jit_compile` must be False for a search without `max_length`, whose outputs have no "
            "fixed size. Received: jit_compile=True, max_length=None"
        )
    return True


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
