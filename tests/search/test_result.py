from __future__ import annotations

import numpy as np
import tensorflow as tf
from helpers.table_model import TableModel, table_step

from keras_s2s.search import BeamSearch


def test_trim_cuts_to_the_longest_hypothesis():
    step, state = table_step(tf.constant(TableModel.random(0, batch_size=3).logits))
    found = BeamSearch(beam_width=2, num_hypotheses=2, max_length=20)(step, state, 3, 7)
    trimmed = found.trim()
    longest = found.lengths.numpy().max()
    assert longest < 20
    assert trimmed.ids.shape == (3, 2, longest)
    np.testing.assert_array_equal(trimmed.ids, found.ids[:, :, :longest])
    assert trimmed.scores is found.scores


def test_trim_of_an_empty_batch_keeps_one_position():
    step, state = table_step(tf.zeros([0, 3, 6]))
    found = BeamSearch(beam_width=2, max_length=4)(step, state, 0, 6)
    assert found.trim().ids.shape == (0, 1, 1)
