"""Random models and random options, against the oracle. One example is a batch of cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search import oracle
from search.table_model import TableModel, assert_same_outputs, outputs

from keras_s2s.search import BeamSearch, GreedySearch

CASES = 16


@st.composite
def cases(draw):
    """A batch of tables, some peaked, some flat, and options for each row."""
    seed = draw(st.integers(0, 2**31))
    random = np.random.default_rng(seed)
    vocabulary_size = draw(st.sampled_from([4, 5, 7, 12]))
    spread = random.uniform(0.3, 4.0, (CASES, 1, 1))
    logits = spread * random.normal(size=(CASES, 499, vocabulary_size))
    logits[:, :, oracle.EOS] += random.uniform(-3, 3, (CASES, 1))
    row_options = {
        "max_length": random.integers(1, 8, CASES).astype(np.int32),
        "min_length": random.integers(0, 5, CASES).astype(np.int32),
        "length_penalty": random.uniform(0.0, 2.0, CASES).astype(np.float32),
    }
    return TableModel(logits), row_options


def rules_of(row_options, row, formula):
    return oracle.Rules(
        max_length=row_options["max_length"][row].item(),
        min_length=row_options["min_length"][row].item(),
        length_penalty=row_options["length_penalty"][row].item(),
        formula=formula,
    )


@pytest.mark.parametrize("formula", ["power", "gnmt"])
@pytest.mark.parametrize("stopping", ["finished", "bound", "length"])
@pytest.mark.parametrize(("beam_width", "num_hypotheses"), [(1, 1), (2, 1), (3, 3), (6, 4)])
@settings(max_examples=10)
@given(case=cases())
def test_beam_search(beam_width, num_hypotheses, stopping, formula, case):
    model, row_options = case
    search = BeamSearch(
        beam_width=beam_width,
        num_hypotheses=num_hypotheses,
        stopping=stopping,
        length_penalty_formula=formula,
    )
    found = model.search(search, **row_options)
    for row in range(CASES):
        rules = rules_of(row_options, row, formula)
        expected = oracle.beam_search(model.row(row), rules, beam_width, num_hypotheses, stopping)
        assert_same_outputs(outputs(found, row), expected)
        for output in outputs(found, row):
            assert output.log_prob == pytest.approx(
                oracle.log_prob(model.row(row), output.ids), abs=1e-4
            )


@settings(max_examples=30)
@given(case=cases())
def test_greedy_search(case):
    model, row_options = case
    found = model.search(GreedySearch(), **row_options)
    for row in range(CASES):
        rules = rules_of(row_options, row, "power")
        assert_same_outputs(outputs(found, row), oracle.greedy_search(model.row(row), rules))
