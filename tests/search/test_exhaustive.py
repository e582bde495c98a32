from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import oracle, textbook
from helpers.search_litert import converted
from helpers.table_model import (
    TableModel,
    assert_same_outputs,
    assert_same_results,
    outputs,
    table_step,
)

from keras_s2s.search import ExactSearch, ExhaustiveSearch


def test_exhaustive_search_finds_the_textbook_optimum():
    # Beside A, B, C and eos the table has unk, D and E, all impossible.
    model = textbook.greedy_is_not_best()
    a, b, c = textbook.A, textbook.B, textbook.C
    found = model.search(ExhaustiveSearch(max_length=4))
    assert found.ids.tolist() == [[[a, c, b, oracle.EOS]]]
    np.testing.assert_allclose(np.exp(found.log_probs), [[0.054]], rtol=1e-5)
    found = model.search(ExhaustiveSearch(max_length=4, length_penalty=0.0))
    np.testing.assert_allclose(np.exp(found.log_probs), [[0.1]], rtol=1e-5)


@pytest.mark.parametrize("vocabulary_size", [4, 5, 7])
@pytest.mark.parametrize("formula", ["power", "gnmt"])
@pytest.mark.sampled(3)
def test_exhaustive_search_returns_every_output_best_first(vocabulary_size, formula):
    model = TableModel.random(0, batch_size=5, vocabulary_size=vocabulary_size)
    search = ExhaustiveSearch(max_length=4, num_hypotheses=100, length_penalty_formula=formula)
    found = model.search(search)
    for row in range(5):
        expected = oracle.all_outputs(model.row(row), oracle.Rules(4, formula=formula))
        assert len(expected) == search.count_outputs(vocabulary_size)
        assert_same_outputs(outputs(found, row), expected)


def test_exhaustive_search_obeys_rules_and_row_options():
    model = TableModel.random(1, batch_size=5)
    search = ExhaustiveSearch(
        max_length=4, num_hypotheses=90, suppress_ids=(6,), no_repeat_ngram_size=1
    )
    options = {
        "max_length": np.array([1, 2, 3, 4, 9], np.int32),
        "min_length": np.array([0, 1, 2, 3, 4], np.int32),
        "length_penalty": np.linspace(0, 2, 5, dtype=np.float32),
    }
    found = model.search(search, prefix=np.array([[0], [0], [4], [5], [1]], np.int32), **options)
    for row, prefix in enumerate([(), (), (4,), (5,), (1,)]):
        rules = oracle.Rules(
            max_length=min(4, int(options["max_length"][row])),
            min_length=int(options["min_length"][row]),
            length_penalty=float(options["length_penalty"][row]),
            suppress=(6,),
            ngram=1,
            prefix=prefix,
        )
        assert_same_outputs(outputs(found, row), oracle.all_outputs(model.row(row), rules))


def test_ties_are_broken_by_length_and_then_by_ids():
    model = TableModel(np.full((1, 1, 6), -20.0))  # every token is equally probable
    search = ExhaustiveSearch(max_length=3, num_hypotheses=13, length_penalty=0.0)
    found = [output.ids for output in outputs(model.search(search), 0)]
    assert found == sorted(found, key=lambda ids: (len(ids), ids))
    assert len(found) == 13


def test_a_tie_of_outputs_of_different_lengths_is_broken_by_length():
    logits = np.full((1, 499, 6), -1e9)
    logits[0, 0, [oracle.EOS, 4, 5]] = np.log([0.25, 0.5, 0.25])
    logits[0, 1:, [oracle.EOS, 4]] = np.log(0.5)
    search = ExhaustiveSearch(max_length=3, num_hypotheses=2, length_penalty=0.0)
    found = outputs(TableModel(logits).search(search), 0)
    assert [output.ids for output in found] == [(3,), (4, 3)]  # both have log(1/4)


def test_an_empty_batch_gives_an_empty_result():
    found = TableModel(np.zeros((0, 3, 6))).search(ExhaustiveSearch(max_length=3))
    assert found.ids.shape == (0, 1, 3)


@pytest.mark.slow
def test_litert_returns_the_same_results(tmp_path):
    search = ExhaustiveSearch(max_length=4, num_hypotheses=90, min_length=2)
    run = converted(search, 7, str(tmp_path))
    for batch_size in (1, 3):
        model = TableModel.random(batch_size, batch_size)
        assert_same_results(run(model.logits), model.search(search), atol=1e-5)


@pytest.mark.parametrize(
    ("max_length", "vocabulary_size", "count"),
    [(3, 50, "2,257 outputs"), (100, 5, "more than 10.*30 outputs"), (12, 100, "more than 10")],
)
def test_too_many_outputs_are_rejected_with_their_count(max_length, vocabulary_size, count):
    step, state = table_step(tf.zeros([1, 3, vocabulary_size]))
    search = ExhaustiveSearch(max_length=max_length, max_outputs=1000)
    with pytest.raises(ValueError, match=f"at most max_outputs=1000 .* Received: {count}"):
        search(step, state, 1, vocabulary_size)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"max_length": None, "max_length_ratio": 2},
            "`max_length` of an exhaustive search must be a positive integer. Received: max_l",
        ),
        ({"num_hypotheses": 0}, "`num_hypotheses` must be a positive integer"),
        ({"max_outputs": 0}, "`max_outputs` must be a positive integer"),
    ],
)
def test_bad_settings_are_rejected(settings, message):
    with pytest.raises(ValueError, match=message):
        ExhaustiveSearch(**settings)


@pytest.mark.parametrize(
    ("settings", "blocked"),
    [
        ({"suppress_ids": (1,)}, None),  # only eos is left
        ({"suppress_ids": (1,), "min_length": 2, "max_length": 3}, None),  # nothing is possible
        ({"max_length": 3}, oracle.EOS),  # nothing can end
        ({"max_length": 2}, "all"),
    ],
)
@pytest.mark.parametrize("impossible", [-1e9, -np.inf])
@pytest.mark.sampled(2)
def test_exhaustive_and_exact_search_agree_if_few_outputs_are_possible(
    settings, blocked, impossible
):
    logits = np.random.default_rng(0).normal(size=(2, 60, 4))
    if blocked is not None:
        logits[:, :, slice(1, None) if blocked == "all" else blocked] = impossible
    model = TableModel(logits)
    settings = {"max_length": 1, "num_hypotheses": 2, **settings}
    found = model.search(ExhaustiveSearch(**settings))
    exact = model.search(ExactSearch(**settings))
    for row in range(2):
        assert_same_outputs(outputs(found, row), outputs(exact, row))
