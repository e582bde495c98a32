"""Arguments of `compile` and `fit`: losses that take logits, callbacks, and `class_weight`."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_s2s.checks import check_number, short_repr
from keras_s2s.epochs import EpochClock
from keras_s2s.errors import InputError, check_package
from keras_s2s.losses import as_labels
from keras_s2s.metrics import TokenAccuracy
from keras_s2s.special_ids import PAD_ID

_BOTH = "`class_weight` and `sample_weight` cannot be combined. Multiply them into `sample_weight`."

# Keras's names of the metric that `TokenAccuracy` replaces.
_ACCURACY = {"acc", "accuracy", "sparse_categorical_accuracy"}
# Keras's losses and metrics that take ids, or that call a function of the user. All others whose
# name does not begin with "sparse" need dense targets.
_TAKE_IDS = {
    "CTC",
    "IoU",
    "LossFunctionWrapper",
    "Mean",
    "MeanIoU",
    "MeanMetricWrapper",
    "Sum",
    "ctc",
}
# Those of them that average all positions.
_COUNT_PADDING = {"IoU", "Mean", "MeanIoU", "Sum"}
# Names that Keras resolves by the shape of the labels.
_BY_SHAPE = {"acc", "accuracy", "ce", "crossentropy"}


def check_loss(loss: Any) -> None:
    """Check that a loss takes logits and target ids, and ignores padding.

    Args:
        loss: Value of the argument of `compile`.

    Raises:
        ValueError: If a Keras loss does not.
    """
    own = "`keras.losses.SparseCategoricalCrossentropy` with from_logits=True and ignore_class=0"
    check_takes_ids("loss", loss, f"use `SequenceLoss()`, or {own}")
    check_takes_logits("loss", loss, "use `SequenceLoss()`, or from_logits=True")
    check_ignores_padding("loss", loss, "use `SequenceLoss()`, or ignore_class=0")


def check_metrics(name: str, metrics: Any) -> Any:
    """Check that metrics take logits and target ids, and ignore padding.

    Args:
        name: Name of the argument of `compile`.
        metrics: Value of the argument.

    Returns:
        The metrics, with a `TokenAccuracy` in place of the name of Keras's accuracy, which would
        count padding.

    Raises:
        ValueError: If another Keras metric does not.
    """

    def replace(metric: Any) -> Any:
        is_accuracy = isinstance(metric, str) and metric.lower() in _ACCURACY
        return TokenAccuracy(name=metric) if is_accuracy else metric

    metrics = keras.tree.map_structure(replace, metrics)
    check_takes_ids(name, metrics, "use `TokenAccuracy()` or `Perplexity()`")
    check_takes_logits(name, metrics, "use `Perplexity()`, or from_logits=True")
    check_ignores_padding(name, metrics, "use `TokenAccuracy()` or `Perplexity()`")
    return metrics


def check_ignores_padding(name: str, given: Any, alternative: str) -> None:
    """Check that no Keras loss or metric of target ids counts padding.

    Keras does not know which ids are padding, and would include them in its means.

    Args:
        name: Name of the argument of `compile`, for the error message.
        given: Value of the argument: a name, a loss, a metric, or a nest of these.
        alternative: Advice what to use instead, for the error message.

    Raises:
        ValueError: If a loss or metric counts padding.
    """
    for item in keras.tree.flatten(given):
        if _counts_padding(item):
            raise InputError(
                f"`{name}` must ignore padding: {alternative}. Received: {name}={_describe(item)}, "
                "which counts padding as tokens"
            )


def check_takes_logits(name: str, given: Any, alternative: str) -> None:
    """Check that no Keras loss or metric expects probabilities, because the model returns logits.

    Keras would interpret the logits as probabilities and train on wrong values without an error.

    Args:
        name: Name of the argument of `compile`, for the error message.
        given: Value of the argument: a name, a loss, a metric, or a nest of these.
        alternative: Advice what to use instead, for the error message.

    Raises:
        ValueError: If a loss or metric has `from_logits=False`.
    """
    for item in keras.tree.flatten(given):
        if _takes_probabilities(item):
            raise InputError(
                f"`{name}` must take logits, which the model returns: {alternative}. "
                f"Received: {name}={_describe(item)}, which takes probabilities"
            )


def check_takes_ids(name: str, given: Any, alternative: str) -> None:
    """Check that no Keras loss or metric expects dense targets, because the labels are ids.

    Keras would fail on the shapes, or broadcast the ids and train on them as if they were numbers.

    Args:
        name: Name of the argument of `compile`, for the error message.
        given: Value of the argument: a name, a loss, a metric, or a nest of these.
        alternative: Advice what to use instead, for the error message.

    Raises:
        ValueError: If a loss or metric compares the logits with targets of the same shape.
    """
    for item in keras.tree.flatten(given):
        if _takes_dense_targets(item):
            raise InputError(
                f"`{name}` must compare logits (batch, length, vocabulary) with target ids (batch, "
                f"length): {alternative}. Received: {name}={_describe(item)}, which needs targets "
                "of the shape of the logits"
            )


def sort_callbacks(callbacks: Any) -> list[keras.callbacks.Callback]:
    """Sort callbacks so that callbacks that save the state of others run last.

    Args:
        callbacks: Callback, nest of callbacks, or `None`.

    Returns:
        The callbacks.

    Raises:
        TypeError: If an object is not a callback.
        ImportError: If there is a `TensorBoard` callback and the package tensorboard is missing.
            Keras would only raise after tracing.
    """
    listed = keras.tree.flatten(callbacks) if callbacks is not None else []
    for callback in listed:
        if not isinstance(callback, keras.callbacks.Callback):
            raise TypeError(
                "`callbacks` must be a list of `keras.callbacks.Callback`. "
                f"Received: {short_repr(callback)}"
            )
    boards = [it for it in listed if isinstance(it, keras.callbacks.TensorBoard)]
    if boards:
        check_package("tensorboard")
    return sorted(listed, key=lambda callback: getattr(callback, "runs_last", False))


@contextlib.contextmanager
def fit_hooks(model: keras.Model, arguments: dict[str, Any]) -> Iterator[None]:
    """Call the hooks of callbacks before and after `fit`, even if `fit` fails.

    A callback may define `begin_fit(model, arguments, callbacks)`, which is called before Keras
    reads the arguments, and `end_fit()`. An `EpochClock` runs before all other callbacks.

    Args:
        model: Model that `fit` trains.
        arguments: Arguments of `fit`, with sorted "callbacks".
    """
    given = arguments["callbacks"]
    callbacks = given.callbacks if isinstance(given, keras.callbacks.CallbackList) else given
    clock = EpochClock(arguments["initial_epoch"])
    callbacks.insert(0, clock)
    try:
        with contextlib.ExitStack() as stack:
            for callback in list(callbacks):
                if hasattr(callback, "end_fit"):
                    stack.callback(callback.end_fit)
                if hasattr(callback, "begin_fit"):
                    callback.begin_fit(model, arguments, callbacks)
            yield
    finally:
        callbacks.remove(clock)


@contextlib.contextmanager
def silence_end_of_data(data: Any, steps_per_epoch: int | None) -> Iterator[None]:
    """Silence Keras's warning that a dataset of unknown length ran out of data.

    Args:
        data: Data that `fit` or `evaluate` received.
        steps_per_epoch: Number of batches per epoch. `None` means all.
    """
    unknown = isinstance(data, tf.data.Dataset) and steps_per_epoch is None
    with warnings.catch_warnings():
        if unknown and data.cardinality() == tf.data.UNKNOWN_CARDINALITY:
            warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
        yield


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
    return {**found, "sample_weight": _weights_of(arguments["y"], table)}


def _describe(item: Any) -> str:
    """Return the name of a loss or metric for an error message."""
    shown = repr(item) if isinstance(item, str) else getattr(item, "name", None)
    return str(shown or getattr(item, "__name__", repr(item)))


def _takes_dense_targets(item: Any) -> bool:
    """Return whether a Keras loss or metric needs targets of the same shape as the outputs."""
    name = _name_in_keras(item)
    return name is not None and not name.lower().startswith("sparse") and name not in _TAKE_IDS


def _counts_padding(item: Any) -> bool:
    """Return whether a Keras loss or metric includes the padding in its mean."""
    name = _name_in_keras(item)
    if name is None or not (name.lower().startswith("sparse") or name in _COUNT_PADDING):
        return False
    # Keras's mean of a crossentropy metric counts the positions that it ignores.
    ignores = isinstance(item, keras.losses.Loss | keras.metrics.IoU)
    return not (ignores and getattr(item, "ignore_class", None) == PAD_ID)


def _name_in_keras(item: Any) -> str | None:
    """Return the name of a Keras loss or metric. `None` for a custom one."""
    if isinstance(item, str):
        if item in _BY_SHAPE:
            return None
        for get in (keras.losses.get, keras.metrics.get):
            try:
                item = get(item)
                break
            except ValueError:  # not a name of this kind
                continue
        else:
            return None  # Keras reports the unknown name
    named = item if hasattr(item, "__name__") else type(item)
    of_keras = str(getattr(named, "__module__", "")).startswith("keras.")
    return str(named.__name__) if of_keras else None


def _takes_probabilities(item: Any) -> bool:
    """Return whether a Keras loss or metric has `from_logits=False`."""
    if isinstance(item, str):
        if item in ("crossentropy", "ce"):  # Keras converts it to the sparse metric
            return True
        try:
            item = keras.losses.get(item)
        except ValueError:  # not the name of a loss
            return False
    if isinstance(item, keras.losses.Loss | keras.metrics.Metric):
        return item.get_config().get("from_logits") is False
    if not callable(item):
        return False
    try:
        parameter = inspect.signature(item).parameters.get("from_logits")
    except (TypeError, ValueError):
        return False
    return parameter is not None and parameter.default is False


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
