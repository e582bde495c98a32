"""Stacked layers follow their formula, packed and padded, whole and step by step."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.layers import MaskedGRU, MaskedLSTM
from keras_s2s.layers.dropout import SequenceDropout
from keras_s2s.layers.packing import make_packing, pack, unpack
from keras_s2s.layers.stack import MOST_PROJECTED_TOKENS, RecurrentStack

UNITS, INPUT_UNITS, LAYERS = 3, 2, 3
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], bool)
INPUTS = np.random.default_rng(1).normal(size=(3, 4, INPUT_UNITS)).astype(np.float32)

every_kind = pytest.mark.parametrize("kind", [MaskedLSTM, MaskedGRU])
both_joints = pytest.mark.parametrize(
    ("residual", "layer_normalization"), [(True, False), (False, True), (True, True)]
)


def make(kind=MaskedLSTM, *, dropout=0.0, recurrent_dropout=0.0, **kwargs) -> RecurrentStack:
    rates = SequenceDropout(LAYERS, dropout, recurrent_dropout, 0.0)
    stack = RecurrentStack(kind, UNITS, rates, num_layers=LAYERS, **kwargs)
    stack.build((None, None, INPUT_UNITS))
    random = np.random.default_rng(0)
    for weight in stack.trainable_weights:
        weight.assign(0.5 * random.normal(size=weight.shape))
    return stack


def run(stack, *, packed, training=False):
    """The outputs, padded, and the last outputs."""
    mask = tf.constant(MASK)
    if not packed:
        return stack(tf.constant(INPUTS), mask=mask, training=training)
    packing = make_packing(mask)
    rows, last = stack(pack(INPUTS, packing), mask=mask, packing=packing, training=training)
    return unpack(rows, packing), last


def normalize(values, norm):
    centred = values - values.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + norm.epsilon)
    return scaled * norm.gamma.numpy() + norm.beta.numpy()


@every_kind
@both_joints
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
@pytest.mark.sampled(9)
def test_outputs_match_the_formula(kind, residual, layer_normalization, bidirectional):
    stack = make(
        kind,
        residual=residual,
        layer_normalization=layer_normalization,
        bidirectional=bidirectional,
    )
    values = tf.constant(INPUTS)
    norms = iter(stack.norms)
    for number, directions in enumerate(stack.levels()):
        runs = [layer(values, mask=tf.constant(MASK))[0].numpy() for layer in directions]
        if layer_normalization:
            runs = [normalize(outputs, next(norms)) for outputs in runs]
        joined = np.concatenate(runs, axis=2)
        values = joined + values if residual and number else joined
    outputs, last = run(stack, packed=False)
    np.testing.assert_allclose(outputs[MASK], values[MASK], atol=1e-5)
    np.testing.assert_array_equal(outputs[~MASK], 0.0)
    for row, length in ((0, 4), (1, 2)):
        ends = [outputs[row, length - 1, :UNITS], outputs[row, 0, UNITS:]]
        np.testing.assert_allclose(last[row], np.concatenate(ends), atol=1e-6)
    np.testing.assert_array_equal(last[2], 0.0)


@every_kind
@both_joints
@pytest.mark.sampled(3)
def test_packed_values_and_gradients_are_the_padded_ones(kind, residual, layer_normalization):
    stack = make(
        kind, residual=residual, layer_normalization=layer_normalization, bidirectional=True
    )
    found = []
    for packed in (False, True):
        with tf.GradientTape() as tape:
            outputs, last = run(stack, packed=packed)
            total = tf.reduce_mean(outputs**2) + tf.reduce_mean(tf.sin(last))
        found.append([outputs, last, *tape.gradient(total, stack.trainable_weights)])
    for padded, packed in zip(*found, strict=True):
        np.testing.assert_allclose(padded, packed, rtol=1e-5, atol=1e-5)


@every_kind
@both_joints
def test_steps_match_a_call(kind, residual, layer_normalization):
    stack = make(kind, residual=residual, layer_normalization=layer_normalization)
    outputs, _ = run(stack, packed=False)
    states = tuple(layer.zero_state(3, tf.float32) for layer in stack.forward_layers)
    for time in range(4):
        output, states = stack.step(tf.constant(INPUTS[:, time]), states)
        np.testing.assert_allclose(
            output[MASK[:, time]], outputs[:, time][MASK[:, time]], atol=1e-6
        )


@every_kind
@pytest.mark.parametrize("packed", [False, True])
def test_recurrent_dropout_is_one_mask_for_all_steps_and_in_training_only(kind, packed):
    stack = make(kind, recurrent_dropout=(0.0, 0.5, 0.0))
    plain = make(kind)
    np.testing.assert_array_equal(run(stack, packed=packed)[0], run(plain, packed=packed)[0])
    masks = []

    def remember(*args, **kwargs):
        masks.append(draw(*args, **kwargs))
        return masks[-1]

    draw, stack.dropout.recurrent_mask = stack.dropout.recurrent_mask, remember
    outputs, _ = run(stack, packed=packed, training=True)
    assert [mask is None for mask in masks] == [True, False, True]
    assert set(np.unique(masks[1])) == {0.0, 2.0}
    values = tf.constant(INPUTS)
    for layer, mask in zip(plain.forward_layers, masks, strict=True):
        values, _ = layer(values, mask=tf.constant(MASK), recurrent_mask=mask)
    np.testing.assert_allclose(outputs, values, atol=1e-5)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("place", range(LAYERS))
def test_each_layer_has_its_own_rate(place, packed):
    rates = [0.0] * (LAYERS + 1)
    rates[place] = 1.0  # all that goes into this layer
    stack = make(dropout=rates)
    values = tf.constant(INPUTS)
    for number, layer in enumerate(stack.forward_layers):
        values, _ = layer(0.0 * values if number == place else values, mask=tf.constant(MASK))
    outputs, _ = run(stack, packed=packed, training=True)
    np.testing.assert_allclose(outputs, values, atol=1e-6)


@every_kind
@pytest.mark.parametrize("vocabulary_size", [5, MOST_PROJECTED_TOKENS + 1])
@pytest.mark.parametrize("context_units", [0, 1])
def test_prepared_steps_match_steps(kind, vocabulary_size, context_units):
    stack = make(kind, residual=True)
    random = np.random.default_rng(2)
    table = random.normal(size=(vocabulary_size, INPUT_UNITS - context_units)).astype(np.float32)
    context = random.normal(size=(2, context_units)).astype(np.float32)
    weights = stack.prepare_steps(tf.constant(table), "float32")
    states = [layer.zero_state(2, tf.float32) for layer in stack.forward_layers]
    prepared_states = states
    for ids in ([2, 4], [3, 0]):
        expected, states = stack.step(tf.concat([table[ids], context], axis=1), states)
        if weights.token_inputs is None:
            inputs, projected = tf.concat([table[ids], context], axis=1), None
        else:
            inputs = tf.constant(context) if context_units else None
            projected = tf.gather(weights.token_inputs, ids)
        output, prepared_states = stack.step(
            inputs, prepared_states, weights=weights, projected=projected
        )
        np.testing.assert_allclose(output, expected, atol=1e-6)


def test_only_small_vocabularies_are_projected():
    for tokens, projected in ((MOST_PROJECTED_TOKENS, True), (MOST_PROJECTED_TOKENS + 1, False)):
        weights = make().prepare_steps(tf.zeros([tokens, INPUT_UNITS]), "float32")
        assert (weights.token_inputs is not None) == projected


@every_kind
def test_steps_in_bfloat16_keep_a_float32_state(kind):
    stack = make(kind)
    weights = stack.prepare_steps(tf.zeros([5, INPUT_UNITS]), "bfloat16")
    states = [layer.zero_state(3, tf.float32) for layer in stack.forward_layers]
    projected = tf.gather(weights.token_inputs, [4, 0, 2])
    expected, _ = stack.step(tf.zeros([3, INPUT_UNITS]), states)
    output, states = stack.step(None, states, weights=weights, projected=projected)
    assert all(part.dtype == tf.float32 for part in tf.nest.flatten(states))
    # bfloat16 has 8 bits
    np.testing.assert_allclose(output, expected, atol=0.02)
    assert not np.array_equal(output, expected)
