"""The encoder gives all states in the order of the source, and q of them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.layers import GRUEncoder, LSTMEncoder

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


def make(kind=LSTMEncoder, **kwargs):
    encoder = kind(SIZE, UNITS, embedding_dim=DIM, **kwargs)
    encoder.build((None, None))
    random = np.random.default_rng(0)
    for weight in encoder.trainable_weights:
        weight.assign(random.normal(size=weight.shape))
    return encoder


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_outputs_match_those_of_keras_layers(packed, bidirectional):
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
    turned = np.array([[7, 6, 5, 3], [8, 3, 0, 0], [6, 5, 8, 7]])
    expected = forwards(turned)
    ids = np.array([[5, 6, 7, 3], [8, 3, 0, 0], [7, 8, 5, 6]])  # without eos all is turned round
    encoded = backwards(ids, packed=packed)
    order = [[2, 1, 0, 3], [0, 1, 2, 3], [3, 2, 1, 0]]  # eos stays last
    for row in range(3):
        np.testing.assert_allclose(
            encoded.memory[row], expected.memory[row].numpy()[order[row]], atol=1e-6
        )
    np.testing.assert_allclose(encoded.context, expected.context, atol=1e-6)


@pytest.mark.parametrize("kind", [LSTMEncoder, GRUEncoder])
@pytest.mark.parametrize("reverse_source", [False, True])
def test_packed_and_padded_agree_with_all_that_can_be_joined(kind, reverse_source):
    encoder = make(
        kind,
        num_layers=3,
        bidirectional=not reverse_source,
        reverse_source=reverse_source,
        residual=True,
        layer_normalization=True,
        context="attention_pool",
    )
    padded, packed = encoder(IDS), encoder(IDS, packed=True)
    tf.nest.map_structure(
        lambda one, other: np.testing.assert_allclose(one, other, atol=1e-5), padded, packed
    )
    np.testing.assert_array_equal(padded.memory[IDS == 0], 0.0)
    np.testing.assert_array_equal(padded.context[2], np.zeros(encoder.context_units))


@pytest.mark.parametrize("packed", [False, True])
def test_the_last_state_is_the_last_output_with_all_that_is_joined_to_it(packed):
    encoder = make(num_layers=2, bidirectional=True, residual=True, layer_normalization=True)
    encoded = encoder(IDS, packed=packed)
    for row, length in enumerate(LENGTHS[:2]):
        forward = encoded.memory[row, length - 1, :UNITS]
        backward = encoded.memory[row, 0, UNITS:]
        ends = np.concatenate([forward, backward])
        np.testing.assert_allclose(encoded.context[row], ends, atol=1e-6)
    np.testing.assert_array_equal(encoded.context[2], np.zeros(2 * UNITS))


def test_words_are_dropped_in_training_only():
    encoder = make(word_dropout=1.0)
    unknown = np.where(IDS > 3, 1, IDS)  # eos and padding stay
    dropped = encoder(IDS, training=True)
    np.testing.assert_allclose(dropped.memory, encoder(unknown).memory, atol=1e-6)
    np.testing.assert_array_equal(dropped.mask, IDS != 0)
    np.testing.assert_array_equal(encoder(IDS).memory, make()(IDS).memory)


def test_embeddings_that_are_not_trained_are_no_trainable_weights():
    frozen = make(trainable_embeddings=False)
    assert len(frozen.trainable_weights) == len(make().trainable_weights) - 1
    assert [weight.name for weight in frozen.non_trainable_weights] == ["embeddings"]


def test_a_layer_can_be_the_context():
    encoder = make(context=Both())
    encoded = encoder(IDS)
    assert encoder.context_units == UNITS + 1
    assert len(encoder.trainable_variables) == len(make().trainable_variables) + 1
    scale = encoder.context.scale.numpy()
    np.testing.assert_allclose(
        encoded.context[:, :UNITS], scale * encoded.memory.numpy().sum(axis=1), atol=1e-6
    )
    np.testing.assert_array_equal(encoded.context[:, UNITS], LENGTHS)


def test_a_context_that_is_not_a_vector_per_row_is_rejected():
    with pytest.raises(
        ValueError, match=r"one vector per sequence.*which returns shape \(1, 1, 3\)"
    ):
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
def test_the_memory_has_its_own_dropout_rate(packed):
    def memory(*rates):
        return make(dropout=rates)(IDS, packed=packed, training=True).memory.numpy()

    assert np.any(memory(1.0, 0.0))
    assert not np.any(memory(0.0, 1.0))


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
        ({"word_dropout": "x"}, "`word_dropout` must be a number between 0 and 1. Received"),
        (
            {"recurrent_dropout": [0.1, 0.2]},
            "`recurrent_dropout` must be one rate, or a sequence of length 1: one for each layer",
        ),
        ({"dropout": 1.5}, "`dropout` must be a number between 0 and 1. Received: dropout=1.5"),
        ({"context": "first"}, "`context` must be 'last_state'.*Received: context='first'"),
        ({"bidirectional": True, "reverse_source": True}, "both directions.*reverse_source=True"),
    ],
)
def test_bad_arguments_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        LSTMEncoder(**{"vocabulary_size": SIZE, "units": UNITS, **arguments})
