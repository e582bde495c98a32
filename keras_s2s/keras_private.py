"""Private parts of Keras that this package uses, with the reason for each.

No other module uses private attributes of Keras classes, so a new version of Keras can break only
this one. The private parts of TensorFlow are here as well.
tests/test_keras_private.py has one test for each function.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common.variables import AutocastScope
from tensorflow.core.framework.attr_value_pb2 import AttrValue
from tensorflow.python.framework import ops

# Attributes that Keras's own callbacks need to continue in another process. Keras cannot save the
# state of a callback.
CALLBACK_STATE: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "cooldown_counter", "best"),
    keras.callbacks.ModelCheckpoint: (
        "best",
        "_batches_seen_since_last_saving",
        "_last_batch_seen",
    ),
    keras.callbacks.SwapEMAWeights: ("_ema_weights_in_model",),
}


def track_loss(model: keras.Model, loss: tf.Tensor, batch_size: tf.Tensor) -> None:
    """Add the loss of a batch to the mean that `fit` reports as "loss".

    A custom `train_step` must update this mean, as Keras's own does. It has no public name.
    """
    model._loss_tracker.update_state(loss, sample_weight=batch_size)


@contextlib.contextmanager
def forget_validation_data(model: keras.Model) -> Iterator[None]:
    """Drop the iterator over the validation data after `fit`, even if `fit` fails.

    Keras drops it only after a successful `fit`. Otherwise the next `fit` would validate on the
    data of the failed one.
    """
    try:
        yield
    finally:
        model._eval_epoch_iterator = None


def compute_loss(
    model: keras.Model, inputs: Any, labels: Any, logits: Any, sample_weight: Any, *, training: bool
) -> tf.Tensor:
    """Compute the compiled loss of padded logits.

    `compute_loss` is public, but an override in a subclass may have no `training` argument. Only
    Keras's private method handles both cases.
    """
    return model._compute_loss(inputs, labels, logits, sample_weight, training=training)


def added_losses(model: keras.Model) -> list[tf.Tensor]:
    """Return the scalar losses that layers and regularizers add, for this replica's share.

    `losses` is public, but under `tf.distribute` each replica must add only its share.
    """
    return [model._aggregate_additional_loss(loss) for loss in model.losses]


def has_loss_weights(model: keras.Model) -> bool:
    """Return whether `compile` received `loss_weights`, which have no public attribute."""
    return model._compile_loss._user_loss_weights is not None


def compiled_metrics(model: keras.Model) -> list[Any] | None:
    """Return the metrics of `compile`, or `None` before Keras has built them.

    `model.metrics` contains one wrapper for all of them, which does not expose them.
    """
    compiled = model._compile_metrics
    if compiled is None:
        return []
    return list(compiled.metrics) if compiled.built else None


def build_metrics(model: keras.Model, labels: tf.Tensor, logits: tf.Tensor) -> None:
    """Create the variables of the compiled metrics, which Keras creates only in the first step."""
    compiled = model._compile_metrics
    if compiled is not None and not compiled.built:
        compiled.build(labels, logits)


def set_initial_epoch(model: keras.Model, epoch: int | None) -> None:
    """Set the first epoch of `fit`. `None` restores the argument `initial_epoch`.

    Keras's own `BackupAndRestore` resumes in the same way. There is no public attribute.
    """
    model._initial_epoch = epoch


def maybe_symbolic_build(model: keras.Model, iterator: Any = None, data_batch: Any = None) -> None:
    """Build the metrics of a distributed model from the batch of one replica.

    Replaces the method of `keras.Model` that `fit` calls. Keras averages the replicas' batches,
    which are ids here, over an axis that the scalar metrics of several machines lack
    (https://github.com/keras-team/keras/issues/20585).
    """
    strategy = model._distribute_strategy
    if strategy is not None and iterator is not None:
        _, _, batches = next(iter(iterator))
        data_batch = keras.tree.map_structure(
            lambda values: strategy.experimental_local_results(values)[0], next(batches)
        )
        iterator = None
    keras.Model._maybe_symbolic_build(model, iterator, data_batch)


def without_autocast() -> Any:
    """Return a context in which the weights of a mixed policy are read in float32.

    Keras casts each weight of a layer that is called. There is no public way to cast several
    weights at once.
    """
    return AutocastScope(None)


def adam_slots(adam: keras.optimizers.Adam, variable: tf.Variable) -> tuple[Any, Any]:
    """Return the variables of the first and the second moment of the gradient of `variable`.

    `update_step` is a public method, but the variables that it updates are private.
    """
    number = adam._get_variable_index(variable)
    return adam._momentums[number].value, adam._velocities[number].value


def adam_update_all(
    adam: Any, gradients: list[Any], variables: list[Any], learning_rate: tf.Tensor
) -> None:
    """Update all variables, and compute the shared scalars once.

    Replaces the method of `keras.optimizers.Adam` that calls `update_step` for each variable. There
    is no public way for the updates to share values.
    """
    if not adam.amsgrad:
        learning_rate = adam.update_scalars(learning_rate, variables[0].dtype)
    keras.optimizers.Adam._backend_update_step(adam, gradients, variables, learning_rate)


def all_layers(model: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return a layer and all layers inside it, at every depth.

    `keras.Model.layers` is public, but contains only the outermost layers.
    """
    return list(model._flatten_layers())


def gradient_names(operations: Iterable[tf.Operation]) -> list[str]:
    """Return the names under which `tf.custom_gradient` registered the gradients of operations."""
    attributes = (operation.node_def.attr for operation in operations)
    names = (attribute["_gradient_op_type"].s.decode() for attribute in attributes)
    return [name for name in names if name]


def forget_gradients(names: list[str]) -> None:
    """Remove gradients from TensorFlow's registry, which has no public method for it."""
    for name in names:
        ops.gradient_registry._registry.pop(name, None)


def onednn_product(
    a: tf.Tensor, b: tf.Tensor, *, transpose_a: bool = False, transpose_b: bool = False
) -> tf.Tensor:
    """Multiply two float32 matrices with oneDNN, in a graph on a CPU. There is no gradient.

    TensorFlow creates this operation itself in place of `MatMul`, but on some processors only if an
    environment variable is set before it is imported. The operation has no public name.
    """
    product = tf.compat.v1.get_default_graph().create_op(
        "_MklMatMul",
        [a, b],
        [tf.float32],
        name="product",
        attrs={
            "transpose_a": AttrValue(b=transpose_a),
            "transpose_b": AttrValue(b=transpose_b),
            "T": AttrValue(type=tf.float32.as_datatype_enum),
            "_kernel": AttrValue(s=b"MklNameChangeOp"),
        },
    )
    return product.outputs[0]
