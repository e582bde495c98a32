"""The query of the attention pool picks by its formula, and among the real states only."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.layers import AttentionPool

UNITS = 2
MASK = np.array([[1, 1, 0], [1, 0, 1], [0, 0, 0]], bool)
MEMORY = np.random.default_rng(0).normal(size=(3, 3, UNITS)).astype(np.float32)
MEMORY[~MASK] = 0


def make(dtype="float32") -> AttentionPool:
    layer = AttentionPool(dtype=dtype)
    layer.build((None, None, UNITS))
    random = np.random.default_rng(1)
    layer.set_weights([random.normal(size=weight.shape) for weight in layer.get_weights()])
    return layer


def test_outputs_match_the_formula():
    layer = make()
    kernel, bias, query = layer.get_weights()
    found = layer(tf.constant(MEMORY), mask=tf.constant(MASK))
    for row in (0, 1):
        states = MEMORY[row][MASK[row]]
        weights = np.exp(np.tanh(states @ kernel + bias) @ query[:, 0])
        np.testing.assert_allclose(found[row], weights / weights.sum() @ states, atol=1e-6)
    np.testing.assert_array_equal(found[2], np.zeros(UNITS))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_it_is_finite_in_half_precision(dtype):
    found = make(dtype)(tf.constant(MEMORY, dtype), mask=tf.constant(MASK))
    assert found.dtype == dtype
    expected = make()(tf.constant(MEMORY), mask=tf.constant(MASK))
    np.testing.assert_allclose(tf.cast(found, tf.float32), expected, atol=0.02)


def test_a_batch_of_no_rows_gives_no_contexts():
    found = make()(tf.zeros([0, 3, UNITS]), mask=tf.zeros([0, 3], tf.bool))
    assert found.shape == (0, UNITS)
