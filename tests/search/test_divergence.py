"""A diverged model never gives an empty or plausible result."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from helpers.search_litert import converted
from helpers.table_model import TableModel, assert_same_outputs, outputs

from keras_s2s.convergence import check_converged
from keras_s2s.search import (
    BeamSearch,
    DiverseBeamSearch,
    ExactSearch,
    ExhaustiveSearch,
    GreedySearch,
    Sampling,
)
from keras_s2s.search.step import NextTokens
from keras_s2s.special_ids import IMPOSSIBLE

SEARCHES = [
    GreedySearch(max_length=4),
    GreedySearch(max_length=4, min_length=2),
    BeamSearch(beam_width=2, max_length=4),
    BeamSearch(beam_width=3, num_hypotheses=2, max_length=4, no_repeat_ngram_size=2),
    DiverseBeamSearch(beam_width=4, num_groups=2, num_hypotheses=3, max_length=4),
    ExactSearch(max_length=4),
    ExhaustiveSearch(max_length=4, num_hypotheses=2),
    Sampling(num_hypotheses=2, max_length=4),
    Sampling(num_hypotheses=2, max_length=4, top_k=2),
    Sampling(num_hypotheses=2, max_length=4, top_p=0.5),
    Sampling(num_hypotheses=2, max_length=4, suppress_ids=(6,)),
]


def of_no_distribution(kind: str) -> np.ndarray:
    logits = np.random.default_rng(0).normal(size=7)
    if kind == "one NaN":
        logits[2] = np.nan
    elif kind == "one +inf":
        logits[4] = np.inf
    else:
        logits[:] = {"NaN": np.nan, "-inf": -np.inf, "+inf": np.inf}[kind]
    return logits


def three_rows(bad: np.ndarray, *, at_once: bool) -> TableModel:
    """The middle row diverges: in the first step, or in every later one."""
    model = TableModel.random(5, batch_size=3)
    model.logits[:, 0, 3] = -9.0  # no row ends at once
    model.logits[1, 0 if at_once else slice(1, None)] = bad
    return model


@pytest.mark.parametrize("kind", ["NaN", "one NaN", "one +inf", "+inf", "-inf"])
@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: type(search).__name__)
@pytest.mark.sampled(11)
def test_a_diverged_row_has_nan_scores_and_other_rows_are_unaffected(search, kind):
    model = three_rows(of_no_distribution(kind), at_once=kind != "one NaN")
    found = model.search(search)
    assert np.isnan(found.scores[1]).all()
    assert np.isnan(found.log_probs[1]).all()
    assert not found.ids[1].any()
    assert not found.lengths[1].any()
    assert not found.finished[1].any()
    expected = TableModel.random(5, batch_size=3)
    expected.logits[:, 0, 3] = -9.0
    expected = expected.search(search)
    for row in (0, 2):
        assert_same_outputs(outputs(found, row), outputs(expected, row))
    with pytest.raises(ValueError, match=r"The model has diverged: .* \(in row 1\)"):
        check_converged(found.scores)


@pytest.mark.parametrize("kind", ["NaN", "one NaN", "one +inf", "-inf"])
def test_masked_tokens_do_not_hide_divergence(kind):
    logits = tf.constant([of_no_distribution(kind), np.zeros(7)], tf.float32)
    nowhere = NextTokens(logits, allowed=tf.zeros([2, 7], tf.bool), suppress_ids=[6]).log_probs()
    assert np.isnan(nowhere[0]).all()
    assert np.all(nowhere[1] == IMPOSSIBLE)
    suppressed = NextTokens(logits, suppress_ids=range(4, 7)).log_probs()
    assert np.isnan(suppressed[0]).all()
    expected = [IMPOSSIBLE, -np.log(7), IMPOSSIBLE, -np.log(7), *[IMPOSSIBLE] * 3]
    np.testing.assert_allclose(suppressed[1], expected, rtol=1e-6)


@pytest.mark.parametrize("search", [GreedySearch(max_length=4), BeamSearch(max_length=4)], ids=repr)
@pytest.mark.sampled(1)
def test_an_impossible_prefix_does_not_hide_divergence(search):
    """A prefix that begins with a suppressed id allows no token."""
    search = dataclasses.replace(search, suppress_ids=(4,))
    found = three_rows(of_no_distribution("NaN"), at_once=True).search(search, prefix=[[4]] * 3)
    assert np.isnan(found.scores).all(axis=1).tolist() == [False, True, False]
    assert not found.ids.any()


def test_a_diverged_row_is_not_certified():
    found = three_rows(of_no_distribution("NaN"), at_once=True).search(ExactSearch(max_length=4))
    assert found.certified.tolist() == [True, False, True]


@pytest.mark.parametrize("search", [SEARCHES[i] for i in (0, 2, 3, 7, 9)], ids=repr)
@pytest.mark.sampled(1)
def test_litert_reports_divergence(search, tmp_path):
    run = converted(search, 7, str(tmp_path))
    for kind in ("NaN", "one NaN", "one +inf", "-inf"):
        found = run(three_rows(of_no_distribution(kind), at_once=True).logits)
        assert np.isnan(found.scores).all(axis=1).tolist() == [False, True, False]
        assert not found.ids[1].any()


def test_unused_beams_do_not_count_as_diverged():
    """After the only possible token, unused beams hold ids without continuations."""

    def step(token_ids, state):
        logits = tf.constant([[np.nan] * 5, [-np.inf, -np.inf, -np.inf, -np.inf, 0.0]], tf.float32)
        last = tf.constant([[-np.inf, -np.inf, -np.inf, 0.0, -np.inf]], tf.float32)
        rows = tf.where(tf.equal(token_ids, 2), 1, 0)
        start = tf.gather(logits, rows)
        return tf.where(tf.expand_dims(tf.equal(token_ids, 4), 1), last, start), state

    for search in (BeamSearch(beam_width=3), ExactSearch(max_length=5), GreedySearch()):
        found = search(step, (), 1, 5)
        assert found.ids.numpy()[0, 0, :2].tolist() == [4, 3]
        assert found.scores.numpy()[0, 0] == 0.0
