"""`LearningCurve`: the metrics of all epochs in a CSV file."""

from __future__ import annotations

import csv
from typing import Any

import keras

from keras_s2s.files import written_beside


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
