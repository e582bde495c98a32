from __future__ import annotations

import dataclasses

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

from keras_s2s.search import BeamSearch, ExactSearch, ExhaustiveSearch


def certified(found):
    assert found.certified is not None
    return found.certified


def nodes(found):
    assert found.nodes is not None
    return found.nodes


def test_exact_search_finds_the_textbook_optimum():
    model = textbook.greedy_is_not_best()
    a, b, c = textbook.A, textbook.B, textbook.C
    found = model.search(ExactSearch(max_length=4, beam_width=1))
    assert found.ids.tolist() == [[[a, c, b, oracle.EOS]]]
    np.testing.assert_allclose(np.exp(found.log_probs), [[0.054]], rtol=1e-5)
    assert certified(found).tolist() == [True]
    found = model.search(ExactSearch(max_length=4, beam_width=1, length_penalty=0.0))
    np.testing.assert_allclose(np.exp(found.log_probs), [[0.1]], rtol=1e-5)


@pytest.mark.parametrize("formula", ["power", "gnmt"])
@pytest.mark.parametrize("num_hypotheses", [1, 4])
@pytest.mark.parametrize("vocabulary_size", [4, 5, 8])
@pytest.mark.sampled(2)
def test_exact_search_finds_the_best_outputs(vocabulary_size, num_hypotheses, formula):
    model = TableModel.random(0, batch_size=20, vocabulary_size=vocabulary_size)
    search = ExactSearch(
        num_hypotheses=num_hypotheses,
        beam_width=1,
        length_penalty_formula=formula,
        nodes_per_step=3,
    )
    options = {
        "max_length": np.arange(20, dtype=np.int32) % 5 + 1,
        "min_length": np.arange(20, dtype=np.int32) % 3,
        "length_penalty": np.linspace(0, 2, 20, dtype=np.float32),
    }
    found = model.search(search, **options)
    assert certified(found).all()
    for row in range(20):
        max_length, min_length, penalty = (values[row].item() for values in options.values())
        rules = oracle.Rules(max_length, min_length, penalty, formula)
        expected = oracle.all_outputs(model.row(row), rules)[:num_hypotheses]
        finished = [output for output in outputs(found, row) if output.finished]
        assert_same_outputs(finished, expected)


def test_unfinished_hypotheses_of_the_beam_search_fill_the_remaining_slots():
    model = TableModel.random(2, batch_size=3, vocabulary_size=5)
    model.logits[..., oracle.EOS] = -1e9
    model.logits[:, 0, oracle.EOS] = 0.0  # an output can end at its first token only
    settings = {"num_hypotheses": 3, "max_length": 3}
    found, beam = (model.search(kind(**settings)) for kind in (ExactSearch, BeamSearch))
    for row in range(3):
        assert_same_outputs(outputs(found, row), outputs(beam, row))
        assert sum(output.finished for output in outputs(found, row)) == 1
    every = model.search(ExhaustiveSearch(**settings))
    assert every.finished.tolist() == [[True, False, False]] * 3
    assert every.lengths.tolist() == [[1, 0, 0]] * 3  # only finished hypotheses are returned


def test_exact_search_expands_few_of_all_prefixes():
    model = TableModel.random(1, batch_size=30, vocabulary_size=10)
    found = model.search(ExactSearch(max_length=6))
    assert certified(found).all()
    assert nodes(found).mean() < 0.02 * sum(7**place for place in range(6))


def test_exact_search_obeys_the_rules():
    model = TableModel.random(2, batch_size=10)
    lexicon = ((4, 5), (4, 5, 6), (5, 5, 1), (6, 1, 5, 4), (4,), (1, 4))
    search = ExactSearch(
        num_hypotheses=3, max_length=5, suppress_ids=(6,), no_repeat_ngram_size=1, lexicon=lexicon
    )
    prefix = np.array([[4], [0]] * 5, np.int32)
    found = model.search(search, prefix=prefix)
    assert certified(found).all()
    for row in range(10):
        rules = oracle.Rules(
            5, suppress=(6,), ngram=1, lexicon=lexicon, prefix=(4,) if row % 2 == 0 else ()
        )
        expected = oracle.all_outputs(model.row(row), rules)[:3]
        finished = [output for output in outputs(found, row) if output.finished]
        assert_same_outputs(finished, expected)


@pytest.mark.parametrize("limit", [{"max_nodes": 7}, {"max_open": 3}], ids=repr)
@pytest.mark.sampled(1)
def test_certified_outputs_are_optimal_and_others_are_no_worse_than_beam_search(limit):
    model = TableModel.random(3, batch_size=100, vocabulary_size=8)
    search = ExactSearch(max_length=6, beam_width=2, nodes_per_step=4, **limit)
    found = model.search(search)
    beam = model.search(BeamSearch(beam_width=2, max_length=6))
    assert 0.1 < certified(found).mean() < 0.95
    assert (nodes(found) <= search.max_nodes).all()
    assert (found.finished >= beam.finished).all()
    assert (found.scores >= beam.scores - 1e-6)[beam.finished].all()
    for row in range(100):
        if certified(found)[row]:
            (expected,) = oracle.all_outputs(model.row(row), oracle.Rules(6))[:1]
            assert_same_outputs(outputs(found, row), [expected])


def test_exactly_max_nodes_prefixes_are_expanded():
    model = TableModel(np.zeros((3, 1, 8)))  # nothing is better than anything else
    for budget in (38, 50):  # the first is spent just as a step ends
        search = ExactSearch(max_length=8, max_nodes=budget, nodes_per_step=16, length_penalty=2.0)
        found = model.search(search)
        assert nodes(found).tolist() == [budget] * 3
        assert not certified(found).any()


def test_a_row_that_max_nodes_ends_is_not_certified():
    # Bos leads to five prefixes; two can be looked into, and none of them leads on.
    model = TableModel(np.zeros((1, 1, 8)))
    search = ExactSearch(max_length=2, max_nodes=3, beam_width=1, length_penalty=2.0)
    found = model.search(search)
    assert nodes(found).tolist() == [3]
    assert not certified(found).any()


@pytest.mark.parametrize(("spread", "certain"), [(0.1, False), (3.0, True)])
def test_continuations_beyond_the_top_k_are_considered_for_the_certificate(spread, certain):
    # 64 of 90 tokens are expanded: if all are equal, one of the others may be better.
    logits = spread * np.random.default_rng(4).normal(size=(6, 499, 94))
    logits[:, :, oracle.EOS] = spread
    model = TableModel(logits)
    found = model.search(ExactSearch(max_length=2, length_penalty=2.5, beam_width=1))
    assert certified(found).tolist() == [certain] * 6
    for row in range(6):
        best = oracle.all_outputs(model.row(row), oracle.Rules(2, length_penalty=2.5))[0]
        if certain:
            assert_same_outputs(outputs(found, row), [best])


def test_a_row_does_not_depend_on_the_rest_of_the_batch():
    model = TableModel.random(5, batch_size=6, vocabulary_size=8)
    search = ExactSearch(num_hypotheses=2, max_nodes=60, max_open=20, nodes_per_step=8)
    limits = np.array([3, 7, 1, 5, 6, 2], np.int32)
    together = model.search(search, max_length=limits)
    for row in range(6):
        alone = TableModel(model.logits[row : row + 1]).search(
            search, max_length=limits[row : row + 1]
        )
        assert_same_outputs(outputs(together, row), outputs(alone, 0))
        assert nodes(together)[row] == nodes(alone)[0]
        assert certified(together)[row] == certified(alone)[0]


def test_the_unfinished_hypothesis_of_beam_search_is_returned_if_no_output_can_end():
    logits = np.random.default_rng(6).normal(size=(2, 50, 6))
    logits[:, :, oracle.EOS] = -1e9
    model = TableModel(logits)
    found = model.search(ExactSearch(max_length=3))
    beam = model.search(BeamSearch(max_length=3))
    assert_same_results(found._replace(certified=None, nodes=None), beam, atol=0)
    assert certified(found).all()


def test_a_step_for_some_rows_computes_only_the_groups_of_prefixes_that_are_expanded():
    model = TableModel.random(8, batch_size=12, vocabulary_size=10)
    step, state = table_step(tf.constant(model.logits))
    computed = []

    class Step:
        row_bytes = 1e6

        def __init__(self, rows):
            self.rows = rows

        def __call__(self, token_ids, state):
            groups = tf.reshape(state[0], [tf.size(self.rows), -1])
            np.testing.assert_array_equal(groups[:, 0], self.rows)  # others may be empty
            computed.append(int(tf.size(token_ids)))
            return step(token_ids, state)

        def for_rows(self, rows):
            return Step(tf.gather(self.rows, rows))

    search = ExactSearch(max_length=6, nodes_per_step=20, num_hypotheses=2)
    expected = model.search(search)
    found = search(Step(tf.range(12)), state, 12, 10)
    assert found.ids.numpy().tolist() == expected.ids.tolist()
    assert nodes(found).numpy().tolist() == nodes(expected).tolist()
    assert certified(found).numpy().all()
    assert len(set(computed)) > 3  # a step has as many prefixes as it needs
    assert max(computed) > 12 * 8
    computed.clear()
    # twelve copies, one for each row, fit into half of this memory
    search = dataclasses.replace(search, max_bytes=30_000_000)
    assert (
        search(Step(tf.range(12)), state, 12, 10).ids.numpy().tolist() == found.ids.numpy().tolist()
    )
    assert max(computed) <= 12 * 8


def test_an_empty_batch_gives_an_empty_result():
    found = TableModel(np.zeros((0, 3, 6))).search(ExactSearch(max_length=3))
    assert found.ids.shape == (0, 1, 3)
    assert nodes(found).shape == (0,)


@pytest.mark.slow
def test_litert_returns_the_same_results(tmp_path):
    search = ExactSearch(
        num_hypotheses=2, nodes_per_step=4, max_nodes=60, max_open=30, suppress_ids=(6,)
    )
    run = converted(search, 9, str(tmp_path), max_length=(tf.int32, 1))
    for batch_size in (1, 5):
        model = TableModel.random(batch_size, batch_size, vocabulary_size=9)
        limits = np.arange(3, 3 + batch_size, dtype=np.int32)
        expected = model.search(search, max_length=limits)
        found = run(model.logits, max_length=limits)
        assert_same_results(found, expected, atol=1e-5)
        assert nodes(found).tolist() == nodes(expected).tolist()
        assert certified(found).tolist() == certified(expected).tolist()


def test_eager_and_compiled_results_are_equal():
    model = TableModel.random(7, batch_size=3)
    step, state = table_step(tf.constant(model.logits))
    search = ExactSearch(max_length=4)
    eager = search(step, state, 3, 7)
    found = model.search(search)
    assert eager.ids.numpy().tolist() == found.ids.tolist()
    assert nodes(eager).numpy().tolist() == nodes(found).tolist()


@pytest.mark.parametrize(
    "name", ["num_hypotheses", "beam_width", "max_nodes", "max_open", "nodes_per_step"]
)
def test_bad_settings_are_rejected(name):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer. Received: {name}="):
        ExactSearch(**{name: 0})


def test_max_bytes_limits_the_open_prefixes():
    """Few open prefixes fit, some are dropped, and their rows are not certified."""
    model = TableModel(np.random.default_rng(0).normal(size=(4, 997, 9), scale=0.1))
    search = ExactSearch(max_length=8, length_penalty=1.0, max_nodes=500)
    sizes = []

    class Watched(ExactSearch):
        def _expand(self, state, *arguments):
            after = super()._expand(state, *arguments)
            sizes.append(sum(int(tf.size(part)) * 4 for part in tf.nest.flatten(after.open)))
            return after

    step, state = table_step(tf.constant(model.logits))
    settings = search.get_config()
    free = Watched(**settings)(step, state, 4, 9)
    most = max(sizes)
    sizes.clear()
    bounded = Watched(**{**settings, "max_bytes": most // 2})(step, state, 4, 9)
    assert max(sizes) <= most // 2
    assert not bounded.certified.numpy().any()
    assert (
        bounded.scores.numpy()
        >= BeamSearch(max_length=8, length_penalty=1.0)(step, state, 4, 9).scores.numpy() - 1e-6
    ).all()
    assert free.ids.shape == bounded.ids.shape
