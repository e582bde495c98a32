from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.search.step import CHUNK, MIN_COLUMNS, top_k


@pytest.mark.parametrize(
    "columns", [5, MIN_COLUMNS - 1, MIN_COLUMNS, MIN_COLUMNS + 1, 3000, 8000, 8191]
)
@pytest.mark.parametrize("k", [1, 3, 8, 40])
def test_top_k_equals_a_stable_sort(columns, k):
    random = np.random.default_rng(columns)
    k = min(k, columns)
    few_values = random.integers(0, 4, (7, columns)).astype(np.float32)  # nearly all are ties
    normal = random.normal(size=(7, columns)).astype(np.float32)
    rising = np.tile(np.arange(columns, dtype=np.float32), (2, 1))
    flat = np.zeros((2, columns), np.float32)
    infinite = np.where(normal > 2.5, normal, -np.inf)
    values = np.concatenate([few_values, normal, rising, -rising, flat, infinite])
    expected = np.argsort(-values, axis=1, kind="stable")[:, :k]
    largest, places = top_k(tf.constant(values), k)
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_array_equal(largest, np.take_along_axis(values, expected, 1))


def test_top_k_of_an_empty_batch():
    largest, places = top_k(tf.zeros([0, MIN_COLUMNS * CHUNK]), 3)
    assert largest.shape == places.shape == (0, 3)
