from __future__ import annotations

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies

from keras_s2s.data.batching import LengthBatcher, fill_batches, make_side


def _filled_in_python(lengths: list[int], batch_tokens: int) -> list[int]:
    """The same in plain Python, one pair after the other."""
    borders, longest = [0], 0
    for number, length in enumerate(lengths):
        longest = max(longest, length)
        if (number + 1 - borders[-1]) * longest > batch_tokens:
            borders.append(number)
            longest = length
    return [*borders, len(lengths)]


@hypothesis.given(
    strategies.lists(strategies.integers(1, 12), min_size=1, max_size=40),
    strategies.integers(12, 60),
)
def test_batches_are_filled_pair_by_pair(lengths, batch_tokens):
    borders = fill_batches(np.array(lengths), batch_tokens)
    assert borders.dtype == np.int32
    assert borders.tolist() == _filled_in_python(lengths, batch_tokens)


def test_batches_of_one_length_are_full():
    assert fill_batches(np.full(10, 4), 12).tolist() == [0, 3, 6, 9, 10]
    assert fill_batches(np.full(3, 12), 12).tolist() == [0, 1, 2, 3]


def test_rows_of_ids_end_with_eos():
    side = make_side(tf.constant([5, 6, 7, 8]), tf.constant([1, 0, 3]))
    batching = LengthBatcher(batch_size=2, batch_tokens=None, shuffle=False)
    batches = list(batching.batches(side, side, tf.constant([0, 0], tf.int64)))
    ids = [inputs["source_ids"].numpy().tolist() for inputs, _ in batches]
    assert ids == [[[3, 0], [5, 3]], [[6, 7, 8, 3]]]
    target_inputs = [inputs["target_inputs"].numpy().tolist() for inputs, _ in batches]
    assert target_inputs == [[[2, 0], [2, 5]], [[2, 6, 7, 8]]]


@pytest.mark.parametrize("batching", [LengthBatcher(3, None, True), LengthBatcher(None, 20, True)])
def test_the_order_depends_only_on_the_seed(batching):
    side = make_side(tf.range(4, 64), tf.fill([20], 3))

    def order(*seed):
        dataset = batching.batches(side, side, tf.constant(seed, tf.int64))
        return [labels.numpy().tolist() for _, labels in dataset]

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)
