"""Trains a small model on one device or on several, and prints its figures as JSON.

    python distributed_fit.py one | mirrored | worker

A worker finds its number and the addresses of all of them in TF_CONFIG.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from models.reversing import make_data, make_model

from keras_s2s.training import Perplexity, SequenceLoss, TokenAccuracy

BATCH_SIZE, ROWS = 8, 27  # the last batch has three rows


def dataset(seed: int) -> tf.data.Dataset:
    """Batches whose rows have targets of unequal lengths."""
    inputs, labels = make_data(ROWS, seed)
    return tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(BATCH_SIZE)


def strategy(kind: str) -> tf.distribute.Strategy:
    """The strategy of a kind, over CPU devices."""
    if kind == "one":
        return tf.distribute.get_strategy()
    if kind == "worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def train(reduction: str) -> dict[str, Any]:
    """Train within the current scope; give the figures."""
    keras.utils.set_random_seed(0)
    model = make_model(units=8, attention="luong")
    model.compile(
        keras.optimizers.Adam(0.02),
        loss=SequenceLoss(reduction),
        metrics=[TokenAccuracy(), Perplexity()],
    )
    history = model.fit(dataset(0), epochs=2, validation_data=dataset(1), verbose=0).history
    return {**history, "weights": [float(np.sum(weight)) for weight in model.get_weights()]}


def main(kind: str) -> None:
    """Train with both means of the loss."""
    with strategy(kind).scope():
        print(json.dumps({reduction: train(reduction) for reduction in ("token", "sequence")}))


if __name__ == "__main__":
    main(sys.argv[1])
