"""`Pace`: learning rate schedule with a time limit."""

from __future__ import annotations

import math
import time
from typing import Any

import keras

from keras_s2s.optimizers import LOWEST_FACTOR


class Pace(keras.callbacks.Callback):
    """Callback that sets the learning rate, and stops training at a time limit.

    The learning rate rises linearly over `warmup_steps` and then follows `schedule`. The schedule
    ends with the last epoch or at the time limit, whichever comes first.

    Args:
        learning_rate: Float. Peak learning rate.
        schedule: One of "constant", "linear", "cosine", "inverse_sqrt" or "plateau". "plateau"
            leaves the decay to `ReduceLROnPlateau`.
        warmup_steps: Integer. Number of optimizer steps in the warm-up.
        epochs: Integer. Number of epochs.
        minutes: Float or `None`. Time limit of the training run. `None` means no limit.
        warmup_share: Float. Maximum share of the time limit for the warm-up. Defaults to 0.1.
        steps_per_epoch: Integer. Estimated number of steps in an epoch, used in the first epoch if
            the dataset does not know its number of batches. Defaults to 0, no estimate: the first
            epoch then counts as done only at its end.
    """

    # Attributes that `Resume` saves and restores.
    state_attributes = ("seconds", "steps_of_epoch")

    def __init__(
        self,
        learning_rate: float,
        schedule: str,
        warmup_steps: int,
        epochs: int,
        minutes: float | None,
        *,
        warmup_share: float = 0.1,
        steps_per_epoch: int = 0,
    ) -> None:
        super().__init__()
        self.learning_rate, self.schedule, self.warmup_steps = learning_rate, schedule, warmup_steps
        self.epochs, self.minutes, self.warmup_share = epochs, minutes, warmup_share
        self.seconds = 0.0
        self.steps_of_epoch = 0
        self._estimated_steps = steps_per_epoch
        self._epoch = self._batch = 0
        self._since = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._since = time.monotonic()
        if not self.steps_of_epoch:
            self.steps_of_epoch = self.params.get("steps") or 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._batch = epoch, 0

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        step = int(self.model.optimizer.iterations.numpy())
        if self.schedule == "plateau" and step >= max(self.warmup_steps, 1):
            return
        self.model.optimizer.learning_rate.assign(self.learning_rate * self.factor(step))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._batch = batch + 1
        now = time.monotonic()
        self.seconds, self._since = self.seconds + now - self._since, now
        if self.is_over():
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.model.stop_training:
            self.steps_of_epoch = self._batch

    def factor(self, step: int) -> float:
        """Return the fraction of the peak learning rate to use for a step.

        Args:
            step: Integer. Number of optimizer steps taken before this one.

        Returns:
            A float of at most 1.
        """
        warm = (step + 1) / max(self.warmup_steps, 1)
        if self.minutes is not None:  # a time limit may shorten the warm-up
            warm = max(warm, self._time_used() / self.warmup_share)
        warm = min(1.0, warm)
        if self.schedule in ("constant", "plateau"):
            return warm
        if self.schedule == "inverse_sqrt":
            first = max(self.warmup_steps, 1)
            return warm * math.sqrt(first / max(step + 1, first))
        done = min(1.0, max(self._epochs_done() / self.epochs, self._time_used()))
        left = 1.0 - done if self.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
        return warm * max(left, LOWEST_FACTOR)

    def is_over(self) -> bool:
        """Return whether training has reached its time limit."""
        return self._time_used() >= 1.0

    def _epochs_done(self) -> float:
        steps = self.steps_of_epoch or self._estimated_steps
        return self._epoch + (min(1.0, self._batch / steps) if steps else 0.0)

    def _time_used(self) -> float:
        return 0.0 if self.minutes is None else self.seconds / (60.0 * self.minutes)
