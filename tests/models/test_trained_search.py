"""Hypotheses of trained models keep the promises about scores."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.reversing import compile_model, make_data, make_model

from keras_s2s.models import Ensemble, Searchable, Seq2Seq
from keras_s2s.search import BeamSearch, ExactSearch, SearchResult

pytestmark = pytest.mark.slow

WIDTH, PENALTY = 5, 0.75
SEARCH = BeamSearch(
    beam_width=WIDTH, num_hypotheses=WIDTH, length_penalty=PENALTY, max_length=7, stopping="length"
)
SOURCE_IDS = make_data(24, seed=9)[0]["source_ids"]


@pytest.fixture(scope="module")
def members() -> list[Seq2Seq]:
    """Two models, trained briefly, so that they are uncertain."""
    keras.utils.set_random_seed(1)
    models = []
    for attention, steps in (("luong", 200), (None, 100)):
        model = compile_model(make_model(16, attention=attention))
        model.fit(*make_data(24 * steps, seed=1), batch_size=24, verbose=0)
        models.append(model)
    return models


@pytest.fixture(scope="module", params=["one", "ensemble"])
def trained(request, members) -> Searchable:
    return members[0] if request.param == "one" else Ensemble(members)


@pytest.fixture(scope="module")
def found(trained) -> SearchResult:
    return trained.search(SOURCE_IDS, SEARCH)


def test_the_model_has_learned(found):
    right = [
        np.array_equal(ids[: length - 1], source[source > 3][::-1])
        for ids, length, source in zip(
            found.ids[:, 0].numpy(), found.lengths[:, 0].numpy(), SOURCE_IDS, strict=True
        )
    ]
    assert np.mean(right) > 0.5


def test_each_log_prob_is_that_of_the_reported_ids(trained, found):
    sources = np.repeat(SOURCE_IDS, WIDTH, axis=0)
    log_probs = trained.log_prob(sources, tf.reshape(found.ids, [len(sources), -1]))
    np.testing.assert_allclose(tf.reshape(log_probs, [-1, WIDTH]), found.log_probs, atol=1e-4)


def test_each_score_is_the_log_prob_by_the_length(found):
    np.testing.assert_array_equal(found.lengths, np.count_nonzero(found.ids, axis=2))
    lengths = tf.cast(found.lengths, tf.float32)
    np.testing.assert_allclose(found.scores, found.log_probs / lengths**PENALTY, rtol=1e-5)


def test_the_best_come_first_and_none_comes_twice(found):
    assert np.all(found.finished)
    assert np.all(np.diff(found.scores, axis=1) <= 0)
    for ids in found.ids.numpy():
        assert len({tuple(row) for row in ids}) == WIDTH


def test_batch_mates_and_padding_change_nothing(trained, found):
    padded = np.pad(SOURCE_IDS[::-1], [(0, 0), (0, 2)])
    again = trained.search(padded, SEARCH)
    np.testing.assert_array_equal(again.ids[::-1], found.ids)
    np.testing.assert_allclose(again.log_probs[::-1], found.log_probs, atol=1e-5)
    for row in (0, 7):
        alone = trained.search(SOURCE_IDS[row : row + 1, : np.sum(SOURCE_IDS[row] > 0)], SEARCH)
        np.testing.assert_array_equal(
            alone.ids[0], found.ids[row, :, : alone.ids.shape[2]], err_msg=str(row)
        )
        np.testing.assert_allclose(alone.log_probs[0], found.log_probs[row], atol=1e-5)


@pytest.mark.sampled(1)
def test_nothing_is_better_than_what_an_exact_search_is_certain_of(trained, found):
    best = trained.search(SOURCE_IDS, ExactSearch(length_penalty=PENALTY, max_length=7))
    assert best.certified is not None
    assert np.all(best.certified)
    assert np.all(best.scores[:, 0] >= found.scores[:, 0] - 1e-5)
