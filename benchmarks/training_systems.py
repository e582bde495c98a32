"""The systems compared by `benchmarks/training.py`: one model, implemented in each of them.

Each trains the same encoder-decoder on the same batches with Adam. The source and the target each
have an embedding and a stack of LSTM layers. A bridge leads from the last state of the encoder to
the initial states of the decoder, and a dense layer computes the logits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

import keras_s2s as s2s
from benchmarks.training_data import LEARNING_RATE, Batch, Train, Workload


def keras_model(workload: Workload, policy: str) -> keras.Model:
    """Build the model with plain Keras 3: masked `keras.layers.LSTM`, trained by `fit`."""
    keras.config.set_dtype_policy(policy)
    source_ids = keras.Input([None], dtype="int32", name="source_ids")
    values = keras.layers.Embedding(
        workload.source_vocabulary_size, workload.embedding_dim, mask_zero=True
    )(source_ids)
    last = None
    for _ in range(workload.num_layers):
        values, last, _ = keras.layers.LSTM(
            workload.units, return_sequences=True, return_state=True
        )(values)
    bridge = keras.layers.Dense(2 * workload.num_layers * workload.units)(last)
    states = keras.ops.split(bridge, 2 * workload.num_layers, axis=-1)
    target_inputs = keras.Input([None], dtype="int32", name="target_inputs")
    values = keras.layers.Embedding(
        workload.target_vocabulary_size, workload.embedding_dim, mask_zero=True
    )(target_inputs)
    for hidden, cell in zip(states[::2], states[1::2], strict=True):
        values = keras.layers.LSTM(workload.units, return_sequences=True)(
            values, initial_state=[keras.ops.tanh(hidden), cell]
        )
    logits = keras.layers.Dense(workload.target_vocabulary_size, dtype="float32")(values)
    model = keras.Model([source_ids, target_inputs], logits)
    model.compile(
        keras.optimizers.Adam(LEARNING_RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[],
    )
    keras.config.set_dtype_policy("float32")
    return model


def keras_s2s_model(
    workload: Workload,
    policy: str,
    *,
    attention: str | None = None,
    input_feeding: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """Build the model with this package."""
    keras.config.set_dtype_policy(policy)
    shared: dict[str, Any] = {
        "embedding_dim": workload.embedding_dim,
        "num_layers": workload.num_layers,
        "dropout": dropout,
    }
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(workload.source_vocabulary_size, workload.units, **shared),
        s2s.LSTMDecoder(
            workload.target_vocabulary_size,
            workload.units,
            attention=attention,
            input_feeding=input_feeding,
            **shared,
        ),
    )
    model.compile(
        s2s.FusedAdam(LEARNING_RATE),
        loss=s2s.SequenceLoss(reduction="token"),
        metrics=[],
    )
    keras.config.set_dtype_policy("float32")
    return model


MODELS: dict[str, Callable[[Workload, str], keras.Model]] = {
    "Keras 3": keras_model,
    "keras_s2s": keras_s2s_model,
    **{
        f"keras_s2s, {attention}": functools.partial(keras_s2s_model, attention=attention)
        for attention in ("luong", "bahdanau", "monotonic")
    },
    "keras_s2s, luong, input feeding": functools.partial(
        keras_s2s_model, attention="luong", input_feeding=True
    ),
    "keras_s2s, attention, dropout": functools.partial(
        keras_s2s_model, attention="luong", dropout=0.2
    ),
}


def train_by_fit(model: keras.Model, batches: list[Batch]) -> Train:
    """Return a function that trains a compiled model for one pass over the batches."""
    dataset = _dataset(batches)
    return lambda: _fit(model, dataset)


def make_system(name: str, workload: Workload, batches: list[Batch], policy: str) -> Train:
    """Build the model of a system.

    Args:
        name: A key of `MODELS`.
        workload: Sizes of the model.
        batches: Training batches.
        policy: Name of the dtype policy.

    Returns:
        A function that runs one pass over the batches.
    """
    return train_by_fit(MODELS[name](workload, policy), batches)


def use_threads(threads: int, *, side_by_side: bool) -> None:
    """Set the number of threads of TensorFlow.

    Args:
        threads: Integer. Number of cores of this process.
        side_by_side: Boolean. Whether each operation has one thread and operations run in parallel,
            as this package's documentation recommends and its command line does.
    """
    if threads == 1 or side_by_side:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def _dataset(batches: list[Batch]) -> tf.data.Dataset:
    ids = tf.TensorSpec([None, None], tf.int32)
    signature = ({"source_ids": ids, "target_inputs": ids}, ids)
    dataset = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
    options = tf.data.Options()
    options.autotune.enabled = False  # autotuning would delay the end of a round
    return dataset.cache().with_options(options)


def _fit(model: keras.Model, dataset: tf.data.Dataset) -> None:
    model.fit(dataset, epochs=1, verbose=0, shuffle=False)
