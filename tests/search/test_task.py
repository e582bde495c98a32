from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf
from helpers import oracle
from helpers.table_model import TableModel, assert_same_results, table_step

from keras_s2s.search import (
    BeamSearch,
    DiverseBeamSearch,
    ExactSearch,
    ExhaustiveSearch,
    GreedySearch,
    Sampling,
)
from keras_s2s.search.task import length_divisor, multiply_and_round_up

LENGTHS = np.arange(201, dtype=np.int32)


@pytest.mark.parametrize(
    ("ratio", "length", "limit"), [(0.3, 50, 15), (1.2, 25, 30), (0.6, 25, 15)]
)
def test_a_ratio_is_rounded_up_only_if_the_product_is_not_an_integer(ratio, length, limit):
    step = lambda ids, state: (tf.tile([[0.0, 0.0, 0.0, -9.0, 9.0]], [tf.size(ids), 1]), state)  # noqa: E731
    search = GreedySearch(max_length=None, max_length_ratio=ratio)
    found = search(step, (), 1, 5, source_lengths=tf.constant([length]))
    assert found.lengths.numpy().tolist() == [[limit]]


def test_ratios_with_two_decimals_are_exact():
    for hundredths in range(1, 591):
        exact = Fraction(hundredths, 100)
        expected = [math.ceil(exact * int(length)) for length in LENGTHS]
        np.testing.assert_array_equal(multiply_and_round_up(hundredths / 100, LENGTHS), expected)


@pytest.mark.parametrize("ratio", [1 / 3, 0.001, 1.0001, 999.9999, 1000.0])
def test_the_largest_lengths_do_not_overflow(ratio):
    lengths = np.array([0, 1, 9_999, 10_001, 1_000_000], np.int32)
    exact = Fraction(ratio).limit_denominator(10_000)
    expected = [math.ceil(exact * int(length)) for length in lengths]
    np.testing.assert_array_equal(multiply_and_round_up(ratio, lengths), expected)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("power", [1.0, 2**0.75, 7**0.75]),
        ("gnmt", [1.0, (7 / 6) ** 0.75, 2**0.75]),
    ],
)
def test_the_length_divisor_equals_values_computed_by_hand(formula, expected):
    divisor = length_divisor(tf.constant([1, 2, 7]), 0.75, formula)
    np.testing.assert_allclose(divisor, expected, rtol=1e-6)


@pytest.mark.parametrize("formula", ["power", "gnmt"])
def test_without_a_length_penalty_the_divisor_is_one(formula):
    np.testing.assert_array_equal(length_divisor(tf.range(1, 50), 0.0, formula), np.ones(49))


SEARCHES = [
    GreedySearch(max_length=6),
    BeamSearch(beam_width=3, num_hypotheses=3, max_length=6),
    DiverseBeamSearch(beam_width=2, num_groups=2, num_hypotheses=2, max_length=6),
    Sampling(num_hypotheses=2, max_length=6, seed=3),
    ExactSearch(max_length=6),
    ExhaustiveSearch(max_length=3),
]


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: type(search).__name__)
def test_in_a_graph_a_minimum_above_the_maximum_counts_as_the_maximum(search):
    model = TableModel.random(0, batch_size=4, vocabulary_size=5)
    model.logits[:, :, oracle.EOS] += 30.0  # ends as soon as it may
    limits = np.array([1, 2, 3, 2], np.int32)
    wanted = model.search(search, max_length=limits, min_length=limits)
    found = model.search(search, max_length=limits, min_length=limits + 40)
    assert_same_results(found, wanted, atol=0)
    assert found.finished[:, 0].all()
    np.testing.assert_array_equal(found.lengths[:, 0], limits)


def test_a_minimum_counts_as_the_maximum_of_short_sources():
    search = GreedySearch(max_length=9, max_length_ratio=1.0, min_length=3)
    model = TableModel.random(0, batch_size=3)
    model.logits[:, :, oracle.EOS] += 30.0
    found = model.search(search, source_lengths=np.array([1, 2, 3], np.int32))
    assert found.finished.all()
    assert found.lengths.tolist() == [[1], [2], [3]]


@pytest.mark.parametrize("options", [{"min_length": 6}, {"max_length": 2}], ids=repr)
def test_an_option_must_fit_the_setting_of_the_other_limit(options):
    step, state = table_step(tf.zeros([1, 3, 6]))
    message = r"`min_length` must not exceed `max_length` in any row\. Received: .* in row 0$"
    with pytest.raises(ValueError, match=message):
        GreedySearch(max_length=5, min_length=3)(step, state, 1, 6, **options)
