"""The mixture of generating and copying, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.layers.decoder_features import attend_copies, encode_copies
from keras_s2s.layers.output_projection import CopyGate


def make_gate(bias: float = 0.0) -> CopyGate:
    gate = CopyGate()
    gate.build((None, 2))
    gate.kernel.assign([[1.0], [0.0]])
    gate.bias.assign([bias])
    return gate


def test_a_mixture_worked_out_by_hand():
    # p = sigmoid(log 3) = 3/4; the vocabulary says 1/2, 1/4, 1/4; half of the attention is on
    # two copies of token 1, and half on token 2
    features = tf.constant([[np.log(3.0), 7.0]], tf.float32)
    logits = tf.math.log(tf.constant([[0.5, 0.25, 0.25]]))
    copied = tf.constant([[0.0, 0.5, 0.5, 0.0]])
    found = tf.exp(make_gate()(features, logits, copied))
    np.testing.assert_allclose(found, [[0.375, 0.3125, 0.3125]], rtol=1e-6)


def test_attention_on_what_cannot_be_copied_generates():
    # p = 1/2; 1/4 of the attention copies token 0, so that 7/8 is generated
    logits = tf.math.log(tf.constant([[0.5, 0.25, 0.25]]))
    copied = tf.constant([[0.25, 0.0, 0.0, 0.75]])
    found = tf.exp(make_gate()(tf.zeros([1, 2]), logits, copied))
    np.testing.assert_allclose(found, [[0.875 * 0.5 + 0.125, 0.875 / 4, 0.875 / 4]], rtol=1e-6)


@pytest.mark.parametrize("gate", [-300.0, 0.0, 300.0])
def test_probabilities_sum_to_one_and_have_finite_gradients(gate):
    random = np.random.default_rng(0)
    logits = tf.Variable(random.normal(size=(3, 5)) * [[1.0], [100.0], [1.0]], dtype=tf.float32)
    copied = tf.Variable([[0, 0, 0.5, 0, 0.5, 0], [1.0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1.0]])
    layer = make_gate(gate)
    with tf.GradientTape() as tape:
        found = layer(tf.zeros([3, 2]), logits, copied)
        total = tf.reduce_sum(tf.where(found > -50, found, 0.0))
    np.testing.assert_allclose(tf.reduce_sum(tf.exp(found), axis=1), 1, rtol=1e-5)
    for gradient in tape.gradient(total, [logits, copied, layer.bias]):
        assert np.all(np.isfinite(gradient))


def test_small_probabilities_are_not_rounded_away():
    logits = tf.constant([[0.0, -150.0]])
    found = make_gate(200.0)(tf.zeros([1, 2]), logits, tf.constant([[1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(found, [[0, -150]], atol=1e-4)


def test_the_attention_on_equal_tokens_is_summed_up():
    one_hot = encode_copies(tf.constant([[2, 0, 2], [1, -1, 1]]), 3)
    weights = tf.constant([[[0.25, 0.25, 0.5]], [[0.5, 0.375, 0.125]]])
    expected = [[0.25, 0, 0.75, 0], [0, 0.625, 0, 0.375]]
    np.testing.assert_allclose(attend_copies(weights, one_hot)[:, 0], expected)
    np.testing.assert_allclose(attend_copies(weights[:, 0], one_hot), expected)
    # two hypotheses of each source stand together
    rows = attend_copies(tf.repeat(weights[:, 0], 2, axis=0), one_hot)
    np.testing.assert_allclose(rows, np.repeat(expected, 2, axis=0))


def test_the_layer_is_created_from_its_config():
    assert CopyGate.from_config(CopyGate(name="gate").get_config()).dtype == "float32"
