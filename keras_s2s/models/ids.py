"""Checks of ids that a model receives, truncation after eos, and the shift for teacher forcing."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_s2s.checks import short_repr
from keras_s2s.errors import InputError
from keras_s2s.layers.embedding import check_integers
from keras_s2s.search.task import to_ids
from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID

_ADVICE = "Was the dataset made with the tokenizers that the model was built for?"
_OUTSIDE = (
    "`%s` must lie in [0, %d), the vocabulary of the model. "
    f"Received: id {{}} in row {{}} at position {{}} of a batch. {_ADVICE}"
)
_WITHOUT_INPUT = (
    f"`target_inputs` must begin with bos ({BOS_ID}), and be {PAD_ID} only where `target_labels` "
    f"are padding too. Received: {PAD_ID} in row {{}} at position {{}} of a batch, where the label "
    "is not padding"
)
_PATTERN = re.compile(
    "|".join(
        re.escape(message).replace("%s", r"\w+").replace("%d", r"\d+").replace(r"\{\}", r"-?\d+")
        for message in (_OUTSIDE, _WITHOUT_INPUT)
    )
)


def check_ids(
    name: str,
    ids: Any,
    vocabulary_size: int,
    check_order: Callable[[str, np.ndarray[Any, Any]], None] | None = None,
) -> tf.Tensor:
    """Check ids and return them as int32 `(batch, length)`.

    Values are checked only outside a graph, where they are known.

    Args:
        name: Name of the argument, for the error message.
        ids: Value of the argument.
        vocabulary_size: Number of ids.
        check_order: Function that checks the order of the ids in each row: `check_padding` or
            `check_target_ids`. Defaults to `None`, any order.

    Returns:
        The ids, int32 `(batch, length)` with a length of at least 1.

    Raises:
        TypeError: If the ids are not integers.
        ValueError: If the ids do not have rank 2, an id is outside the vocabulary, or
            `check_order` raises an error.
    """
    ids = to_ids(name, ids)
    if not ids.dtype.is_integer:
        raise TypeError(f"`{name}` must contain integers. Received: dtype={ids.dtype.name}")
    if ids.shape.rank != 2:
        raise InputError(
            f"`{name}` must have the shape (batch, length). Received: shape {tuple(ids.shape)}"
        )
    if hasattr(ids, "numpy"):
        known = ids.numpy()
        _check_known_ids(name, known, vocabulary_size)
        if check_order is not None:
            check_order(name, known)
    return tf.cast(ids, tf.int32)


def check_batch(
    inputs: Any, labels: Any, source_vocabulary_size: int, target_vocabulary_size: int
) -> tuple[Any, Any]:
    """Check the ids of a batch: all are in the vocabulary, and every label has an input.

    TensorFlow's own error names neither the input nor the position of an unknown id. On a GPU,
    TensorFlow raises no error and returns zeros. A label without an input would not be trained.

    Args:
        inputs: Dict of "source_ids" and "target_inputs", integers `(batch, length)`.
        labels: `None`, ids `(batch, target_length)`, or distributions
            `(batch, target_length, target_vocabulary_size)`.
        source_vocabulary_size: Number of source ids.
        target_vocabulary_size: Number of target ids.

    Returns:
        The inputs and the labels. If one of them is wrong, running the graph raises an
        `InvalidArgumentError`, which `as_value_error` converts to a `ValueError`.
    """
    checked = {
        "source_ids": (inputs["source_ids"], source_vocabulary_size),
        "target_inputs": (inputs["target_inputs"], target_vocabulary_size),
    }
    for name, (ids, _) in checked.items():
        check_integers(name, ids)
    if labels is not None and labels.shape.rank == 2:  # not distributions
        checked["target_labels"] = (labels, target_vocabulary_size)

    def fail() -> tf.Tensor:
        for name, (ids, size) in checked.items():
            tf.debugging.Assert(
                _all_in_vocabulary(ids, size),
                [_describe_first_outside(name, tf.cast(ids, tf.int64), size)],
            )
        place = _first_place(tf.logical_not(has_input))
        tf.debugging.Assert(
            tf.reduce_all(has_input), [tf.strings.format(_WITHOUT_INPUT, tf.unstack(place))]
        )
        return tf.constant(False)

    with tf.device("CPU:0"):  # otherwise the host would wait for the GPU
        fitting = [_all_in_vocabulary(ids, size) for ids, size in checked.values()]
        has_input = _has_input(labels, inputs["target_inputs"])
        fitting.append(tf.reduce_all(has_input))
        passed = tf.cond(tf.reduce_all(tf.stack(fitting)), lambda: tf.constant(True), fail)
    with tf.control_dependencies([passed]):
        return tf.nest.map_structure(
            lambda part: None if part is None else tf.identity(part), (inputs, labels)
        )


def check_inputs(inputs: Any) -> None:
    """Check that the inputs of a model have the source ids and the target inputs.

    Args:
        inputs: Value that the model received.

    Raises:
        ValueError: If the inputs are not a dict, a key is missing, or the numbers of rows differ.
    """
    if isinstance(inputs, Mapping) and {"source_ids", "target_inputs"} <= inputs.keys():
        names = "source_ids", "target_inputs"
        source, target = (tf.TensorShape(inputs[name].shape) for name in names)
        if not source[:1].is_compatible_with(target[:1]):
            raise InputError(
                "`source_ids` and `target_inputs` must have the same number of rows. Received: "
                f"shapes {tuple(source)} and {tuple(target)}"
            )
        return
    if isinstance(inputs, Mapping):
        received = str(sorted(inputs))
    elif isinstance(inputs, str | list | tuple):
        received = short_repr(inputs)
    else:
        shape = getattr(inputs, "shape", None)
        received = type(inputs).__name__ if shape is None else f"an array of shape {tuple(shape)}"
    raise InputError(
        "The inputs of a model must be a dict {'source_ids': ..., 'target_inputs': ...}, such as "
        "those of `make_dataset(pairs, source, target)`. To translate, use `Translator.translate` "
        f"or `model.search`. Received: inputs={received}"
    )


def check_data(data: Any) -> None:
    """Check that the argument `x` of `fit`, `evaluate` or `predict` is not a bare array.

    Args:
        data: Value of the argument.

    Raises:
        ValueError: If the argument is `None`, an array, a tensor, a text, a list or a tuple.
    """
    if data is None or isinstance(data, np.ndarray | tf.Tensor | str | list | tuple):
        check_inputs(data)


@contextlib.contextmanager
def as_value_error() -> Iterator[None]:
    """Convert an error of `check_batch` to a `ValueError` with one line."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = _PATTERN.search(error.message)
        if found is None:
            raise
        raise InputError(found[0]) from error


def until_eos(ids: tf.Tensor) -> tf.Tensor:
    """Replace everything after the first eos by padding.

    Args:
        ids: Integers `(..., length)`.

    Returns:
        The ids, with the same shape and dtype.
    """
    is_eos = tf.cast(tf.equal(ids, EOS_ID), tf.int32)
    ended = tf.cumsum(is_eos, axis=-1, exclusive=True) > 0
    return tf.where(ended, tf.cast(PAD_ID, ids.dtype), ids)


def shift_right(target_ids: tf.Tensor, first_id: int) -> tf.Tensor:
    """Return the inputs that predict `target_ids`: `first_id`, then all ids but the last.

    Args:
        target_ids: int32 `(batch, target_length)`, padded on the right with 0.
        first_id: Id of the first input.

    Returns:
        int32 `(batch, target_length)`, with padding where the target has padding.
    """
    first = tf.fill([tf.shape(target_ids)[0], 1], first_id)
    shifted = tf.concat([first, target_ids[:, :-1]], axis=1)
    return tf.where(tf.equal(target_ids, PAD_ID), PAD_ID, shifted)


def _check_known_ids(name: str, ids: np.ndarray[Any, Any], vocabulary_size: int) -> None:
    if ids.shape[1] == 0:
        raise InputError(
            f"`{name}` must have a length of at least 1: even an empty text ends in eos. "
            f"Received: shape {ids.shape}"
        )
    outside = np.argwhere((ids < 0) | (ids >= vocabulary_size))
    if len(outside):
        row, position = outside[0]
        raise InputError(
            f"`{name}` must lie in [0, {vocabulary_size}), the vocabulary of the model. "
            f"Received: id {ids[row, position]} in row {row} at position {position}"
        )


def _all_in_vocabulary(ids: tf.Tensor, vocabulary_size: int) -> tf.Tensor:
    """Return whether all ids are in the vocabulary."""
    least, most = (tf.cast(it(ids), tf.int64) for it in (tf.reduce_min, tf.reduce_max))
    return (least >= 0) & (most < vocabulary_size)


def _describe_first_outside(name: str, ids: tf.Tensor, vocabulary_size: int) -> tf.Tensor:
    """Describe the first id that is out of range, and its position."""
    place = _first_place((ids < 0) | (ids >= vocabulary_size))
    received = (tf.gather_nd(ids, place), *tf.unstack(place))
    return tf.strings.format(_OUTSIDE % (name, vocabulary_size), received)


def _has_input(labels: tf.Tensor | None, target_inputs: tf.Tensor) -> tf.Tensor:
    """Return whether each label is padding or has an input, bool `(batch, target_length)`."""
    real = tf.not_equal(target_inputs, PAD_ID)
    if labels is None:
        return tf.ones_like(real)
    is_padding = tf.equal(labels, tf.zeros([], labels.dtype))
    if labels.shape.rank != 2:  # distributions
        by_token = tf.concat([tf.shape(real), [-1]], axis=0)
        is_padding = tf.reduce_all(tf.reshape(is_padding, by_token), axis=2)
    return real | is_padding


def _first_place(wrong: tf.Tensor) -> tf.Tensor:
    """Return row and position of the first true value of `(batch, length)`, int32 `(2,)`."""
    place = tf.argmax(tf.cast(tf.reshape(wrong, [-1]), tf.int32), output_type=tf.int32)
    return tf.unravel_index(place, tf.shape(wrong))
