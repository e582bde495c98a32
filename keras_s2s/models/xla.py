"""XLA for searches: the choice whether to use it, and padding to a few shapes.

XLA compiles a function again for each shape of its arguments. `pad_to_buckets` limits the number of
shapes.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection

import numpy as np
import tensorflow as tf

from keras_s2s.errors import InputError
from keras_s2s.layers.cudnn_recurrence import runs_on_gpu
from keras_s2s.search import BeamSearch, ExactSearch, GreedySearch, Sampling, Search, SearchResult

_MIN_SOURCE_LENGTH = 16  # a search of a shorter source is hardly faster
# Errors that TensorFlow raises if XLA lacks a library of the GPU or an operation.
COMPILE_ERRORS = (
    tf.errors.InternalError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.UnimplementedError,
)

_failures: list[str] = []  # not the errors, whose tracebacks keep models and batches in memory


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
        Whether to compile the search.

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
        # XLA compiles the search again for each value of a `max_length` argument.
        once = in_steps and search.max_length is not None and "max_length" not in row_options
        return once and not _failures and tf.executing_eagerly() and runs_on_gpu()
    if not jit_compile:
        return False
    if not tf.executing_eagerly():
        raise InputError(
            "`jit_compile` must be False inside a graph: servers cannot run exports that need "
            "XLA. Received: jit_compile=True"
        )
    if isinstance(search, ExactSearch):
        raise InputError(
            "`jit_compile` must be False for an `ExactSearch`, whose tensors have no fixed size. "
            "Received: jit_compile=True"
        )
    if search.max_length is None and "max_length" not in row_options:
        raise InputError(
            "`jit_compile` must be False for a search without `max_length`, whose outputs have no "
            "fixed size. Received: jit_compile=True, max_length=None"
        )
    return True


def disable_xla(error: Exception) -> None:
    """Warn that XLA cannot compile searches, and stop choosing XLA for "auto".

    Args:
        error: The error of XLA.
    """
    _failures.append(str(error))
    warnings.warn(
        f"XLA could not compile a search, so searches run without XLA, and slower: {error}. If "
        "libdevice is missing, set XLA_FLAGS=--xla_gpu_cuda_data_dir to the folder of CUDA",
        stacklevel=3,
    )


def pad_to_buckets(
    source_ids: tf.Tensor, row_options: dict[str, tf.Tensor]
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Pad a batch to one of a few shapes, because XLA compiles a function for each shape.

    The number of rows and the lengths become powers of two. Additional rows repeat the first one,
    so that they add no step to the search.

    Args:
        source_ids: int32 `(batch, source_length)`, padded with pad ids.
        row_options: Options `(batch,)` of the rows; "prefix" is int32 `(batch, prefix_length)`,
            padded with pad ids.

    Returns:
        The padded ids and options, with at least 16 source positions.
    """
    rows, length = source_ids.shape
    order = np.arange(_power_of_two(rows))
    order[rows:] = 0  # repeat the first row

    def pad(values: tf.Tensor, length: int) -> tf.Tensor:
        return tf.pad(tf.gather(values, order), [[0, 0], [0, length - values.shape[1]]])

    options = {
        name: pad(value, _power_of_two(value.shape[1]))
        if name == "prefix"
        else tf.gather(value, order)
        for name, value in row_options.items()
    }
    return pad(source_ids, max(_MIN_SOURCE_LENGTH, _power_of_two(length))), options


def crop(found: SearchResult, rows: int, source_length: int) -> SearchResult:
    """Remove the rows and source positions that `pad_to_buckets` added.

    Args:
        found: Result of the padded batch.
        rows: Number of sources.
        source_length: Length of the sources.

    Returns:
        The result of the batch.
    """
    attention = None if found.attention is None else found.attention[..., :source_length]
    found = found._replace(attention=attention)
    return SearchResult(*(None if part is None else part[:rows] for part in found))


def _power_of_two(size: int) -> int:
    """Return the smallest power of two that is at least `size`, or 0 for 0."""
    return 1 << (size - 1).bit_length() if size else 0
