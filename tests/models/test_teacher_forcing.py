"""Teacher forcing: the label of a step is the input of the next."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keras_s2s.models.teacher_forcing import shift_right, sum_log_probs

TARGET_IDS = tf.constant([[4, 5, 3], [3, 0, 0], [0, 0, 0]])


def test_inputs_are_the_targets_one_step_later():
    np.testing.assert_array_equal(shift_right(TARGET_IDS, 2), [[2, 4, 5], [2, 0, 0], [0, 0, 0]])


def test_log_probs_of_real_tokens_are_summed():
    random = np.random.default_rng(0)
    logits = random.normal(size=(3, 3, 6)).astype(np.float32)
    logits[1, 1:] = 1e4  # padding
    log_probs = logits - np.log(np.exp(np.minimum(logits, 80)).sum(axis=-1, keepdims=True))
    expected = [log_probs[0, 0, 4] + log_probs[0, 1, 5] + log_probs[0, 2, 3], log_probs[1, 0, 3], 0]
    np.testing.assert_allclose(sum_log_probs(logits, TARGET_IDS), expected, atol=1e-5)
