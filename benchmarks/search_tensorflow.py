"""Systems of the search benchmark that run in this package's own environment."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from benchmarks import search_yardstick
from benchmarks.search_sizes import BOS_ID, EOS_ID, NEVER, Sizes
from keras_s2s.layers import LSTMDecoder
from keras_s2s.layers import products as products_module
from keras_s2s.layers.decoder_features import DecoderState
from keras_s2s.layers.products import fast_products
from keras_s2s.layers.recurrence import LSTMState
from keras_s2s.layers.stack import MOST_PROJECTED_TOKENS
from keras_s2s.models.searchable import MANY_ROWS
from keras_s2s.search import BeamSearch

Run = Callable[[], Any]


def use_threads(threads: int) -> None:
    """Set the number of TensorFlow threads. Must be called first."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def keras_s2s(
    sizes: Sizes, batch: int, *, jit_compile: bool = False, dtype: str = "float32"
) -> Run:
    """Prepare this package's search over its own decoder."""
    decoder = LSTMDecoder(
        sizes.vocabulary_size,
        sizes.units,
        embedding_dim=sizes.embedding_dim,
        num_layers=sizes.num_layers,
    )
    decoder.build((None, None), (None, sizes.units))
    decoder.logits.bias.assign(NEVER * np.eye(sizes.vocabulary_size)[EOS_ID])
    search = BeamSearch(beam_width=sizes.beam_width, max_length=sizes.steps)

    @tf.function(autograph=False, jit_compile=jit_compile or None)
    def run(*states: tf.Tensor) -> tf.Tensor:
        source = decoder.prepare_steps(decoder.read(states[0], None, None), dtype)
        layers = zip(states[::2], states[1::2], strict=True)
        return search(
            lambda token_ids, state: decoder.step(token_ids, state, source),
            DecoderState(tuple(LSTMState(*layer) for layer in layers)),
            tf.shape(states[0])[0],
            sizes.vocabulary_size,
        ).ids

    if not jit_compile:
        with fast_products(many_rows=batch * sizes.beam_width in MANY_ROWS):  # as `model.search`
            run = _any_batch(run, sizes)
    return functools.partial(_run, run, sizes, batch)


def exported(sizes: Sizes, batch: int) -> Run:
    """Prepare the same search as an export has it: with TensorFlow's own products."""
    with mock.patch.object(products_module, "uses_onednn", return_value=False):
        return keras_s2s(sizes, batch)


def yardstick(sizes: Sizes, batch: int) -> Run:
    """Prepare the yardstick search over Keras cells."""
    search = search_yardstick.make(sizes)
    return functools.partial(_run, search, sizes, batch)


def keras_example(sizes: Sizes, batch: int) -> Run:
    """Prepare the Keras example: greedy search in a Python loop of `predict`.

    The example has no beam search. To compute as many matrix products as a beam search, it gets
    `beam_width` rows per source.
    """
    rows = batch * sizes.beam_width
    inputs = [keras.Input([1], dtype="int32")]
    values = keras.layers.Embedding(sizes.vocabulary_size, sizes.embedding_dim)(inputs[0])
    outputs = []
    for _ in range(sizes.num_layers):
        state = [keras.Input([sizes.units]), keras.Input([sizes.units])]
        inputs += state
        lstm = keras.layers.LSTM(sizes.units, return_sequences=True, return_state=True)
        values, *after = lstm(values, initial_state=state)
        outputs += after
    model = keras.Model(inputs, [keras.layers.Dense(sizes.vocabulary_size)(values), *outputs])

    def run() -> Any:
        states = [np.zeros([rows, sizes.units], np.float32)] * (2 * sizes.num_layers)
        ids = np.full([rows, 1], BOS_ID, np.int32)
        for _ in range(sizes.steps):
            logits, *states = model.predict([ids, *states], verbose=0, batch_size=rows)
            ids = logits.argmax(axis=2).astype(np.int32)
        return ids

    return run


def products(sizes: Sizes, batch: int) -> Run:
    """Prepare the lower bound for this processor: only the matrix products of each step."""
    kernels = _kernels(sizes)

    @tf.function(autograph=False)
    def run(values: tf.Tensor) -> tf.Tensor:
        def body(time: tf.Tensor, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            some = [tf.matmul(values[:, : len(kernel)], kernel)[:, :1] for kernel in kernels]
            return time + 1, values + 1e-9 * tf.add_n(some)

        return tf.while_loop(lambda time, _: time < sizes.steps, body, (0, values))[1]

    values = tf.random.normal([batch * sizes.beam_width, sizes.units])
    return lambda: run(values).numpy()


def _kernels(sizes: Sizes) -> list[Any]:
    """Create the weight matrices of a step."""
    shapes = [(sizes.units, 4 * sizes.units)] * (2 * sizes.num_layers - 1)
    shapes.append((sizes.units, sizes.vocabulary_size))
    if sizes.vocabulary_size > MOST_PROJECTED_TOKENS:
        shapes.append((sizes.embedding_dim, 4 * sizes.units))
    return [tf.random.normal(shape) for shape in shapes]


def _any_batch(run: Any, sizes: Sizes) -> Any:
    """Trace for any batch size, as a server does."""
    spec = tf.TensorSpec([None, sizes.units])
    return run.get_concrete_function(*[spec] * (2 * sizes.num_layers))


def _run(search: Any, sizes: Sizes, batch: int) -> Any:
    states = [tf.zeros([batch, sizes.units]) for _ in range(2 * sizes.num_layers)]
    return search(*states).numpy()


SYSTEMS: dict[str, Callable[[Sizes, int], Run]] = {
    "yardstick": yardstick,
    "keras_s2s": keras_s2s,
    "keras_s2s, exported": exported,
    "keras_s2s bfloat16": functools.partial(keras_s2s, dtype="bfloat16"),
    "keras_s2s XLA": functools.partial(keras_s2s, jit_compile=True),
    "Keras example": keras_example,
    "products alone": products,
}
