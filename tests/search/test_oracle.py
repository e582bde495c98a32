"""The oracle reproduces the textbook cases."""

from __future__ import annotations

import math

import pytest
from helpers import oracle, textbook

MODEL = textbook.greedy_is_not_best().row(0)
ABC = (textbook.A, textbook.B, textbook.C, oracle.EOS)
ACB = (textbook.A, textbook.C, textbook.B, oracle.EOS)


def test_the_oracle_s_greedy_search_returns_the_textbook_output():
    (found,) = oracle.greedy_search(MODEL, oracle.Rules(4))
    assert found.ids == ABC
    assert math.exp(found.log_prob) == pytest.approx(0.048)


def test_the_oracle_s_beam_search_returns_the_textbook_output():
    (found,) = oracle.beam_search(MODEL, oracle.Rules(4), 2, 1, "finished")
    assert found.ids == ACB
    assert math.exp(found.log_prob) == pytest.approx(0.054)


def test_the_best_of_all_outputs_is_the_textbook_optimum():
    assert oracle.all_outputs(MODEL, oracle.Rules(4))[0].ids == ACB


def test_without_a_length_penalty_short_outputs_are_the_best():
    # Eos alone and A eos both have P = .1.
    first, second = oracle.all_outputs(MODEL, oracle.Rules(4, length_penalty=0.0))[:2]
    assert {first.ids, second.ids} == {(oracle.EOS,), (textbook.A, oracle.EOS)}
    assert math.exp(first.log_prob) == pytest.approx(0.1)
