"""Adam's step as one operation for each variable.

`keras.optimizers.Adam` writes its step out: a dozen operations, each of which reads or writes a
whole variable. With a vocabulary of 8000 on both sides that is a tenth of a training step;
TensorFlow has the same step as one operation, which takes a third of the time.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf


@contextlib.contextmanager
def fused_adam(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Let the gradients that are applied in this context take the quick way, where there is one.

    It is the arithmetic of Keras (Kingma and Ba, 2015), for every weight at every step; clipping,
    averages of weights, accumulation, schedules and decay stay Keras's own. Optimisers other than
    `keras.optimizers.Adam`, sub-classes of it and `amsgrad` are left as they are.

    Args:
        optimizer: the optimiser.
    """
    if type(optimizer) is not keras.optimizers.Adam or optimizer.amsgrad:
        yield
        return
    vars(optimizer)["update_step"] = functools.partial(_update_step, optimizer)
    try:
        yield
    finally:
        vars(optimizer).pop("update_step", None)  # another replica may have been first


def _update_step(
    adam: keras.optimizers.Adam, gradient: Any, variable: tf.Variable, learning_rate: Any
) -> None:
    """Take the place of `keras.optimizers.Adam.update_step`."""
    number = adam._get_variable_index(variable)
    dtype = variable.dtype
    step = tf.cast(adam.iterations + 1, dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=adam._momentums[number].value.handle,
        v=adam._velocities[number].value.handle,
        beta1_power=tf.cast(adam.beta_1, dtype) ** step,
        beta2_power=tf.cast(adam.beta_2, dtype) ** step,
        lr=tf.cast(learning_rate, dtype),
        beta1=tf.cast(adam.beta_1, dtype),
        beta2=tf.cast(adam.beta_2, dtype),
        epsilon=tf.cast(adam.epsilon, dtype),
        grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
    )


@contextlib.contextmanager
def without_optimizers(models: Iterable[keras.Model]) -> Iterator[None]:
    """Take the optimizers away meanwhile: what answers needs no state of training in its file.

    Args:
        models: trained models.

    Yields:
        Once, while they have no optimizer.
    """
    taken = []
    for model in models:
        optimizer = getattr(model, "optimizer", None)
        if optimizer is not None:
            taken.append((model, optimizer))
            model.optimizer = None
    try:
        yield
    finally:
        for model, optimizer in taken:
            model.optimizer = optimizer
