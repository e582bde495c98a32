from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import oracle

from keras_s2s.search.greedy_and_sampling import random_uniform


def test_random_numbers_equal_those_of_integer_arithmetic():
    seeds, samples, steps = [-(2**31), -1, 0, 2**31 - 1], [0, 1, 99_999], [0, 7]
    drawn = random_uniform(
        tf.reshape(tf.constant(seeds), [-1, 1, 1]),
        tf.reshape(tf.constant(samples), [1, -1, 1]),
        tf.reshape(tf.constant(steps), [1, 1, -1]),
    )
    expected = [[[oracle.uniform(a, b, c) for c in steps] for b in samples] for a in seeds]
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize("counts", ["seed", "sample", "step"])
def test_random_numbers_are_uniform_and_independent(counts):
    number = 100_000
    counter = tf.range(number)
    words = [counter if name == counts else tf.constant(11) for name in ("seed", "sample", "step")]
    drawn = random_uniform(*words).numpy()
    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    # Pairs of neighbours over a grid of 8 x 8: 63 degrees of freedom, 103 once in a thousand.
    cells = np.histogram2d(drawn[:-1], drawn[1:], bins=8, range=[[0, 1], [0, 1]])[0]
    expected = (number - 1) / 64
    assert ((cells - expected) ** 2 / expected).sum() < 103.4
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.011  # 3.5 standard errors
