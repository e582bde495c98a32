"""Train a small model on one or several devices, and print its metrics as JSON.

    python distributed_fit.py one | mirrored | worker [FOLDER [DIES_AFTER]]

A worker reads its index and the addresses of all workers from TF_CONFIG. If a folder is given, the
worker saves its training state there and resumes from it, and kills itself after DIES_AFTER steps.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from helpers.reversing import make_data, make_model
from keras_s2s.callbacks import Resume
from keras_s2s.distillation import DistillationLoss, teach
from keras_s2s.losses import SequenceLoss
from keras_s2s.metrics import Perplexity, TokenAccuracy

LOSSES = ("token", "sequence", "distillation")
BATCH_SIZE, ROWS = 8, 27  # the last batch has three rows


def dataset(seed: int) -> tf.data.Dataset:
    """Return batches with targets of different lengths."""
    inputs, labels = make_data(ROWS, seed)
    return tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(BATCH_SIZE)


def strategy(kind: str) -> tf.distribute.Strategy:
    """Return the distribution strategy of a kind, over CPU devices."""
    if kind == "one":
        return tf.distribute.get_strategy()
    if kind == "worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


class Dies(keras.callbacks.Callback):
    """Callback that kills the process after a number of steps."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after, self.steps = after, 0

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.steps += 1
        if self.steps == self.after:
            os.kill(os.getpid(), signal.SIGKILL)


def train(loss: str, callbacks: list[keras.callbacks.Callback]) -> dict[str, Any]:
    """Train within the current scope and return the metrics."""
    keras.utils.set_random_seed(0)
    model = make_model(units=8, attention="luong")
    data = dataset(0)
    if loss == "distillation":
        data = teach(data, make_model(units=4))
        model.compile(keras.optimizers.Adam(0.02), loss=DistillationLoss())
    else:
        model.compile(
            keras.optimizers.Adam(0.02),
            loss=SequenceLoss(loss),
            metrics=[TokenAccuracy(), Perplexity()],
        )
    history = model.fit(
        data, epochs=2, validation_data=dataset(1), verbose=0, callbacks=callbacks
    ).history
    return {**history, "weights": [float(np.sum(weight)) for weight in model.get_weights()]}


def main(kind: str, folder: str = "", dies_after: str = "0") -> None:
    """Train with each loss, or with one if the state is saved."""
    with strategy(kind).scope():
        if not folder:
            print(json.dumps({loss: train(loss, []) for loss in LOSSES}))
            return
        dies = Dies(int(dies_after))
        trained = train("token", [Resume(folder, every=1), dies])
        print(json.dumps({"token": trained, "steps": dies.steps}))


if __name__ == "__main__":
    main(*sys.argv[1:])
