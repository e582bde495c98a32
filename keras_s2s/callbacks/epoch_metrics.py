"""Callbacks that use the metrics of each epoch: `KeepBest`, `StopEarly` and `LearningCurve`.

`KeepBest` saves the best epoch, `StopEarly` stops training without improvement, and `LearningCurve`
writes all epochs to a file.
"""

from __future__ import annotations

import csv
from typing import Any

import keras

from keras_s2s.evaluation import HIGHER_IS_BETTER
from keras_s2s.files import written_beside


class KeepBest(keras.callbacks.Callback):
    """Callback that saves the translator after each epoch that is the best so far.

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
    """Callback that stops training when no metric has improved for `patience` epochs.

    The watched metric, TER and the validation loss are tracked separately. Training continues while
    any of the three reaches a new best value. Epochs during warm-up do not count.

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
        if self.is_over():
            self.model.stop_training = True

    def is_over(self) -> bool:
        """Return whether `patience` epochs have passed without improvement."""
        return self.wait >= self.patience


class LearningCurve(keras.callbacks.Callback):
    """Callback that writes the metrics of all epochs to a CSV file, after each epoch.

    The callback rewrites the whole file. `keras.callbacks.CSVLogger` would write an epoch twice if
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
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        rate = float(self.model.optimizer.learning_rate.numpy())
        self.rows.append({"epoch": epoch, **metrics, "learning_rate": rate})
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with (
            written_beside(self.path) as unfinished,
            open(unfinished, "w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)


def _rank(logs: dict[str, Any], watch: str) -> list[float]:
    """Return the watched metric, TER and the validation loss, signed so that lower is better."""
    value = float(logs[f"val_{watch}"])
    ter = float(logs.get("val_ter", 0.0))
    return [-value if watch in HIGHER_IS_BETTER else value, ter, float(logs["val_loss"])]
