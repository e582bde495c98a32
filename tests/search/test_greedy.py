from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import oracle, textbook
from helpers.table_model import (
    TableModel,
    assert_same_outputs,
    assert_same_results,
    in_numpy,
    outputs,
    table_step,
)

from keras_s2s.search import BeamSearch, GreedySearch


def test_greedy_search_returns_the_textbook_output():
    found = textbook.greedy_is_not_best().search(GreedySearch(max_length=4))
    a, b, c = textbook.A, textbook.B, textbook.C
    assert found.ids.tolist() == [[[a, b, c, oracle.EOS]]]
    np.testing.assert_allclose(np.exp(found.log_probs), [[0.048]], rtol=1e-5)


@pytest.mark.parametrize("vocabulary_size", [4, 7])
def test_greedy_search_equals_beam_search_of_width_one(vocabulary_size):
    model = TableModel.random(0, batch_size=50, vocabulary_size=vocabulary_size)
    max_length = np.random.default_rng(0).integers(1, 9, 50)
    length_penalty = np.random.default_rng(1).uniform(0, 2, 50).astype(np.float32)
    greedy = model.search(GreedySearch(), max_length=max_length, length_penalty=length_penalty)
    width_one = BeamSearch(beam_width=1, stopping="finished")
    beam = model.search(width_one, max_length=max_length, length_penalty=length_penalty)
    assert_same_results(greedy, beam, atol=1e-6)
    for row in range(50):
        rules = oracle.Rules(max_length[row], length_penalty=float(length_penalty[row]))
        assert_same_outputs(outputs(greedy, row), oracle.greedy_search(model.row(row), rules))


def test_greedy_search_and_width_one_agree_with_min_length():
    model = TableModel.random(1, batch_size=30, vocabulary_size=5)
    options = {"min_length": np.arange(30) % 7, "max_length": np.arange(30) % 5 + 2}
    greedy = model.search(GreedySearch(), **options)
    width_one = BeamSearch(beam_width=1, stopping="finished")
    assert_same_results(greedy, model.search(width_one, **options), atol=1e-6)
    for row in range(30):
        rules = oracle.Rules(options["max_length"][row], options["min_length"][row])
        assert_same_outputs(outputs(greedy, row), oracle.greedy_search(model.row(row), rules))


def test_ties_are_broken_by_the_lower_id():
    found = TableModel(np.zeros((1, 1, 6))).search(GreedySearch(max_length=3))
    assert found.ids.tolist() == [[[oracle.UNK] * 3]]


def test_a_row_does_not_depend_on_the_rest_of_the_batch():
    model = TableModel.random(2, batch_size=6)
    limits = np.array([3, 9, 1, 5, 7, 2])
    together = model.search(GreedySearch(), max_length=limits)
    for row in range(6):
        alone = TableModel(model.logits[row : row + 1]).search(
            GreedySearch(), max_length=limits[row : row + 1]
        )
        assert_same_outputs(outputs(together, row), outputs(alone, 0))


def test_no_possible_token_gives_no_hypothesis():
    logits = np.full((1, 1, 6), -1e9)
    logits[..., oracle.PAD] = 0.0
    found = TableModel(logits).search(GreedySearch(max_length=3))
    assert outputs(found, 0) == []
    assert_same_results(
        found, TableModel(logits).search(BeamSearch(beam_width=1, max_length=3)), atol=0
    )


def test_eager_and_compiled_results_are_equal():
    model = TableModel.random(3, batch_size=4)
    step, state = table_step(tf.constant(model.logits))
    eager = GreedySearch(max_length=6)(step, state, 4, 7)
    compiled = model.search(GreedySearch(max_length=6))
    assert_same_results(in_numpy(eager), compiled, atol=1e-6)
