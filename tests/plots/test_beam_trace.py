from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import oracle, textbook
from helpers.table_model import TableModel, in_numpy, table_step

from keras_s2s import plots
from keras_s2s.search import BeamSearch, DiverseBeamSearch, GreedySearch, Sampling


def trace(model, search, **options):
    step, state = table_step(tf.constant(model.logits))
    return plots.trace_beam_search(step, state, model.logits.shape[2], search, **options)


def spelled(candidates):
    return ["".join("ABCDE"[id_ - 4] for id_ in one.ids) for one in candidates]


def test_the_textbook_s_candidates_go_on():
    search = BeamSearch(beam_width=2, num_hypotheses=2, max_length=3)
    found = trace(textbook.five_tokens(), search, pruned=20)
    live = [[one for one in step if one.fate == "live"] for step in found.steps]
    assert [spelled(step) for step in live] == [["A", "C"], ["AB", "CE"], ["ABD", "CED"]]
    assert [len(step) for step in found.steps] == [5, 10, 10]
    assert {one.fate for step in found.steps for one in step} == {"live", "pruned"}
    assert spelled(found.outputs) == ["ABD", "CED"]
    np.testing.assert_allclose(np.exp(found.winner.log_prob), 0.4 * 0.5 * 0.6, rtol=1e-5)


@pytest.mark.parametrize(
    "search",
    [
        BeamSearch(beam_width=3, num_hypotheses=3, max_length=6),
        BeamSearch(beam_width=2, max_length=6, stopping="bound", min_length=3, suppress_ids=(4,)),
        BeamSearch(beam_width=4, num_hypotheses=2, max_length=5, stopping="length"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_the_trace_ends_in_the_answer_of_the_search(search, seed):
    model = TableModel.random(seed, batch_size=1)
    found = trace(model, search)
    expected = in_numpy(search(*table_step(tf.constant(model.logits)), 1, 7))
    for place, output in enumerate(found.outputs):
        length = expected.lengths[0, place]
        assert output.ids == tuple(expected.ids[0, place, :length])
        np.testing.assert_allclose(output.log_prob, expected.log_probs[0, place], rtol=1e-6)
        np.testing.assert_allclose(output.score, expected.scores[0, place], rtol=1e-6)
        assert (output.fate == "finished") == expected.finished[0, place]
        step = found.steps[length - 1]
        assert output.ids in [one.ids for one in step if one.fate == output.fate]


def test_each_step_has_the_most_probable_continuations_of_what_was_live():
    model = TableModel.random(0, batch_size=1)
    found = trace(model, BeamSearch(beam_width=2, max_length=4, min_length=2), pruned=3)
    live = [()]
    for number, step in enumerate(found.steps, 1):
        expected = []
        for prefix in live:
            logits = model.row(0)(prefix).astype(np.float64)
            log_probs = logits - np.log(np.exp(logits).sum())
            before = sum_log_prob(model, prefix)
            for id_, value in enumerate(log_probs):
                if id_ not in (oracle.PAD, oracle.BOS) and (number > 1 or id_ != oracle.EOS):
                    expected.append((before + value, (*prefix, id_)))
        expected.sort(reverse=True)
        assert [one.ids for one in step] == [ids for _, ids in expected[: len(step)]]
        np.testing.assert_allclose(
            [one.log_prob for one in step], [value for value, _ in expected[: len(step)]], rtol=1e-5
        )
        assert sum(one.fate == "pruned" for one in step) == min(3, len(expected) - 2)
        live = [one.ids for one in step if one.fate == "live"]


def sum_log_prob(model, ids):
    total = 0.0
    for place, id_ in enumerate(ids):
        logits = model.row(0)(ids[:place]).astype(np.float64)
        total += logits[id_] - np.log(np.exp(logits).sum())
    return total


def test_greedy_search_is_one_of_width_one():
    found = trace(textbook.greedy_is_not_best(), GreedySearch(max_length=4), pruned=0)
    a, b, c = textbook.A, textbook.B, textbook.C
    assert found.winner.ids == (a, b, c, oracle.EOS)
    # the end is the best, and the hypothesis extended instead the second
    assert [len(step) for step in found.steps] == [1, 1, 1, 2]


@pytest.mark.parametrize(
    "search", [Sampling(), DiverseBeamSearch(beam_width=2, num_groups=2), "beam"]
)
def test_other_searches_are_rejected(search):
    with pytest.raises(TypeError, match="`search` must be a `BeamSearch` or a `GreedySearch`"):
        trace(textbook.five_tokens(), search)


def test_bad_arguments_are_rejected():
    with pytest.raises(ValueError, match="`pruned` must be an integer of at least 0"):
        trace(textbook.five_tokens(), BeamSearch(), pruned=-1)
    nothing = TableModel(np.full([1, 9973, 9], -1e9) + 2e9 * np.eye(9)[0])
    search = BeamSearch(max_length=1, suppress_ids=tuple(range(4, 9)), lexicon=[[4]])
    with pytest.raises(ValueError, match="The search found no output, so there is nothing to draw"):
        trace(nothing, search)


def test_a_model_that_has_diverged_is_named():
    with pytest.raises(ValueError, match="The model has diverged"):
        trace(TableModel(np.full([1, 9973, 9], np.nan)), BeamSearch(max_length=2))
