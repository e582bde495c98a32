from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers.search_litert import converted
from helpers.table_model import TableModel, assert_same_results

from keras_s2s.search import BeamSearch, GreedySearch

SEARCHES = [
    GreedySearch(max_length=6),
    GreedySearch(max_length=6, min_length=3),
    BeamSearch(beam_width=3, num_hypotheses=3, max_length=6),
    BeamSearch(beam_width=4, num_hypotheses=2, max_length=6, stopping="bound", min_length=2),
    BeamSearch(beam_width=2, max_length=6, stopping="length", length_penalty_formula="gnmt"),
]


@pytest.mark.parametrize("search", SEARCHES, ids=repr)
@pytest.mark.sampled(1)
def test_litert_matches_tensorflow_at_any_batch_size(search, tmp_path):
    run = converted(search, 7, str(tmp_path))
    for batch_size in (1, 3, 8):
        model = TableModel.random(batch_size, batch_size)
        assert_same_results(run(model.logits), model.search(search), atol=1e-5)


@pytest.mark.slow
def test_litert_accepts_row_options(tmp_path):
    search = BeamSearch(beam_width=3, num_hypotheses=3)
    run = converted(
        search,
        7,
        str(tmp_path),
        max_length=(tf.int32, 1),
        min_length=(tf.int32, 1),
        length_penalty=(tf.float32, 1),
    )
    for batch_size in (1, 4, 5):
        model = TableModel.random(batch_size, batch_size)
        options = {
            "max_length": np.arange(2, batch_size + 2, dtype=np.int32),
            "min_length": np.arange(batch_size, dtype=np.int32),
            "length_penalty": np.linspace(0, 2, batch_size, dtype=np.float32),
        }
        found = run(model.logits, **options)
        assert found.ids.shape[2] == batch_size + 1
        assert_same_results(found, model.search(search, **options), atol=1e-5)


@pytest.mark.parametrize("search", [GreedySearch(max_length=4), BeamSearch(beam_width=4)])
@pytest.mark.parametrize("vocabulary_size", [9, 2000])
@pytest.mark.sampled(1)
def test_litert_breaks_ties_like_tensorflow(search, vocabulary_size, tmp_path):
    values = np.random.default_rng(0).integers(0, 2, (2, 3, vocabulary_size))
    model = TableModel(values)
    found = converted(search, vocabulary_size, str(tmp_path))(model.logits)
    assert_same_results(found, model.search(search), atol=1e-5)
