"""What a decoder can be asked for is what its formula says, for LSTM and GRU."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers.decoder_formula import DecoderFormula

from keras_s2s.layers import GRUDecoder, LSTMDecoder
from keras_s2s.layers.decoder_features import compute_step_features
from keras_s2s.layers.embedding import TokenEmbedding
from keras_s2s.layers.products import fast_products

SIZE, UNITS, CONTEXT = 7, 3, 4
IDS = np.array([[2, 5, 6, 4], [2, 4, 0, 0]], np.int32)
MASK = np.array([[1, 1, 1], [1, 1, 0]], bool)
random = np.random.default_rng(0)
C = random.normal(size=(2, CONTEXT)).astype(np.float32)
STATES = random.normal(size=(2, 3, UNITS)).astype(np.float32)
SOURCE = (C, STATES, MASK)

OPTIONS = {
    "plain": {},
    "every step": {"context_to": "every_step"},
    "luong": {"attention": "luong"},
    "luong_dot": {"attention": "luong_dot", "context_to": "both"},
    "luong_concat": {"attention": "luong_concat"},
    "bahdanau": {"attention": "bahdanau"},
    "input feeding": {"attention": "luong", "input_feeding": True, "context_to": "both"},
    "tied": {"tie_output": True},
    "residual": {"residual": True, "attention": "bahdanau"},
    "normalised": {"layer_normalization": True},
    "all": {
        "attention": "luong_dot",
        "input_feeding": True,
        "tie_output": True,
        "residual": True,
        "layer_normalization": True,
    },
}
every_kind = pytest.mark.parametrize("kind", [LSTMDecoder, GRUDecoder])
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def make(kind=LSTMDecoder, **kwargs):
    decoder = kind(SIZE, UNITS, **{"num_layers": 2, **kwargs})
    decoder.build((None, None), (None, CONTEXT), (None, None, UNITS), (None, None))
    random = np.random.default_rng(1)
    for weight in decoder.trainable_weights:
        weight.assign(0.7 * random.normal(size=weight.shape))
    return decoder


def whole(decoder, ids=IDS, *, packed=False, training=False):
    logits = decoder(ids, *SOURCE, packed=packed, training=training)
    return logits.unpack() if packed else logits


@every_kind
@every_option
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.sampled(11)
def test_logits_of_a_whole_target_match_the_formula(kind, options, packed):
    decoder = make(kind, **options)
    logits = whole(decoder, packed=packed)
    assert logits.dtype == tf.float32
    formula = DecoderFormula(decoder)
    for row in range(2):
        real = IDS[row] != 0
        expected = formula.logits(IDS[row][real], C[row], STATES[row][MASK[row]])
        np.testing.assert_allclose(logits[row][real], expected, atol=1e-5)


@every_kind
@every_option
@pytest.mark.sampled(11)
def test_a_whole_target_matches_its_steps(kind, options):
    decoder = make(kind, **options)
    state, source = decoder.initial_state(tf.constant(C)), decoder.read(*map(tf.constant, SOURCE))
    logits = whole(decoder)
    for time in range(2):
        step, state = decoder.step(tf.constant(IDS[:, time]), state, source)
        np.testing.assert_allclose(step, logits[:, time], atol=1e-6)


@every_kind
@every_option
@pytest.mark.sampled(4)
def test_packed_gradients_are_the_padded_ones(kind, options):
    decoder = make(kind, **options)
    labels = tf.constant(np.random.default_rng(2).normal(size=(*IDS.shape, SIZE)), tf.float32)
    real = tf.cast(IDS != 0, tf.float32)[:, :, tf.newaxis]
    found = []
    for packed in (False, True):
        with tf.GradientTape() as tape:
            logits = whole(decoder, packed=packed, training=True)
            total = tf.reduce_mean(real * (logits - labels) ** 2)
        found.append(tape.gradient(total, decoder.trainable_weights))
    for padded, packed in zip(*found, strict=True):
        np.testing.assert_allclose(
            tf.convert_to_tensor(padded), tf.convert_to_tensor(packed), atol=1e-5
        )


@pytest.mark.parametrize(
    ("options", "dtype", "error"),
    [
        ({"attention": "luong_concat", "input_feeding": True, "copy": True}, "float32", 1e-5),
        ({"attention": "bahdanau", "residual": True}, "mixed_bfloat16", 0.02),
    ],
    ids=["float32", "bfloat16"],
)
def test_packed_gradients_of_a_graph_are_the_padded_ones(options, dtype, error):
    decoder = LSTMDecoder(SIZE, UNITS, num_layers=2, dtype=dtype, **options)
    source = [tf.constant(part, decoder.compute_dtype) for part in (C, STATES)]
    source += [tf.constant(MASK), tf.constant([[4, 5, -1], [6, 4, 4]]) if decoder.copy else None]

    def gradients(packed):
        with tf.GradientTape() as tape:
            tape.watch(source[:2])
            logits = decoder(IDS, *source, packed=packed)
            logits = logits.unpack() if packed else logits
            total = tf.reduce_sum(tf.sin(logits[IDS != 0]))
        found = tape.gradient(total, [*decoder.trainable_weights, *source[:2]])
        return [tf.cast(tf.convert_to_tensor(gradient), tf.float32) for gradient in found]

    padded = gradients(packed=False)
    with fast_products():
        packed = tf.function(lambda: gradients(packed=True), autograph=False)()
    for one, other in zip(padded, packed, strict=True):
        np.testing.assert_allclose(one, other, atol=error * (1 + np.abs(one).max()))


@every_kind
@pytest.mark.parametrize("attention", [None, "luong", "bahdanau"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.sampled(3)
def test_what_is_dropped_from_step_to_step_is_dropped_in_training_only(kind, attention, packed):
    decoder = make(kind, attention=attention, recurrent_dropout=1.0, context_to="every_step")
    plain = make(kind, attention=attention, context_to="every_step")
    for layer in plain.stack.forward_layers:
        layer.recurrent_kernel.assign(0 * layer.recurrent_kernel)
    np.testing.assert_allclose(
        whole(decoder, packed=packed, training=True)[IDS != 0],
        whole(plain, packed=packed)[IDS != 0],
        atol=1e-6,
    )
    np.testing.assert_array_equal(
        whole(decoder), whole(make(kind, attention=attention, context_to="every_step"))
    )


# A rate of 1 at one place is as if the kernel that reads this place were zero.
RECURRENCES = {
    "whole layers": {},
    "luong": {"attention": "luong"},
    "bahdanau": {"attention": "bahdanau"},
    "input feeding": {"attention": "luong", "input_feeding": True},
}
every_recurrence = pytest.mark.parametrize("options", RECURRENCES.values(), ids=RECURRENCES)


@every_recurrence
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.sampled(12)
def test_each_place_has_its_own_dropout_rate(options, packed, place):
    rates = [float(number == place) for number in range(3)]
    found = whole(make(dropout=rates, **options), packed=packed, training=True)
    plain = make(**options)
    reader = plain.logits if place == 2 else plain.stack.forward_layers[place]
    reader.kernel.assign(0.0 * reader.kernel)
    expected = whole(plain, packed=packed)
    np.testing.assert_allclose(found[IDS != 0], expected[IDS != 0], atol=1e-6)


@every_recurrence
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.sampled(8)
def test_each_layer_has_its_own_recurrent_dropout_rate(options, packed, level):
    rates = [float(number == level) for number in range(2)]
    found = whole(make(recurrent_dropout=rates, **options), packed=packed, training=True)
    plain = make(**options)
    layer = plain.stack.forward_layers[level]
    layer.recurrent_kernel.assign(0.0 * layer.recurrent_kernel)
    expected = whole(plain, packed=packed)
    np.testing.assert_allclose(found[IDS != 0], expected[IDS != 0], atol=1e-6)


def test_one_mask_of_a_sequence_lies_on_all_its_steps_where_steps_are_taken_one_by_one():
    decoder = make(attention="bahdanau", recurrent_dropout=0.5, num_layers=1)
    masks = [tf.constant([[0.0, 2.0, 2.0], [2.0, 0.0, 0.0]])]
    decoder.stack.recurrent_masks = lambda *args: masks
    logits = whole(decoder, training=True)
    state, source = decoder.initial_state(tf.constant(C)), decoder.read(*map(tf.constant, SOURCE))
    for time in range(2):
        ids = tf.constant(IDS[:, time])
        features, state, _ = compute_step_features(decoder, ids, state, source, masks)
        np.testing.assert_allclose(decoder.logits(features), logits[:, time], atol=1e-6)


@pytest.mark.parametrize("attention", [None, "bahdanau"])
def test_words_are_dropped_in_training_only(attention):
    decoder = make(attention=attention, word_dropout=1.0)
    unknown = np.where(IDS > 3, 1, IDS)
    np.testing.assert_allclose(whole(decoder, training=True), whole(decoder, unknown), atol=1e-6)
    np.testing.assert_array_equal(whole(decoder), whole(make(attention=attention)))


def test_a_tied_output_has_no_kernel_and_trains_the_embedding_by_both_ways():
    decoder = make(tie_output=True)
    assert {weight.name for weight in decoder.logits.trainable_weights} == {"embeddings", "bias"}
    assert len(decoder.trainable_weights) == len(make().trainable_weights) - 1
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(whole(decoder)[IDS != 0])
    gradient = tape.gradient(total, decoder.embedding.embeddings.value)
    assert np.all(np.any(tf.convert_to_tensor(gradient).numpy() != 0, axis=1))  # unread ids too


def test_a_shared_embedding_is_one_weight():
    owner, decoder = TokenEmbedding(SIZE, UNITS), LSTMDecoder(SIZE, UNITS, tie_output=True)
    decoder.embedding.share(owner)
    decoder.build((None, None), (None, CONTEXT))
    assert decoder.embedding.embeddings is owner.embeddings
    assert sum(weight is owner.embeddings for weight in decoder.trainable_weights) == 1


@pytest.mark.parametrize(
    ("size", "built", "message"),
    [
        (SIZE + 1, False, r"same vocabulary_size and embedding_dim\. Received: \(7, 3\) and \(8"),
        (
            SIZE,
            True,
            r"must be shared before it is built\. Received: an embedding that is already built",
        ),
    ],
)
def test_embeddings_that_cannot_be_shared_are_rejected(size, built, message):
    embedding = TokenEmbedding(SIZE, UNITS)
    if built:
        embedding.build()
    with pytest.raises(ValueError, match=message):
        embedding.share(TokenEmbedding(size, UNITS))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_feeding": True}, "needs attention='luong'.*input_feeding=True, attention=None"),
        ({"input_feeding": True, "attention": "bahdanau"}, "attention='bahdanau'"),
        ({"tie_output": True, "embedding_dim": 2}, "Received: embedding_dim=2, units=3"),
        (
            {"dropout": [0.1]},
            "`dropout` must be one rate, or a sequence of length 2: one for the inputs of each "
            "layer, from the bottom up, and one for the outputs of the top layer",
        ),
        ({"attention": "dot"}, "must be one of None, 'luong', 'luong_dot', 'luong_concat', 'bahd"),
    ],
)
@every_kind
def test_incompatible_arguments_are_rejected(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(SIZE, UNITS, **arguments)
