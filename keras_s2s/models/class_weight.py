"""The argument `class_weight` of `fit`: a weight for the tokens of each id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_s2s.checks import check_number, short_repr
from keras_s2s.errors import InputError
from keras_s2s.losses import as_labels

_BOTH = "`class_weight` and `sample_weight` cannot be combined. Multiply them into `sample_weight`."


def weight_labels(arguments: dict[str, Any], vocabulary_size: int) -> dict[str, Any]:
    """Convert `class_weight` to sample weights of the labels.

    Keras would interpret labels `(batch, length)` as one-hot rows, and weight a row by the position
    of its largest id.

    Args:
        arguments: Arguments of `fit`.
        vocabulary_size: Number of target ids.

    Returns:
        The arguments, with sample weights in place of `class_weight`.

    Raises:
        ValueError: If a class is not a target id, a weight is not a number of at least 0, or
            sample weights are given too.
        TypeError: If the data is a `DistributedDataset`.
    """
    weights = arguments.get("class_weight")
    if weights is None:
        return arguments
    table = _weight_table(weights, vocabulary_size)
    data = arguments["x"]
    found = {**arguments, "class_weight": None}
    if isinstance(data, tf.data.Dataset):
        return {**found, "x": data.map(lambda *batch: _weight_tensors(batch, table))}
    if isinstance(data, tf.distribute.DistributedDataset):
        raise TypeError(
            "`class_weight` needs the dataset before it is distributed. Received: a "
            "`DistributedDataset`"
        )
    if isinstance(data, keras.utils.PyDataset):
        return {**found, "x": _WeightedBatches(data, table)}
    if hasattr(data, "__next__"):
        return {**found, "x": _weighted_batches(data, table)}
    if arguments.get("sample_weight") is not None:
        raise InputError(_BOTH)
    weights = _weights_of(arguments["y"], table)
    if arguments.get("validation_split") and arguments.get("validation_data") is None:
        # Keras validates on the last rows, to which class weights do not apply.
        weights[int(len(weights) * (1.0 - arguments["validation_split"])) :] = 1.0
    return {**found, "sample_weight": weights}


def _weight_table(weights: Any, vocabulary_size: int) -> np.ndarray:
    """Return the weight of each target id, float32. Ids without a weight get 1."""
    if not isinstance(weights, Mapping):
        raise InputError(
            "`class_weight` must be a dict of weights by target id. "
            f"Received: class_weight={short_repr(weights)}"
        )
    table = np.ones(vocabulary_size, np.float32)
    for target_id, weight in weights.items():
        is_id = hasattr(target_id, "__index__") and 0 <= int(target_id) < vocabulary_size
        if not is_id:
            raise InputError(
                f"`class_weight` must have target ids in [0, {vocabulary_size}) as its keys. "
                f"Received: {target_id!r}"
            )
        table[int(target_id)] = check_number(f"class_weight[{target_id}]", weight, minimum=0.0)
    return table


def _weights_of(labels: Any, table: np.ndarray) -> np.ndarray:
    """Return the weights of labels. Ids out of range are reported later, with their position."""
    return table[np.clip(np.asarray(labels).astype(np.int64), 0, len(table) - 1)]


def _unweighted(batch: Any) -> tuple[Any, Any]:
    """Return the inputs and labels of a batch that has no sample weights."""
    inputs, labels, *weights = batch
    if weights and weights[0] is not None:
        raise InputError(_BOTH)
    return inputs, labels


def _weight_tensors(batch: Any, table: np.ndarray) -> tuple[Any, ...]:
    """Add the weights of the labels to a batch of tensors."""
    inputs, labels = _unweighted(batch)
    ids = tf.clip_by_value(tf.cast(as_labels(labels), tf.int64), 0, len(table) - 1)
    return inputs, labels, tf.gather(tf.constant(table), ids)


def _weight_arrays(batch: Any, table: np.ndarray) -> tuple[Any, ...]:
    """Add the weights of the labels to a batch of arrays, without TensorFlow.

    A `PyDataset` may run in a forked process, where TensorFlow can wait forever.
    """
    inputs, labels = _unweighted(batch)
    return inputs, labels, _weights_of(labels, table)


def _weighted_batches(batches: Iterator[Any], table: np.ndarray) -> Iterator[Any]:
    for batch in batches:
        yield _weight_arrays(batch, table)


class _WeightedBatches(keras.utils.PyDataset):
    """`PyDataset` that adds the weights of the labels to its batches.

    Args:
        batches: `PyDataset` of unweighted batches.
        table: Weight of each target id.
    """

    def __init__(self, batches: keras.utils.PyDataset, table: np.ndarray) -> None:
        super().__init__(
            workers=batches.workers,
            use_multiprocessing=batches.use_multiprocessing,
            max_queue_size=batches.max_queue_size,
        )
        self._batches, self._table = batches, table

    def __getitem__(self, index: int) -> Any:
        return _weight_arrays(self._batches[index], self._table)

    @property
    def num_batches(self) -> int | None:
        return self._batches.num_batches

    def on_epoch_begin(self) -> None:
        self._batches.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._batches.on_epoch_end()
