"""Random models under random options and combined rules, against the oracle.

An example is a batch of cases. The settings that make a graph of their own are few; all else, the
tables too, is an input of it.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from helpers import oracle
from helpers.table_model import TableModel, assert_same_outputs, outputs
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_s2s.search import (
    BeamSearch,
    DiverseBeamSearch,
    ExactSearch,
    ExhaustiveSearch,
    GreedySearch,
    Sampling,
)

CASES = 16

# Settings of a search, and what they are called in the oracle.
RULES: list[dict[str, Any]] = [
    {},
    {"length_penalty_formula": "gnmt"},
    {"suppress_ids": (1,), "no_repeat_ngram_size": 2},
    {
        "lexicon": ((4,), (4, 5, 4), (5, 4), (6, 1), (6, 6, 5, 4), (), (1, 1, 4)),
        "suppress_ids": (0,),
    },
    {"no_repeat_ngram_size": 1, "length_penalty_formula": "gnmt"},
]
NAMES = {
    "length_penalty_formula": "formula",
    "suppress_ids": "suppress",
    "no_repeat_ngram_size": "ngram",
    "lexicon": "lexicon",
}


@st.composite
def cases(draw, longest=7):
    """A batch of tables, some peaked, some flat, and options for each row."""
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    spread = random.uniform(0.3, 4.0, (CASES, 1, 1))
    logits = spread * random.normal(size=(CASES, 499, 7))
    logits[:, :, oracle.EOS] += random.uniform(-3, 3, (CASES, 1))
    prefix = random.choice([1, 4, 5, 6], (CASES, 2))
    # Half the rows have no prefix, a quarter have one token, a quarter two.
    prefix *= np.arange(2) < random.choice([0, 0, 1, 2], (CASES, 1))
    row_options = {
        "max_length": random.integers(1, longest + 1, CASES).astype(np.int32),
        "min_length": random.integers(0, 5, CASES).astype(np.int32),
        "length_penalty": random.uniform(0.0, 2.0, CASES).astype(np.float32),
        "prefix": prefix.astype(np.int32),
    }
    return TableModel(logits), row_options


def rules_of(rules: dict[str, Any], row_options: dict[str, np.ndarray], row: int) -> oracle.Rules:
    prefixes = row_options.get("prefix", np.zeros((CASES, 0), np.int32))
    return oracle.Rules(
        max_length=row_options["max_length"][row].item(),
        min_length=row_options["min_length"][row].item(),
        length_penalty=row_options["length_penalty"][row].item(),
        prefix=tuple(id_ for id_ in prefixes[row].tolist() if id_),
        **{NAMES[name]: value for name, value in rules.items()},
    )


def check(case, search, rules, expected_of) -> None:
    """Compare each row with the oracle, and each log_prob with that of its ids."""
    model, row_options = case
    found = model.search(search, **row_options)
    for row in range(CASES):
        row_rules = rules_of(rules, row_options, row)
        got = outputs(found, row)
        assert_same_outputs(got, expected_of(model.row(row), row_rules))
        for output in got:
            assert output.log_prob == pytest.approx(
                oracle.log_prob(model.row(row), output.ids), abs=1e-4
            )
            divisor = row_rules.divisor(len(output.ids))
            assert output.score == pytest.approx(output.log_prob / divisor, rel=1e-5)


BEAMS = list(itertools.product(["finished", "bound", "length"], [(1, 1), (2, 1), (3, 3), (6, 4)]))


@pytest.mark.parametrize("number", range(len(BEAMS)))
@settings(max_examples=12)
@given(case=cases())
@pytest.mark.sampled(3)
def test_beam_search_equals_the_oracle(number, case):
    stopping, (beam_width, num_hypotheses) = BEAMS[number]
    rules = RULES[number % len(RULES)]
    if number % 2:
        del case[1]["prefix"]
    search = BeamSearch(
        beam_width=beam_width, num_hypotheses=num_hypotheses, stopping=stopping, **rules
    )

    def expected_of(model, row_rules):
        return oracle.beam_search(model, row_rules, beam_width, num_hypotheses, stopping)

    check(case, search, rules, expected_of)


@pytest.mark.parametrize("rules", RULES, ids=repr)
@settings(max_examples=8)
@given(case=cases())
def test_greedy_search_equals_the_oracle(rules, case):
    check(case, GreedySearch(**rules), rules, oracle.greedy_search)


@pytest.mark.parametrize("rules", RULES, ids=repr)
@settings(max_examples=8)
@given(case=cases(longest=5))
@pytest.mark.sampled(1)
def test_exact_search_equals_full_enumeration(rules, case):
    search = ExactSearch(num_hypotheses=2, beam_width=2, nodes_per_step=8, **rules)
    model, row_options = case
    found = model.search(search, **row_options)
    assert found.certified is not None
    assert found.certified.all()
    for row in range(CASES):
        expected = oracle.all_outputs(model.row(row), rules_of(rules, row_options, row))
        finished = [output for output in outputs(found, row) if output.finished]
        assert_same_outputs(finished, expected[:2])


@pytest.mark.parametrize("rules", RULES[2:4], ids=repr)
@settings(max_examples=8)
@given(case=cases(longest=5))
@pytest.mark.sampled(1)
def test_exhaustive_search_equals_full_enumeration(rules, case):
    search = ExhaustiveSearch(num_hypotheses=3, max_length=5, **rules)

    def expected_of(model, row_rules):
        finished = oracle.all_outputs(model, row_rules)[:3]
        return finished or oracle.beam_search(model, row_rules, 5, 3, "bound")

    check(case, search, rules, expected_of)


@pytest.mark.parametrize(("number", "rules"), list(enumerate(RULES[1:4])))
@settings(max_examples=8)
@given(case=cases())
@pytest.mark.sampled(2)
def test_sampling_equals_the_oracle(number, rules, case):
    draw: dict[str, Any] = {
        "temperature": [0.7, 1.0, 2.0][number],
        "top_k": [None, 2, 3][number],
        "top_p": [None, None, 0.8][number],
    }

    def expected_of(model, row_rules):
        samples = [oracle.sample(model, row_rules, seed=4, number=n, **draw) for n in range(3)]
        drawn = [sample for sample in samples if sample is not None]
        return sorted(drawn, key=lambda output: (not output.finished, -output.score))

    check(case, Sampling(num_hypotheses=3, seed=4, **draw, **rules), rules, expected_of)


@pytest.mark.parametrize(
    ("rules", "stopping"), [(RULES[0], "bound"), (RULES[2], "finished"), (RULES[3], "length")]
)
@settings(max_examples=8)
@given(case=cases())
@pytest.mark.sampled(2)
def test_diverse_beam_search_equals_the_oracle(rules, stopping, case):
    search = DiverseBeamSearch(
        beam_width=4,
        num_groups=2,
        num_hypotheses=4,
        diversity_penalty=0.7,
        stopping=stopping,
        **rules,
    )

    def expected_of(model, row_rules):
        return oracle.diverse_beam_search(model, row_rules, 2, 2, 0.7, stopping)

    check(case, search, rules, expected_of)
