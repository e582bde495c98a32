from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.search.scoring import length_divisor


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("power", [1.0, 2**0.75, 7**0.75]),
        ("gnmt", [1.0, (7 / 6) ** 0.75, 2**0.75]),
    ],
)
def test_divisor_by_hand(formula, expected):
    divisor = length_divisor(tf.constant([1, 2, 7]), 0.75, formula)
    np.testing.assert_allclose(divisor, expected, rtol=1e-6)


@pytest.mark.parametrize("formula", ["power", "gnmt"])
def test_no_penalty_divides_by_one(formula):
    np.testing.assert_array_equal(length_divisor(tf.range(1, 50), 0.0, formula), np.ones(49))
