from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from helpers import oracle
from helpers.search_litert import converted
from helpers.table_model import TableModel, assert_same_outputs, assert_same_results, outputs

from keras_s2s.search import Sampling

DRAWS = [
    {},
    {"temperature": 0.4},
    {"temperature": 3.0},
    {"top_k": 1},
    {"top_k": 3, "temperature": 2.0},
    {"top_p": 0.6},
    {"top_k": 4, "top_p": 0.8, "temperature": 1.5},
]


@pytest.mark.parametrize("settings", DRAWS, ids=repr)
def test_samples_equal_those_of_the_oracle(settings):
    model = TableModel.random(0, batch_size=10)
    search = Sampling(num_hypotheses=5, max_length=6, seed=7, **settings)
    found = model.search(search)
    for row in range(10):
        draw = {"temperature": 1.0, "top_k": None, "top_p": None, **settings}
        samples = [
            oracle.sample(model.row(row), oracle.Rules(6), seed=7, number=number, **draw)
            for number in range(5)
        ]
        expected = [one for one in samples if one is not None]
        expected.sort(key=lambda output: (not output.finished, -output.score))
        assert_same_outputs(outputs(found, row), expected)


def test_samples_obey_the_rules():
    model = TableModel.random(1, batch_size=10)
    rules: dict[str, Any] = {"suppress_ids": (5,), "no_repeat_ngram_size": 2}
    min_length = np.array([1, 2, 3, 4, 5] * 2, np.int32)
    several: list[dict[str, Any]] = [{}, {"top_k": 2}]
    for settings in several:
        search = Sampling(num_hypotheses=4, max_length=7, **rules, **settings)
        found = model.search(search, min_length=min_length)
        for row in range(10):
            allowed = oracle.Rules(7, int(min_length[row]), suppress=(5,), ngram=2)
            samples = [
                oracle.sample(
                    model.row(row),
                    allowed,
                    seed=0,
                    number=number,
                    temperature=1.0,
                    top_k=settings.get("top_k"),
                    top_p=None,
                )
                for number in range(4)
            ]
            expected = [one for one in samples if one is not None]
            expected.sort(key=lambda output: (not output.finished, -output.score))
            assert_same_outputs(outputs(found, row), expected)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_frequency_of_a_token_matches_its_probability(temperature):
    number = 20_000
    logits = np.array([-9.0, 0.5, -9.0, 0.0, 1.0, -1.0, -4.0])
    search = Sampling(num_hypotheses=number, max_length=1, temperature=temperature, seed=3)
    found = TableModel(logits[np.newaxis, np.newaxis]).search(search)
    counts = Counter(found.ids[0, :, 0].tolist())
    emitted = [1, 3, 4, 5, 6]
    weights = np.exp(logits[emitted] / temperature)
    expected = number * weights / weights.sum()
    observed = np.array([counts[id_] for id_ in emitted])
    chi_square = ((observed - expected) ** 2 / expected).sum()
    assert chi_square < 18.5  # 4 degrees of freedom: above it once in a thousand seeds


def test_the_seed_determines_the_sample_and_can_differ_by_row():
    model = TableModel(np.repeat(TableModel.random(2, batch_size=1).logits, 3, axis=0))
    search = Sampling(max_length=8, seed=5)
    same = model.search(search)
    assert (same.ids == same.ids[:1]).all()  # equal rows, equal seeds
    assert_same_results(model.search(search), same, atol=0)
    seeds = np.array([5, -6, 7], np.int32)
    own = model.search(search, seed=seeds)
    assert own.ids[0].tolist() == same.ids[0].tolist()
    assert len({tuple(ids) for ids in own.ids[:, 0].tolist()}) == 3


def test_a_row_does_not_depend_on_the_rest_of_the_batch():
    model = TableModel.random(3, batch_size=5)
    search = Sampling(num_hypotheses=3, max_length=6)
    together = model.search(search)
    for row in range(5):
        alone = TableModel(model.logits[row : row + 1]).search(search)
        assert_same_outputs(outputs(together, row), outputs(alone, 0))


@pytest.mark.parametrize("settings", [{}, {"top_k": 3}, {"top_p": 0.7}], ids=repr)
@pytest.mark.sampled(1)
def test_litert_draws_the_same_samples(settings, tmp_path):
    search = Sampling(num_hypotheses=4, max_length=6, **settings)
    run = converted(search, 7, str(tmp_path), seed=(tf.int32, 1))
    for batch_size in (1, 5):
        model = TableModel.random(batch_size, batch_size)
        seed = np.arange(batch_size, dtype=np.int32) * 1_000_003 - 2_000_000
        expected = model.search(search, seed=seed)
        assert_same_results(run(model.logits, seed=seed), expected, atol=1e-5)


def test_no_possible_token_gives_no_hypothesis():
    logits = np.full((1, 1, 6), -1e9)
    logits[..., oracle.PAD] = 0.0
    several: list[dict[str, Any]] = [{}, {"top_k": 2}, {"top_p": 0.5}]
    for settings in several:
        found = TableModel(logits).search(Sampling(max_length=3, **settings))
        assert outputs(found, 0) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_hypotheses": 0}, "`num_hypotheses` must be a positive integer"),
        ({"temperature": 0}, "`temperature` must be a number between 1e-06 and 1,000,000. For t"),
        ({"temperature": -1}, "`temperature` must be a number between 1e-06 and 1,000,000"),
        ({"top_k": 0}, "`top_k` must be a positive integer. Received: top_k=0"),
        ({"top_p": 0}, "`top_p` must be a number above 0 and at most 1. Received: top_p=0"),
        ({"top_p": 1.1}, "`top_p` must be a number above 0 and at most 1. Received: top_p=1.1"),
        ({"seed": 0.5}, "`seed` must be a 32-bit integer. Received: seed=0.5"),
        ({"seed": 2**31}, "`seed` must be a 32-bit integer. Received: seed=2147483648"),
    ],
)
def test_bad_settings_are_rejected(settings, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**settings)
