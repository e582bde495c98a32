"""The model of `benchmarks/time_to_wer.py`, in plain Keras 3 layers and in this package's.

A bidirectional LSTM encodes the source. A dense layer maps its final states to the initial state of
the decoder's LSTM. Luong attention ("general") is computed at each step, and a dense layer with
tanh combines its context vector with the state. The sizes are those of `examples/pronunciation.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import keras
import numpy as np
import tensorflow as tf

import keras_s2s as s2s

Array: TypeAlias = np.ndarray[Any, Any]
Batch: TypeAlias = tuple[dict[str, Array], Array]
GRADIENT_NORM = 5.0


class Sizes(NamedTuple):
    """Sizes of the model."""

    source_vocabulary_size: int
    target_vocabulary_size: int
    units: int

    @property
    def embedding_dim(self) -> int:
        """Size of the embeddings on both sides."""
        return self.units // 2


class TrainedModel(Protocol):
    """A model that one of the systems trains."""

    def train(self, batches: list[Batch], learning_rates: list[float]) -> None:
        """Run one step of Adam for each batch with the learning rate at the same index."""

    def weights(self) -> list[Array]:
        """Return the weights in the order of `model_to_search`."""


class FittedModel:
    """A Keras model trained with `fit`.

    Args:
        model: Compiled Keras model.
        order: For each weight of `model_to_search`, the index of the weight in `model`.
    """

    def __init__(self, model: keras.Model, order: Sequence[int] | None = None) -> None:
        self._model = model
        self._order = range(len(model.weights)) if order is None else order

    def train(self, batches: list[Batch], learning_rates: list[float]) -> None:
        """Run one step of Adam for each batch with the learning rate at the same index."""
        ids = tf.TensorSpec([None, None], tf.int32)
        signature = ({"source_ids": ids, "target_inputs": ids}, ids)
        dataset = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
        options = tf.data.Options()
        options.autotune.enabled = False  # autotuning would delay the end of a round
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))

        def begin(batch: int, logs: Any = None) -> None:
            self._model.optimizer.learning_rate.assign(learning_rates[batch])

        schedule = keras.callbacks.LambdaCallback(on_train_batch_begin=begin)
        self._model.fit(
            dataset.with_options(options), callbacks=[schedule], epochs=1, verbose=0, shuffle=False
        )

    def weights(self) -> list[Array]:
        """Return the weights in the order of `model_to_search`."""
        arrays = [weight.numpy() for weight in self._model.weights]
        return [arrays[place] for place in self._order]


def model_to_search(sizes: Sizes) -> s2s.Seq2Seq:
    """Build this package's model."""
    shape: dict[str, Any] = {"embedding_dim": sizes.embedding_dim}
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(sizes.source_vocabulary_size, sizes.units, bidirectional=True, **shape),
        s2s.LSTMDecoder(sizes.target_vocabulary_size, sizes.units, attention="luong", **shape),
    )
    ids = np.full([1, 2], 3, np.int32)
    model({"source_ids": ids, "target_inputs": ids})
    return model


def keras_s2s_model(sizes: Sizes) -> FittedModel:
    """Build the model with this package."""
    model = model_to_search(sizes)
    adam = s2s.FusedAdam(global_clipnorm=GRADIENT_NORM)
    model.compile(adam, loss=s2s.SequenceLoss(reduction="token"), metrics=[])
    return FittedModel(model)


def keras_model(sizes: Sizes) -> FittedModel:
    """Build the model with plain Keras 3 layers."""
    layers, units = keras.layers, sizes.units
    source_ids = keras.Input([None], dtype="int32", name="source_ids")
    target_inputs = keras.Input([None], dtype="int32", name="target_inputs")
    source = layers.Embedding(sizes.source_vocabulary_size, sizes.embedding_dim, mask_zero=True)
    target = layers.Embedding(sizes.target_vocabulary_size, sizes.embedding_dim, mask_zero=True)
    encoder = layers.Bidirectional(layers.LSTM(units, return_sequences=True, return_state=True))
    bridge = layers.Dense(2 * units)
    decoder = layers.LSTM(units, return_sequences=True)
    keys = layers.Dense(units, use_bias=False)
    readout = layers.Dense(units, activation="tanh", use_bias=False)
    logits = layers.Dense(sizes.target_vocabulary_size)

    memory, forward, _, backward, _ = encoder(source(source_ids))
    last = layers.Concatenate()([forward, backward])
    hidden, cell = keras.ops.split(bridge(last), 2, axis=-1)
    states = decoder(target(target_inputs), initial_state=[keras.ops.tanh(hidden), cell])
    attended = layers.Attention()([states, memory, keys(memory)])
    outputs = logits(readout(layers.Concatenate()([states, attended])))
    model = keras.Model({"source_ids": source_ids, "target_inputs": target_inputs}, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    adam = keras.optimizers.Adam(global_clipnorm=GRADIENT_NORM)
    model.compile(adam, loss=loss, metrics=[])
    parts = [source, encoder, target, decoder, bridge, keys, readout, logits]
    places = {id(weight): place for place, weight in enumerate(model.weights)}
    return FittedModel(model, [places[id(weight)] for part in parts for weight in part.weights])
