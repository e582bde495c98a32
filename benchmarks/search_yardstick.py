"""The yardstick: a straightforward beam search in the graph, over Keras LSTM cells.

This is what a user would write by hand with Keras cells and TensorFlow ops: a log_softmax over the
vocabulary, one top-k over all continuations of a row, and a gather of each state. Finished
hypotheses keep their slot and are fed pads. Runs under Keras 2 and 3, so that it can be compared
with each peer in the peer's own environment.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from benchmarks.search_sizes import BOS_ID, EOS_ID, NEVER, PAD_ID, Sizes


class YardstickDecoder:
    """Embedding, stacked `LSTMCell`s and a dense layer, with random weights that never predict eos.

    Args:
        sizes: Sizes of the decoder.
    """

    def __init__(self, sizes: Sizes) -> None:
        self.vocabulary_size = sizes.vocabulary_size
        self.embedding = keras.layers.Embedding(sizes.vocabulary_size, sizes.embedding_dim)
        self.cells = [keras.layers.LSTMCell(sizes.units) for _ in range(sizes.num_layers)]
        self.logits = keras.layers.Dense(sizes.vocabulary_size)
        inputs = sizes.embedding_dim
        self.embedding.build((None,))
        for cell in self.cells:
            cell.build((None, inputs))
            inputs = sizes.units
        self.logits.build((None, sizes.units))
        kernel, bias = self.logits.get_weights()
        bias[EOS_ID] = NEVER
        self.logits.set_weights([kernel, bias])

    def step(self, token_ids: tf.Tensor, states: list[Any]) -> tuple[tf.Tensor, list[Any]]:
        """Run one step for `token_ids` `(rows,)`."""
        values = self.embedding(token_ids)
        new_states = []
        for cell, state in zip(self.cells, states, strict=True):
            values, new_state = cell(values, state)
            new_states.append(list(new_state))
        return self.logits(values), new_states


def beam_search(
    decoder: YardstickDecoder, states: list[Any], beam_width: int, max_length: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Run a beam search.

    Args:
        decoder: The decoder.
        states: `[hidden, cell]` of each layer, each `(batch, units)`.
        beam_width: Integer. Number of hypotheses per row.
        max_length: Integer. Maximum number of output tokens.

    Returns:
        The ids `(batch, beam_width, max_length)` and their log probabilities `(batch, beam_width)`,
        best first.
    """
    batch, vocabulary = tf.shape(states[0][0])[0], decoder.vocabulary_size
    states = tf.nest.map_structure(lambda state: tf.repeat(state, beam_width, axis=0), states)
    row_starts = tf.expand_dims(tf.range(batch) * beam_width, 1)
    only_pad = tf.one_hot(PAD_ID, vocabulary, on_value=0.0, off_value=-1e9)

    def body(
        time: tf.Tensor,
        ids: tf.Tensor,
        log_probs: tf.Tensor,
        finished: tf.Tensor,
        last_ids: tf.Tensor,
        states: list[Any],
    ) -> tuple[Any, ...]:
        logits, states = decoder.step(tf.reshape(last_ids, [-1]), states)
        step_log_probs = tf.nn.log_softmax(logits)
        step_log_probs = tf.reshape(step_log_probs, [batch, beam_width, vocabulary])
        step_log_probs = tf.where(finished[:, :, tf.newaxis], only_pad, step_log_probs)
        total = log_probs[:, :, tf.newaxis] + step_log_probs
        total = tf.reshape(total, [batch, beam_width * vocabulary])
        log_probs, positions = tf.math.top_k(total, beam_width)
        parents, last_ids = positions // vocabulary, positions % vocabulary
        indices = tf.reshape(row_starts + parents, [-1])
        states = tf.nest.map_structure(lambda state: tf.gather(state, indices), states)
        finished = tf.gather(finished, parents, batch_dims=1) | tf.equal(last_ids, EOS_ID)
        ids = tf.gather(ids, parents, batch_dims=1)
        here = tf.equal(tf.range(max_length), time)
        ids = tf.where(here, last_ids[:, :, tf.newaxis], ids)
        return time + 1, ids, log_probs, finished, last_ids, states

    first_log_probs = tf.constant([[0.0] + [-1e9] * (beam_width - 1)])
    _, ids, log_probs, *_ = tf.while_loop(
        lambda time, ids, log_probs, finished, *_: ~tf.reduce_all(finished),
        body,
        (
            tf.constant(0),
            tf.zeros([batch, beam_width, max_length], tf.int32),
            tf.tile(first_log_probs, [batch, 1]),
            tf.zeros([batch, beam_width], tf.bool),
            tf.fill([batch, beam_width], BOS_ID),
            states,
        ),
        maximum_iterations=max_length,
    )
    return ids, log_probs


def make(sizes: Sizes) -> Any:
    """Build the search as a single graph for any batch size.

    Args:
        sizes: Sizes of the search.

    Returns:
        A function from the initial states to the ids.
    """
    decoder = YardstickDecoder(sizes)

    @tf.function(autograph=False)
    def run(*states: tf.Tensor) -> tf.Tensor:
        layers = [list(layer) for layer in zip(states[::2], states[1::2], strict=True)]
        return beam_search(decoder, layers, sizes.beam_width, sizes.steps)[0]

    spec = tf.TensorSpec([None, sizes.units])
    return run.get_concrete_function(*[spec] * (2 * sizes.num_layers))
