"""The oracle reproduces the textbook cases."""

from __future__ import annotations

import math

import pytest
from helpers import oracle, textbook

MODEL = textbook.greedy_is_not_best().row(0)
ABC = (textbook.A, textbook.B, textbook.C, oracle.EOS)
ACB = (textbook.A, textbook.C, textbook.B, oracle.EOS)


def test_greedy():
    (found,) = oracle.greedy_search(MODEL, oracle.Rules(4))
    assert found.ids == ABC
    assert math.exp(found.log_prob) == pytest.approx(0.048)


def test_beam_search():
    (found,) = oracle.beam_search(MODEL, oracle.Rules(4), 2, 1, "finished")
    assert found.ids == ACB
    assert math.exp(found.log_prob) == pytest.approx(0.054)


def test_all_outputs():
    assert oracle.all_outputs(MODEL, oracle.Rules(4))[0].ids == ACB


def test_all_outputs_without_length_penalty():
    # Eos alone and A eos both have P = .1.
    first, second = oracle.all_outputs(MODEL, oracle.Rules(4, length_penalty=0.0))[:2]
    assert {first.ids, second.ids} == {(oracle.EOS,), (textbook.A, oracle.EOS)}
    assert math.exp(first.log_prob) == pytest.approx(0.1)
