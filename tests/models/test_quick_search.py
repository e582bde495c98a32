"""Searches compiled by XLA or in bfloat16 give correct answers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers.small import KINDS, SOURCE_IDS, make_model

from keras_s2s.models import Ensemble, searchable
from keras_s2s.search import BeamSearch, ExactSearch, Sampling

SEARCH = BeamSearch(beam_width=3, num_hypotheses=3, max_length=4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_by_xla_it_gives_the_same(kind):
    model = make_model(kind)
    wanted = {"return_attention": model.has_attention}
    expected = model.search(SOURCE_IDS, SEARCH, **wanted)
    found = model.search(SOURCE_IDS, SEARCH, jit_compile=True, **wanted)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.finished, expected.finished)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    if model.has_attention:
        np.testing.assert_allclose(found.attention, expected.attention, atol=1e-5)


@pytest.mark.slow
def test_compiled_by_xla_it_draws_the_same():
    model, search = make_model("luong"), Sampling(max_length=4, num_hypotheses=2)
    expected = model.search(SOURCE_IDS, search, seed=3)
    found = model.search(SOURCE_IDS, search, seed=3, jit_compile=True)
    np.testing.assert_array_equal(found.ids, expected.ids)


def test_xla_is_refused_where_it_cannot_run():
    model = make_model("luong")
    with pytest.raises(ValueError, match="must be False for an `ExactSearch`"):
        model.search(SOURCE_IDS, ExactSearch(max_length=3), jit_compile=True)

    @tf.function(autograph=False)
    def serve(source_ids):
        return model.search(source_ids, SEARCH, jit_compile=True)

    with pytest.raises(ValueError, match="`jit_compile` must be False inside a graph"):
        serve(SOURCE_IDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.sampled(1)
def test_in_bfloat16_log_probs_come_close(kind):
    model = make_model(kind)
    members = Ensemble([model])
    found = model.search(SOURCE_IDS, SEARCH, weights_dtype="bfloat16")
    exact = [model.log_prob(SOURCE_IDS, found.ids[:, place]) for place in range(3)]
    # bfloat16 has 8 bits, and there are up to 4 tokens
    np.testing.assert_allclose(found.log_probs, np.stack(exact, axis=1), atol=0.1)
    assert not np.allclose(found.log_probs, np.stack(exact, axis=1), atol=1e-5)
    together = members.search(SOURCE_IDS, SEARCH, weights_dtype="bfloat16")
    np.testing.assert_array_equal(together.ids, found.ids)


def test_other_precisions_are_refused():
    with pytest.raises(ValueError, match=r"`weights_dtype` must be .*Received: .*'float64'"):
        make_model("luong").search(SOURCE_IDS, SEARCH, weights_dtype="float64")


def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch):
    model = make_model("luong")
    for has_it, dtype in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(searchable, "has_bfloat16", lambda has_it=has_it: has_it)
        expected = model.search(SOURCE_IDS, SEARCH, weights_dtype=dtype)
        found = model.search(SOURCE_IDS, SEARCH, weights_dtype="auto")
        np.testing.assert_array_equal(found.log_probs, expected.log_probs)


def test_many_rows_give_what_few_rows_give(monkeypatch):
    model = make_model("luong")
    expected = model.search(SOURCE_IDS, SEARCH)
    monkeypatch.setattr(searchable, "MANY_ROWS", range(1, 100))
    found = model.search(SOURCE_IDS, SEARCH)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
