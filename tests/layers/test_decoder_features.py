"""One context for each source, repeated for its steps and its hypotheses."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keras_s2s.layers.decoder_features import repeat_for_hypotheses, repeat_for_steps
from keras_s2s.layers.packing import make_packing

CONTEXT = tf.constant([[1.0, 2.0], [3.0, 4.0]])


def test_the_hypotheses_of_a_source_are_adjacent():
    np.testing.assert_array_equal(
        repeat_for_hypotheses(CONTEXT, tf.constant(4)), [[1, 2], [1, 2], [3, 4], [3, 4]]
    )
    assert repeat_for_hypotheses(CONTEXT[:0], tf.constant(0)).shape == (0, 2)


def test_every_step_reads_the_same_context():
    mask = tf.constant([[True, True], [True, False]])
    padded = repeat_for_steps(CONTEXT, mask, None)
    np.testing.assert_array_equal(padded, [[[1, 2], [1, 2]], [[3, 4], [3, 4]]])
    packed = repeat_for_steps(CONTEXT, mask, make_packing(mask))
    np.testing.assert_array_equal(packed, [[1, 2], [3, 4], [1, 2]])  # step by step
