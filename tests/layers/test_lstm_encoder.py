"""The encoder gives all states in the order of the source, and q of them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.layers import LSTMEncoder

SIZE, UNITS, DIM = 9, 3, 2
IDS = np.array([[5, 6, 7, 3], [8, 3, 0, 0], [0, 0, 0, 0]], np.int32)
LENGTHS = [4, 2, 0]


@keras.saving.register_keras_serializable(package="tests.encoder")
class Both(keras.layers.Layer):
    """A context of another size than the memory, with a weight of its own."""

    def build(self, memory_shape):
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, memory, mask):
        total = tf.reduce_sum(self.scale * memory, axis=1)
        return tf.concat([total, tf.reduce_sum(tf.cast(mask, memory.dtype), 1, True)], axis=1)


@keras.saving.register_keras_serializable(package="tests.encoder")
def all_states(memory, mask):
    return memory


def make(**kwargs) -> LSTMEncoder:
    encoder = LSTMEncoder(SIZE, UNITS, embedding_dim=DIM, **kwargs)
    encoder.build((None, None))
    random = np.random.default_rng(0)
    encoder.set_weights([random.normal(size=weight.shape) for weight in encoder.get_weights()])
    return encoder


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_it_is_what_the_layers_of_keras_are(packed, bidirectional):
    encoder = make(num_layers=2, bidirectional=bidirectional)
    values = keras.ops.take(encoder.embedding.get_weights()[0], IDS, axis=0)
    backward = iter(encoder.backward_lstms)
    for forward in encoder.forward_lstms:
        theirs = keras.layers.LSTM(UNITS, return_sequences=True, zero_output_for_mask=True)
        weights = forward.get_weights()
        if bidirectional:
            theirs = keras.layers.Bidirectional(theirs)
            weights += next(backward).get_weights()
        theirs.build(values.shape)
        theirs.set_weights(weights)
        values = theirs(values, mask=tf.constant(IDS != 0))
    np.testing.assert_allclose(encoder(IDS, packed=packed).memory, values, atol=1e-6)


@pytest.mark.parametrize("packed", [False, True])
def test_the_last_state_is_that_of_the_last_token_read_in_each_direction(packed):
    encoded = make(bidirectional=True, num_layers=2)(IDS, packed=packed)
    for row, length in enumerate(LENGTHS[:2]):
        forward = encoded.memory[row, length - 1, :UNITS]
        backward = encoded.memory[row, 0, UNITS:]
        np.testing.assert_array_equal(encoded.context[row], np.concatenate([forward, backward]))
    np.testing.assert_array_equal(encoded.context[2], np.zeros(2 * UNITS))


@pytest.mark.parametrize(("context", "by_numpy"), [("mean", np.mean), ("max", np.max)])
def test_mean_and_max_are_over_the_real_states(context, by_numpy):
    encoded = make(bidirectional=True, context=context)(IDS)
    for row, length in enumerate(LENGTHS[:2]):
        states = encoded.memory[row, :length].numpy()
        np.testing.assert_allclose(encoded.context[row], by_numpy(states, axis=0), atol=1e-6)
    np.testing.assert_array_equal(encoded.context[2], np.zeros(2 * UNITS))


def test_the_mask_is_true_at_real_tokens_and_the_memory_zero_elsewhere():
    encoded = make()(IDS)
    np.testing.assert_array_equal(encoded.mask, IDS != 0)
    np.testing.assert_array_equal(encoded.memory[IDS == 0], 0.0)


@pytest.mark.parametrize("packed", [False, True])
def test_a_source_read_from_its_end_gives_its_memory_in_the_order_of_the_source(packed):
    forwards, backwards = make(), make(reverse_source=True)
    turned = np.array([[3, 7, 6, 5], [3, 8, 0, 0]])
    expected = forwards(turned)
    encoded = backwards(IDS, packed=packed)
    for row, length in enumerate(LENGTHS[:2]):
        np.testing.assert_allclose(
            encoded.memory[row, :length], expected.memory[row, :length][::-1], atol=1e-6
        )
        np.testing.assert_allclose(encoded.context[row], expected.context[row], atol=1e-6)


def test_a_layer_may_be_q():
    encoder = make(context=Both())
    encoded = encoder(IDS)
    assert encoder.context_units == UNITS + 1
    assert len(encoder.trainable_variables) == len(make().trainable_variables) + 1
    scale = encoder.context.scale.numpy()
    np.testing.assert_allclose(
        encoded.context[:, :UNITS], scale * encoded.memory.numpy().sum(axis=1), atol=1e-6
    )
    np.testing.assert_array_equal(encoded.context[:, UNITS], LENGTHS)


def test_what_is_no_vector_for_each_row_is_refused():
    with pytest.raises(ValueError, match=r"one vector for each row.*which gives shape \(1, 1, 3\)"):
        LSTMEncoder(SIZE, UNITS, context=all_states).build((None, None))


@pytest.mark.parametrize("packed", [False, True])
def test_dropout_works_in_training_only(packed):
    encoder = make(dropout=0.5)
    plain = encoder(IDS, packed=packed, training=False)
    np.testing.assert_allclose(plain.memory, make()(IDS).memory, atol=1e-6)
    memory = encoder(IDS, packed=packed, training=True).memory[IDS != 0].numpy()
    kept = memory != 0.0
    assert 0 < kept.sum() < kept.size  # the memory is dropped,
    real = plain.memory[IDS != 0].numpy()
    assert np.any(memory[kept] != 2 * real[kept])  # and what it was made of


@pytest.mark.parametrize("packed", [False, True])
def test_a_batch_of_no_rows_gives_no_rows(packed):
    encoded = make(bidirectional=True, context="max")(tf.zeros([0, 3], tf.int32), packed=packed)
    assert encoded.context.shape == (0, 2 * UNITS)
    assert encoded.memory.shape == (0, 3, 2 * UNITS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocabulary_size": 0}, "`vocabulary_size` must be a positive integer. Received: vocab"),
        ({"units": -1}, "`units` must be a positive integer. Received: units=-1"),
        ({"embedding_dim": 0}, "`embedding_dim` must be a positive integer. Received: embedding"),
        ({"num_layers": 0}, "`num_layers` must be a positive integer. Received: num_layers=0"),
        ({"dropout": 1.5}, "`dropout` must be a number between 0 and 1. Received: dropout=1.5"),
        ({"context": "first"}, "`context` must be 'last_state'.*Received: context='first'"),
        ({"bidirectional": True, "reverse_source": True}, "both ways already.*reverse_source=True"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LSTMEncoder(**{"vocabulary_size": SIZE, "units": UNITS, **arguments})
