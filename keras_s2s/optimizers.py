"""`FusedAdam`, a learning rate schedule, and a context manager that detaches optimizers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_s2s.keras_private import adam_slots, adam_update_all

# Smallest factor of the peak learning rate at the end of a decay.
LOWEST_FACTOR = 0.001


@keras.saving.register_keras_serializable(package="keras_s2s")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that rises linearly while it follows a cosine over all steps.

        rate(t) = peak · min(1, (t + 1) / warmup_steps) · max(½ · (1 + cos(π · t / steps)), 0.001)

    `keras-s2s train` uses the same rates, unless a time limit shortens them (`Pace`).

    Args:
        peak: Float. Highest learning rate.
        warmup_steps: Integer. Number of optimizer steps in the warm-up.
        steps: Positive integer. Number of optimizer steps of the training run.
    """

    def __init__(self, peak: float, warmup_steps: int, steps: int) -> None:
        super().__init__()
        self.peak, self.warmup_steps, self.steps = peak, warmup_steps, steps

    def __call__(self, step: Any) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        warm = tf.minimum(1.0, (step + 1.0) / max(self.warmup_steps, 1))
        done = tf.minimum(1.0, step / self.steps)
        left = 0.5 * (1.0 + tf.cos(math.pi * done))
        return self.peak * warm * tf.maximum(left, LOWEST_FACTOR)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "steps": self.steps}


class AdamScalars(NamedTuple):
    """Scalars that the updates of all variables share in a step."""

    learning_rate: tf.Tensor
    beta_1_power: tf.Tensor
    beta_2_power: tf.Tensor


@keras.saving.register_keras_serializable(package="keras_s2s")
class FusedAdam(keras.optimizers.Adam):
    """Adam optimizer that updates each variable in one fused operation.

    Use it like `keras.optimizers.Adam`: the arguments, the arithmetic and the saved state are the
    same, and each can load the other's state. Schedules, clipping, weight decay, moving averages of
    the weights and gradient accumulation work too. With `amsgrad=True`, the update is Keras's own.
    `compile("adam")` of a `Seq2Seq` creates a `FusedAdam`.

    Keras implements the update as a dozen operations, each of which reads or writes a whole
    variable. With two vocabularies of 8000, a training step with the fused operation takes 7% less
    time on a CPU, and runs hundreds fewer operations on a GPU.

    Example:
        >>> model = Seq2Seq(LSTMEncoder(10, 4), LSTMDecoder(12, 4))
        >>> model.compile(FusedAdam(0.002, global_clipnorm=1.0), loss=SequenceLoss())

    References:
        - [Adam: a method for stochastic optimization (Kingma and Ba, 2015)](
          https://arxiv.org/abs/1412.6980)
    """

    # The scalars are the same for all variables, so they are computed once.
    _backend_update_step = adam_update_all

    def update_scalars(self, learning_rate: Any, dtype: Any) -> AdamScalars:
        """Compute the scalars that the updates of all variables share in a step."""
        step = tf.cast(self.iterations + 1, dtype)  # not a variable if gradients are accumulated
        return AdamScalars(
            tf.cast(learning_rate, dtype),
            tf.cast(self.beta_1, dtype) ** step,
            tf.cast(self.beta_2, dtype) ** step,
        )

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        if self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        momentum, velocity = adam_slots(self, variable)
        dtype = variable.dtype
        shared = learning_rate
        if not isinstance(shared, AdamScalars):
            shared = self.update_scalars(learning_rate, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=momentum.handle,
            v=velocity.handle,
            beta1_power=tf.cast(shared.beta_1_power, dtype),
            beta2_power=tf.cast(shared.beta_2_power, dtype),
            lr=tf.cast(shared.learning_rate, dtype),
            beta1=tf.cast(self.beta_1, dtype),
            beta2=tf.cast(self.beta_2, dtype),
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
        )


@contextlib.contextmanager
def without_optimizers(models: Iterable[keras.Model]) -> Iterator[None]:
    """Temporarily detach optimizers, so that their state is not saved.

    Args:
        models: Models, with or without an optimizer.

    Yields:
        `None`, while the models have no optimizer.
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
