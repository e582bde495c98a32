"""The context c = q(h_1, ..., h_T), and what may be q."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.layers.encoder import (
    apply_context,
    max_context,
    mean_context,
    resolve_context,
    serialize_context,
)

MASK = np.array([[1, 1, 0], [1, 0, 1], [0, 0, 0]], bool)
MEMORY = np.random.default_rng(0).normal(scale=5.0, size=(3, 3, 2)).astype(np.float32)
MEMORY[1] -= 30.0  # so that its maximum is far below zero


@keras.saving.register_keras_serializable(package="tests")
def first_state(memory, mask):
    return memory[:, 0]


@keras.saving.register_keras_serializable(package="tests")
class WeightedSum(keras.layers.Layer):
    def build(self, memory_shape):
        self.kernel = self.add_weight(shape=(memory_shape[-1], 1), initializer="ones")

    def call(self, memory, mask):
        weights = tf.cast(tf.expand_dims(mask, 2), memory.dtype)
        return tf.reduce_sum(tf.sigmoid(memory @ self.kernel) * memory * weights, axis=1)


@keras.saving.register_keras_serializable(package="tests")
def other_names(states, real):
    return states[:, 0] * tf.cast(real[:, :1], states.dtype)


@keras.saving.register_keras_serializable(package="tests")
def without_mask(memory):
    return memory[:, 0]


def not_registered(memory, mask):
    return memory[:, 0]


@pytest.mark.parametrize(("context", "by_numpy"), [(mean_context, np.mean), (max_context, np.max)])
def test_mean_and_max_look_at_the_real_positions_only(context, by_numpy):
    found = context(tf.constant(MEMORY), tf.constant(MASK))
    for row in (0, 1):
        np.testing.assert_allclose(found[row], by_numpy(MEMORY[row][MASK[row]], axis=0), atol=1e-6)
    np.testing.assert_array_equal(found[2], [0, 0])  # no real position


@pytest.mark.parametrize("context", [mean_context, max_context])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mean_and_max_are_finite_in_half_precision(context, dtype):
    found = context(tf.constant(MEMORY, dtype), tf.constant(MASK))
    assert found.dtype == dtype
    np.testing.assert_allclose(
        tf.cast(found, tf.float32), context(tf.constant(MEMORY), tf.constant(MASK)), rtol=0.02
    )


def test_the_last_state_is_taken_as_it_is():
    last = tf.constant([[1.0, 2.0]])
    assert apply_context("last_state", tf.zeros([1, 3, 2]), tf.ones([1, 3], tf.bool), last) is last


@pytest.mark.parametrize(
    "context",
    [
        "last_state",
        "mean",
        "max",
        "attention_pool",
        first_state,
        WeightedSum(),
        keras.layers.GlobalAveragePooling1D(),
    ],
    ids=["last_state", "mean", "max", "attention_pool", "function", "own layer", "Keras's layer"],
)
def test_a_context_is_restored_from_its_config(context):
    resolved = resolve_context(context)
    again = resolve_context(serialize_context(resolved))
    assert again == resolved or (
        type(again) is type(resolved) and again.get_config() == resolved.get_config()
    )


def test_a_custom_layer_gets_memory_and_mask_without_a_warning():
    layer = resolve_context(WeightedSum())
    found = apply_context(layer, tf.constant(MEMORY), tf.constant(MASK), None)
    sums = 1 / (1 + np.exp(-MEMORY.sum(axis=2, keepdims=True))) * MEMORY * MASK[:, :, np.newaxis]
    np.testing.assert_allclose(found, sums.sum(axis=1), atol=1e-5)


def test_a_custom_function_gets_memory_and_mask_by_position():
    found = apply_context(
        resolve_context(other_names), tf.constant(MEMORY), tf.constant(MASK), None
    )
    np.testing.assert_array_equal(found, MEMORY[:, 0] * MASK[:, :1])


@pytest.mark.parametrize(
    ("context", "error", "message"),
    [
        ("median", ValueError, r"`context` must be 'last_state'.*Received: context='median'"),
        (not_registered, ValueError, r"'not_registered'.*register_keras_serializable"),
        (
            lambda memory, mask: memory[:, 0],
            ValueError,
            r"'<lambda>'.*Decorate a named function with",
        ),
        (
            without_mask,
            TypeError,
            r"called as `q\(memory, mask\)`. Received: without_mask\(memory\)",
        ),
        (functools.partial(first_state), ValueError, r"`functools\.partial` as `context` cannot"),
        (keras.layers.GlobalMaxPooling1D(), ValueError, r"must take `mask`.*GlobalMaxPooling1D"),
        (7, TypeError, r"`context` must be 'last_state'.*context=7 \(of type int\)"),
        (None, TypeError, r"Received: context=None"),
        (WeightedSum, TypeError, r"Received: context=<class"),
    ],
)
def test_an_invalid_context_is_rejected(context, error, message):
    with pytest.raises(error, match=message):
        resolve_context(context)
