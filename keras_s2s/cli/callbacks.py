"""Callbacks that `keras-s2s train` runs during training."""

from __future__ import annotations

import csv
import math
import time
from typing import Any

import keras

from keras_s2s.files import written_beside
from keras_s2s.recommended import WARMUP_SHARE

RISING = ("bleu", "chrf")


class Pace(keras.callbacks.Callback):
    """Learning rate schedule that also stops training at the time limit.

    The learning rate rises over `warmup_steps` and then follows `schedule`. The schedule spans all
    epochs, or the time limit if that comes first.

    Args:
        learning_rate: Float. Peak learning rate.
        schedule: One of "constant", "linear", "cosine", "inverse_sqrt" or "plateau". "plateau"
            leaves the decay to `ReduceLROnPlateau`.
        warmup_steps: Integer. Number of optimizer steps in the warm-up.
        epochs: Integer. Number of epochs.
        minutes: Float or None. Time limit. `None` means no limit.
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
    ) -> None:
        super().__init__()
        self.learning_rate, self.schedule, self.warmup_steps = learning_rate, schedule, warmup_steps
        self.epochs, self.minutes = epochs, minutes
        self.seconds = 0.0
        self.steps_of_epoch = 0
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
        if self.minutes is not None:  # a time limit also shortens the warm-up
            warm = max(warm, self._time_used() / WARMUP_SHARE)
        warm = min(1.0, warm)
        if self.schedule in ("constant", "plateau"):
            return warm
        if self.schedule == "inverse_sqrt":
            first = max(self.warmup_steps, 1)
            return warm * math.sqrt(first / max(step + 1, first))
        done = min(1.0, max(self._epochs_done() / self.epochs, self._time_used()))
        left = 1.0 - done if self.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
        return warm * max(left, 0.001)

    def is_over(self) -> bool:
        """Return whether training has reached its time limit."""
        return self._time_used() >= 1.0

    def _epochs_done(self) -> float:
        return self._epoch + min(1.0, self._batch / max(self.steps_of_epoch, self._batch + 1))

    def _time_used(self) -> float:
        return 0.0 if self.minutes is None else self.seconds / (60.0 * self.minutes)


class KeepBest(keras.callbacks.Callback):
    """Saves the translator after each epoch that improves on the best one.

    Epochs are ranked by the watched metric. Ties are broken by TER, then by the validation loss.

    Args:
        translator: The `Translator` to save.
        path: Path of the file to write.
        watch: Metric to rank by: "wer", "ter", "bleu" or "chrf".
    """

    state_attributes = ("best", "best_epoch")

    def __init__(self, translator: Any, path: str, watch: str) -> None:
        super().__init__()
        self.translator, self.path, self.watch = translator, path, watch
        self.best: list[float] = []
        self.best_epoch = -1

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        rank = _rank(logs or {}, self.watch)
        if not self.best or rank < self.best:
            self.translator.save(self.path)
            self.best, self.best_epoch = rank, epoch


class StopEarly(keras.callbacks.Callback):
    """Stops training when no metric has improved for `patience` epochs.

    The watched metric, TER and the validation loss are tracked separately. Training continues while
    any of them reaches a new best value. Epochs during warm-up do not count.

    Args:
        patience: Integer. Number of epochs without improvement before training stops.
        warmup_steps: Integer. Number of optimizer steps in the warm-up.
        watch: Metric to track: "wer", "ter", "bleu" or "chrf".
    """

    state_attributes = ("best", "wait")

    def __init__(self, patience: int, warmup_steps: int, watch: str) -> None:
        super().__init__()
        self.patience, self.warmup_steps, self.watch = patience, warmup_steps, watch
        self.best: list[float] = []
        self.wait = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        rank = _rank(logs or {}, self.watch)
        warming_up = int(self.model.optimizer.iterations.numpy()) <= self.warmup_steps
        improved = not self.best or any(
            here < best for here, best in zip(rank, self.best, strict=True)
        )
        self.best = [min(pair) for pair in zip(rank, self.best or rank, strict=True)]
        self.wait = 0 if improved or warming_up else self.wait + 1
        if self.wait >= self.patience:
            self.model.stop_training = True


def _rank(logs: dict[str, Any], watch: str) -> list[float]:
    """Return the watched metric, TER and the validation loss, signed so that lower is better."""
    figure = float(logs[f"val_{watch}"])
    ter = float(logs.get("val_ter", 0.0))
    return [-figure if watch in RISING else figure, ter, float(logs["val_loss"])]


class LearningCurve(keras.callbacks.Callback):
    """Writes the metrics of all epochs to a CSV file after each epoch.

    The file is rewritten each time. `keras.callbacks.CSVLogger` would list an epoch twice if
    training was interrupted at its end.

    Args:
        path: Path of the CSV file.
    """

    state_attributes = ("rows",)

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.rows: list[dict[str, float]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        figures = {name: float(value) for name, value in (logs or {}).items()}
        rate = float(self.model.optimizer.learning_rate.numpy())
        self.rows.append({"epoch": epoch, **figures, "learning_rate": rate})
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with (
            written_beside(self.path) as unfinished,
            open(unfinished, "w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)
