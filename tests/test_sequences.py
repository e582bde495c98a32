"""A sequence ends at its first eos."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.sequences import until_eos

# Ids, and the ids up to the first eos.
ROWS = {
    "padded": ([4, 3, 0, 0], [4, 3, 0, 0]),
    "more behind eos": ([4, 3, 5, 3], [4, 3, 0, 0]),
    "eos twice": ([3, 3, 3, 3], [3, 0, 0, 0]),
    "no eos": ([4, 5, 6, 4], [4, 5, 6, 4]),
    "padding in front and inside": ([0, 4, 0, 3], [0, 4, 0, 3]),
    "nothing but padding": ([0, 0, 0, 0], [0, 0, 0, 0]),
}


@pytest.mark.parametrize(("given", "left"), ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_what_follows_the_first_eos_becomes_padding(given, left, dtype):
    ids = tf.constant([given, [5, 5, 5, 3]], dtype)
    assert until_eos(ids).dtype == dtype
    np.testing.assert_array_equal(until_eos(ids), [left, [5, 5, 5, 3]])
    np.testing.assert_array_equal(until_eos(ids[0]), left)
