"""Attention in the result, and the coverage penalty."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import oracle
from helpers.search_litert import converted
from helpers.table_model import (
    TableModel,
    assert_same_outputs,
    assert_same_results,
    outputs,
    table_step,
)

from keras_s2s.search import BeamSearch, DiverseBeamSearch, GreedySearch
from keras_s2s.search.task import LEAST_COVERAGE

SOURCE_LENGTHS = np.array([3, 1, 4, 2, 3, 4], np.int32)


def model_with_attention(seed: int) -> TableModel:
    random = np.random.default_rng(seed)
    logits = 1.5 * random.normal(size=(6, 499, 7))
    attention = random.exponential(size=(6, 499, 4))
    attention *= np.arange(4) < SOURCE_LENGTHS[:, None, None]
    attention /= attention.sum(axis=2, keepdims=True)
    return TableModel(logits, attention)


@pytest.mark.parametrize(
    "search",
    [GreedySearch(max_length=6), BeamSearch(beam_width=4, num_hypotheses=3, max_length=6)],
)
def test_attention_belongs_to_the_reported_tokens(search):
    model = model_with_attention(0)
    found = model.search(search, return_attention=True)
    assert found.attention is not None
    assert found.attention.shape == (*found.ids.shape, 4)
    for row in range(6):
        for place, output in enumerate(outputs(found, row)):
            expected = np.zeros((6, 4), np.float32)
            for position in range(len(output.ids)):
                expected[position] = model.looks_at(row, output.ids[:position])
            np.testing.assert_allclose(found.attention[row, place], expected, atol=1e-6)


@pytest.mark.parametrize("length", [64, 65, 150])
def test_long_outputs_have_attention_up_to_their_end(length):
    model = model_with_attention(6)
    model.logits[..., oracle.EOS] -= 50.0
    found = model.search(GreedySearch(max_length=length), return_attention=True)
    assert found.attention is not None
    for row in range(6):
        ids = tuple(found.ids[row, 0].tolist())
        expected = [model.looks_at(row, ids[:position]) for position in range(length)]
        np.testing.assert_allclose(found.attention[row, 0], expected, atol=1e-6)


def test_source_positions_have_the_largest_attention():
    step, state = table_step(*(tf.constant(x, tf.float32) for x in tables(1)))
    found = GreedySearch(max_length=5)(step, state, 6, 7, return_attention=True)
    assert found.attention is not None
    np.testing.assert_array_equal(
        found.source_positions(), np.argmax(found.attention.numpy(), axis=3)
    )
    trimmed = found.trim()
    assert trimmed.attention is not None
    assert trimmed.attention.shape == (*trimmed.ids.shape, 4)
    assert trimmed.source_positions().shape == trimmed.ids.shape


def tables(seed):
    model = model_with_attention(seed)
    return model.logits, model.attention


def test_a_result_without_attention_has_no_source_positions():
    step, state = table_step(tf.zeros([2, 3, 6]))
    with pytest.raises(ValueError, match="`source_positions` requires a result with attention"):
        GreedySearch()(step, state, 2, 6).source_positions()


def test_attention_requires_a_step_that_returns_it():
    step, state = table_step(tf.zeros([2, 3, 6]))
    with pytest.raises(ValueError, match=r"`step` must return a tuple \(logits, state, attentio"):
        GreedySearch()(step, state, 2, 6, return_attention=True)


def coverage_bonus(model, row, penalty):
    """The coverage penalty by its definition."""

    def bonus(ids):
        coverage = sum(model.looks_at(row, ids[:place]) for place in range(len(ids)))
        covered = np.clip(coverage[: SOURCE_LENGTHS[row]], LEAST_COVERAGE, 1.0)
        return penalty * float(np.log(covered).sum())

    return bonus


@pytest.mark.parametrize("stopping", ["finished", "bound", "length"])
@pytest.mark.parametrize("penalty", [0.2, 1.5])
def test_the_coverage_penalty_is_part_of_the_score(penalty, stopping):
    model = model_with_attention(2)
    search = BeamSearch(
        beam_width=3,
        num_hypotheses=3,
        stopping=stopping,
        coverage_penalty=penalty,
        length_penalty_formula="gnmt",
    )
    limits = np.array([6, 5, 1, 2, 6, 3], np.int32)
    found = model.search(search, source_lengths=SOURCE_LENGTHS, max_length=limits)
    for row in range(6):
        rules = oracle.Rules(
            int(limits[row]), formula="gnmt", bonus=coverage_bonus(model, row, penalty)
        )
        expected = oracle.beam_search(model.row(row), rules, 3, 3, stopping)
        assert_same_outputs(outputs(found, row), expected)


def test_the_groups_of_a_diverse_search_have_the_coverage_penalty():
    model = model_with_attention(7)
    search = DiverseBeamSearch(
        beam_width=4, num_groups=2, num_hypotheses=4, max_length=5, coverage_penalty=0.7
    )
    found = model.search(search, source_lengths=SOURCE_LENGTHS)
    for row in range(6):
        rules = oracle.Rules(5, bonus=coverage_bonus(model, row, 0.7))
        expected = oracle.diverse_beam_search(
            model.row(row), rules, 2, 2, search.diversity_penalty, "bound"
        )
        assert_same_outputs(outputs(found, row), expected)


@pytest.mark.slow
def test_attention_and_coverage_in_litert(tmp_path):
    search = BeamSearch(beam_width=3, num_hypotheses=2, max_length=5, coverage_penalty=0.5)
    run = converted(
        search, 7, str(tmp_path), attention=(tf.float32, 3), source_lengths=(tf.int32, 1)
    )
    model = model_with_attention(3)
    assert model.attention is not None
    attention = model.attention.astype(np.float32)
    expected = model.search(search, return_attention=True, source_lengths=SOURCE_LENGTHS)
    found = run(model.logits, attention=attention, source_lengths=SOURCE_LENGTHS)
    assert_same_results(found, expected, atol=1e-5)
    assert found.attention is not None
    assert expected.attention is not None
    np.testing.assert_allclose(found.attention, expected.attention, atol=1e-6)


def test_a_coverage_penalty_requires_source_lengths():
    step, state = table_step(*(tf.constant(x, tf.float32) for x in tables(4)))
    with pytest.raises(ValueError, match="`source_lengths` must be given to a search with `cover"):
        BeamSearch(coverage_penalty=0.1)(step, state, 6, 7)


def test_a_bad_coverage_penalty_is_rejected():
    with pytest.raises(ValueError, match="`coverage_penalty` must be a number between 0 and 1000"):
        BeamSearch(coverage_penalty=-1)


def test_an_output_of_one_token_has_attention():
    found = model_with_attention(5).search(GreedySearch(max_length=1), return_attention=True)
    assert found.attention is not None
    assert found.attention.shape == (6, 1, 1, 4)
