"""Decoders with monotonic attention, with copying, and with both, against plain numpy."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.alignments import Alignments, softmax
from helpers.decoder_formula import DecoderFormula, sigmoid

from keras_s2s.layers import GRUDecoder, LSTMDecoder

SIZE, UNITS, CONTEXT = 6, 3, 4
IDS = np.array([[2, 5, 4, 5], [2, 4, 0, 0]], np.int32)
MASK = np.array([[1, 1, 1], [1, 1, 0]], bool)
COPY_IDS = np.array([[4, -1, 3], [5, 3, -1]], np.int32)
random = np.random.default_rng(0)
C = random.normal(size=(2, CONTEXT)).astype(np.float32)
STATES = random.normal(size=(2, 3, UNITS)).astype(np.float32)
SOURCE = (C, STATES, MASK)

KINDS = {
    "monotonic": {"attention": "monotonic"},
    "monotonic, every step": {"attention": "monotonic", "context_to": "both", "residual": True},
    "monotonic, tied": {"attention": "monotonic", "tie_output": True},
    "monotonic, copy": {"attention": "monotonic", "copy": True},
    "luong, copy": {"attention": "luong", "copy": True},
    "input feeding, copy": {"attention": "luong_dot", "copy": True, "input_feeding": True},
    "bahdanau, copy": {"attention": "bahdanau", "copy": True},
}
every_kind = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)


def make(options, kind=LSTMDecoder, **kwargs):
    decoder = kind(SIZE, UNITS, **{"num_layers": 2, **options, **kwargs})
    decoder.build((None, None), (None, CONTEXT), (None, None, UNITS), (None, None))
    random = np.random.default_rng(1)
    for weight in decoder.trainable_weights:
        weight.assign(0.9 * random.normal(size=weight.shape))
    return decoder


def copy_ids(decoder, ids=COPY_IDS):
    return tf.constant(ids) if decoder.copy else None


def whole(decoder, ids=IDS, *, packed=False, training=False):
    found = decoder(ids, *SOURCE, copy_ids(decoder), packed=packed, training=training)
    return found.unpack() if packed else found


class Formula(DecoderFormula):
    """Adds copying and the sum over alignments to the formula of a decoder."""

    def mixed(self, features, logits, copied):
        """P(y), with `copied` the attention on each target id, and last on none."""
        if not self.decoder.copy:
            return softmax(logits)
        kernel, bias = self.find("copy_gate/kernel")[:, 0], self.find("copy_gate/bias")
        gate = sigmoid(features @ kernel + bias)
        return (gate + (1 - gate) * copied[-1]) * softmax(logits) + (1 - gate) * copied[:-1]

    def log_probs(self, ids, context, memory, copied_ids):
        one_hot = np.eye(SIZE + 1)[copied_ids]
        logits = self.logits(ids, context, memory)
        if self.decoder.attention != "monotonic":
            rows = zip(self.features, logits, self.attended, strict=True)
            return np.log([self.mixed(r, row, weights @ one_hot) for r, row, weights in rows])
        oracle = Alignments(
            self.decoder.attention_layer,
            memory,
            self.find("embeddings").T if self.decoder.tie_output else self.find("logits/kernel"),
            self.find("logits/bias"),
            mix=lambda features, logits, j: self.mixed(features, logits, one_hot[j]),
        )
        return [
            oracle.next_log_probs(self.features[: t + 1], list(ids[1 : t + 1]))
            for t in range(len(ids))
        ]


@pytest.mark.parametrize("kind", [LSTMDecoder, GRUDecoder])
@every_kind
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.sampled(8)
def test_a_whole_target_gives_the_log_probabilities_of_the_formula(kind, options, packed):
    decoder = make(options, kind)
    found = tf.nn.log_softmax(whole(decoder, packed=packed))
    for row in range(2):
        ids, real = IDS[row][IDS[row] != 0], MASK[row]
        formula = Formula(decoder)
        expected = formula.log_probs(ids, C[row], STATES[row][real], COPY_IDS[row][real])
        np.testing.assert_allclose(found[row, : len(ids)], expected, atol=1e-5)


@every_kind
def test_the_logits_are_log_probabilities_and_sum_to_one(options):
    np.testing.assert_allclose(
        tf.reduce_sum(tf.exp(whole(make(options))), axis=2)[IDS != 0], 1, atol=1e-5
    )


@every_kind
def test_a_whole_target_matches_its_steps(options):
    decoder, expected = make(options), whole(make(options))
    source = decoder.read(*map(tf.constant, SOURCE), copy_ids(decoder))
    for prepared in (source, decoder.prepare_steps(source)):
        state = decoder.initial_state(tf.constant(C), source)
        for time in range(2):
            found, state, weights = decoder.step(
                tf.constant(IDS[:, time]), state, prepared, return_attention=True
            )
            np.testing.assert_allclose(found, expected[:, time], atol=1e-5)
            np.testing.assert_allclose(tf.reduce_sum(weights, axis=1), 1, atol=1e-5)
            assert weights[1, 2] == 0


@every_kind
def test_hypotheses_of_one_source_are_independent(options):
    decoder = make(options)
    source = decoder.read(*map(tf.constant, SOURCE), copy_ids(decoder))
    alone = decoder.initial_state(tf.constant(C), source)
    twice = tf.nest.map_structure(lambda part: tf.repeat(part, 2, axis=0), alone)
    for tokens in ([2, 2, 2, 2], [5, 4, 4, 3]):
        both, twice = decoder.step(tf.constant(tokens), twice, source)
        for place in (0, 1):
            if tokens[0] == 2:
                first, after = decoder.step(tf.constant([2, 2]), alone, source)
            else:
                first, _ = decoder.step(tf.constant(tokens[place::2]), after, source)
            np.testing.assert_allclose(both[place::2], first, atol=1e-5)


@every_kind
@pytest.mark.sampled(4)
def test_packed_gradients_are_the_padded_ones(options):
    decoder = make(options)
    chosen = tf.one_hot(np.random.default_rng(2).integers(0, SIZE, IDS.shape), SIZE)
    real = tf.cast(IDS != 0, tf.float32)
    found = []
    for packed in (False, True):
        with tf.GradientTape() as tape:
            log_probs = tf.reduce_sum(chosen * whole(decoder, packed=packed, training=True), axis=2)
            total = -tf.reduce_sum(real * log_probs)
        found.append(tape.gradient(total, decoder.trainable_weights))
    for weight, *gradients in zip(decoder.trainable_weights, *found, strict=True):
        padded, packed = map(tf.convert_to_tensor, gradients)
        np.testing.assert_allclose(padded, packed, atol=1e-4, err_msg=weight.path)
        assert np.any(padded), weight.path


@pytest.mark.parametrize("name", ["monotonic, copy", "luong, copy", "bahdanau, copy"])
@pytest.mark.sampled(1)
def test_gradients_are_those_of_finite_differences(name):
    decoder = make(KINDS[name])

    def loss():
        return -tf.reduce_sum(whole(decoder, packed=True)[0, :, 4])

    with tf.GradientTape() as tape:
        total = loss()
    gradients = tape.gradient(total, decoder.trainable_weights)
    random = np.random.default_rng(5)
    for weight, gradient in zip(decoder.trainable_weights, gradients, strict=True):
        before, direction = weight.numpy(), random.normal(size=weight.shape)
        expected = []
        for step in (1e-2, -1e-2):
            weight.assign(before + step * direction)
            expected.append(float(loss()))
        weight.assign(before)
        slope = float(tf.reduce_sum(tf.convert_to_tensor(gradient) * direction))
        np.testing.assert_allclose(slope, (expected[0] - expected[1]) / 2e-2, atol=0.02, rtol=0.02)


@every_kind
def test_padding_of_the_source_and_of_the_target_changes_nothing(options):
    decoder, expected = make(options), whole(make(options))
    states = np.pad(STATES, [(0, 0), (0, 4), (0, 0)], constant_values=9.0)
    mask = np.pad(MASK, [(0, 0), (0, 4)])
    ids = np.pad(IDS, [(0, 0), (0, 3)])
    copied = np.pad(COPY_IDS, [(0, 0), (0, 4)])
    found = decoder(ids, C, states, mask, copy_ids(decoder, copied))
    np.testing.assert_allclose(found[:, :4][IDS != 0], expected[IDS != 0], atol=1e-5)


@every_kind
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("places", [[3, 4, 5, 6], [0, 3, 4, 6]], ids=["left", "gaps"])
@pytest.mark.sampled(14)
def test_the_position_of_the_padding_changes_nothing(options, packed, places):
    decoder = make(options)
    ids = np.zeros((2, 7), np.int32)
    ids[:, places] = IDS
    weights = decoder.trainable_weights

    def logits_and_gradients(ids):
        with tf.GradientTape() as tape:
            logits = tf.boolean_mask(whole(decoder, ids, packed=packed), ids != 0)
            loss = tf.reduce_sum(logits * tf.random.stateless_normal(logits.shape, [1, 2]))
        return logits, tape.gradient(loss, weights)

    (found, ours), (expected, theirs) = map(logits_and_gradients, (ids, IDS))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for our, their in zip(ours, theirs, strict=True):
        dense = map(tf.convert_to_tensor, (our, their))
        np.testing.assert_allclose(*dense, atol=2e-5, rtol=1e-5)


@every_kind
@pytest.mark.sampled(3)
def test_mixed_precision_sums_up_in_float32(options):
    exact, decoder = whole(make(options)), make(options, dtype="mixed_float16")
    with tf.GradientTape() as tape:
        found = whole(decoder, packed=True, training=True)
        total = tf.reduce_sum(found[IDS != 0])
    assert found.dtype == tf.float32
    np.testing.assert_allclose(tf.reduce_sum(tf.exp(found), axis=2)[IDS != 0], 1, atol=1e-4)
    np.testing.assert_allclose(found[IDS != 0], exact[IDS != 0], atol=0.3)
    for gradient in tape.gradient(total, decoder.trainable_weights):
        assert np.all(np.isfinite(tf.convert_to_tensor(gradient)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"copy": True}, "`copy` uses attention weights to copy source tokens"),
        (
            {"attention": "monotonic", "input_feeding": True},
            "`input_feeding` feeds the output of Luong",
        ),
    ],
)
def test_incompatible_arguments_are_rejected(options, message):
    with pytest.raises(ValueError, match=message):
        LSTMDecoder(SIZE, UNITS, **options)


def test_a_decoder_that_copies_requires_copy_ids():
    decoder = make(KINDS["luong, copy"])
    with pytest.raises(ValueError, match="needs `copy_ids`"):
        decoder.read(*map(tf.constant, SOURCE))


def test_monotonic_attention_needs_the_source_for_its_first_state():
    with pytest.raises(ValueError, match="`source` must be the result of `read`"):
        make(KINDS["monotonic"]).initial_state(tf.constant(C))


@every_kind
def test_a_decoder_is_created_from_its_config(options):
    decoder = make(options)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(decoder))
    assert (again.attention, again.copy) == (decoder.attention, decoder.copy)


def test_all_targets_of_a_length_have_a_total_probability_of_one():
    decoder = make(KINDS["monotonic, copy"])
    total = 0.0
    for labels in itertools.product(range(SIZE), repeat=2):
        log_probs = decoder(tf.constant([[2, labels[0]]] * 2), *SOURCE, copy_ids(decoder))[0]
        total += np.exp(log_probs[0, labels[0]] + log_probs[1, labels[1]])
    np.testing.assert_allclose(total, 1, atol=1e-5)
