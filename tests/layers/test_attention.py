"""Attention by its formulas, and that the padding has no part in it."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.layers import BahdanauAttention, LuongAttention

UNITS, MEMORY_UNITS, QUERIES, LENGTH = 3, 3, 2, 4
MASK = np.array([[1, 1, 1, 0], [1, 0, 1, 1]], bool)
KINDS = {
    "general": LuongAttention,
    "dot": functools.partial(LuongAttention, score="dot"),
    "concat": functools.partial(LuongAttention, score="concat"),
    "bahdanau": BahdanauAttention,
}

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def make(kind, dtype="float32"):
    layer = kind(UNITS, dtype=dtype)
    layer.build((None, None, UNITS), (None, None, UNITS), (None, None, MEMORY_UNITS))
    random = np.random.default_rng(0)
    layer.set_weights([random.normal(size=weight.shape) for weight in layer.get_weights()])
    return layer


def make_inputs(dtype=tf.float32):
    random = np.random.default_rng(1)
    queries = tf.constant(random.normal(size=(2, QUERIES, UNITS)), dtype)
    memory = tf.constant(random.normal(size=(2, LENGTH, MEMORY_UNITS)), dtype)
    return queries, memory


def score(layer, query, state):
    """One score by the formula of the paper."""
    weights = {weight.name: weight.numpy() for weight in layer.weights}
    if not weights:
        return query @ state
    if "query_kernel" not in weights:
        return query @ weights["memory_kernel"].T @ state
    energy = np.tanh(weights["query_kernel"].T @ query + weights["memory_kernel"].T @ state)
    return weights["score_kernel"][:, 0] @ energy


@every_kind
def test_weights_and_sums_are_those_of_the_formula(kind):
    layer = make(kind)
    queries, memory = make_inputs()
    attended, weights = layer(queries, layer.keys(memory), memory, tf.constant(MASK))
    for row in range(2):
        real = memory[row].numpy()[MASK[row]]
        for query in range(QUERIES):
            scores = np.array([score(layer, queries[row, query].numpy(), state) for state in real])
            expected = np.exp(scores) / np.exp(scores).sum()
            np.testing.assert_allclose(weights[row, query][MASK[row]], expected, atol=1e-6)
            np.testing.assert_allclose(attended[row, query], expected @ real, atol=1e-6)


@every_kind
def test_masked_positions_have_weight_zero(kind):
    layer = make(kind)
    queries, memory = make_inputs()
    padding = tf.constant(~MASK[:, :, np.newaxis])
    other = tf.where(padding, 1e4, memory)
    attended, weights = layer(queries, layer.keys(memory), memory, mask=tf.constant(MASK))
    still, _ = layer(queries, layer.keys(other), other, mask=tf.constant(MASK))
    np.testing.assert_array_equal(
        weights.numpy()[np.repeat(~MASK[:, np.newaxis], QUERIES, axis=1)], 0.0
    )
    np.testing.assert_array_equal(still, attended)


@every_kind
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_outputs_are_finite_if_all_positions_are_masked(kind, dtype):
    layer = make(kind, dtype=dtype)
    queries, memory = make_inputs(dtype)
    mask = tf.constant([[False] * LENGTH, MASK[1]])
    attended, weights = layer(queries, layer.keys(memory), memory, mask)
    assert attended.dtype == dtype
    assert weights.dtype == tf.float32
    assert np.isfinite(tf.cast(attended, tf.float32)).all()
    np.testing.assert_allclose(tf.reduce_sum(weights, axis=2), np.ones([2, QUERIES]), atol=1e-6)
    np.testing.assert_array_equal(weights[1, :, 1], np.zeros(QUERIES))


@every_kind
def test_the_hypotheses_of_a_source_attend_as_its_queries_do(kind):
    layer = make(kind)
    queries, memory = make_inputs()
    attended, weights = layer(queries, layer.keys(memory), memory, tf.constant(MASK))
    rows = tf.reshape(queries, [2 * QUERIES, UNITS])
    by_row, row_weights = layer.attend_rows(rows, layer.keys(memory), memory, tf.constant(MASK))
    np.testing.assert_array_equal(by_row, tf.reshape(attended, [2 * QUERIES, MEMORY_UNITS]))
    np.testing.assert_array_equal(row_weights, tf.reshape(weights, [2 * QUERIES, LENGTH]))


@every_kind
def test_no_sources_are_attended_by_no_rows(kind):
    layer = make(kind)
    memory = tf.zeros([0, LENGTH, MEMORY_UNITS])
    mask = tf.zeros([0, LENGTH], tf.bool)
    attended, weights = layer.attend_rows(tf.zeros([0, UNITS]), layer.keys(memory), memory, mask)
    assert attended.shape == (0, MEMORY_UNITS)
    assert weights.shape == (0, LENGTH)


def test_a_dot_product_needs_states_of_one_size():
    with pytest.raises(ValueError, match=r"units=3\. Received: a memory of shape \(None, 4, 2\)"):
        LuongAttention(3, score="dot").build((None, 1, 3), None, (None, 4, 2))


def test_an_unknown_score_is_rejected():
    with pytest.raises(ValueError, match=r"`score` must be one of 'general', 'dot', 'concat'"):
        LuongAttention(3, score="cosine")


@every_kind
def test_units_must_be_a_positive_integer(kind):
    with pytest.raises(ValueError, match=r"`units` must be a positive integer\. Received: units=0"):
        kind(0)
