from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import oracle
from helpers.table_model import (
    TableModel,
    assert_same_outputs,
    in_numpy,
    outputs,
    table_step,
)

from keras_s2s.search import BeamSearch, GreedySearch, ensemble_step


def search_together(models, search, average, **options):
    parts = [
        table_step(
            tf.constant(model.logits),
            None if model.attention is None else tf.constant(model.attention, tf.float32),
        )
        for model in models
    ]
    step = ensemble_step([step for step, _ in parts], 7, average=average)
    state = tuple(state for _, state in parts)
    return in_numpy(tf.function(lambda: search(step, state, 4, 7, **options))())


@pytest.mark.parametrize("average", ["probabilities", "log_probabilities"])
def test_an_ensemble_is_searched_like_a_single_model(average):
    models = [TableModel.random(seed, batch_size=4) for seed in range(3)]
    search = BeamSearch(beam_width=3, num_hypotheses=3, max_length=5)
    found = search_together(models, search, average)
    for row in range(4):

        def together(prefix, row=row):
            log_probs = [oracle.log_softmax(model.row(row)(prefix)) for model in models]
            if average == "probabilities":
                return np.log(np.mean(np.exp(log_probs), axis=0))
            return np.mean(log_probs, axis=0)

        expected = oracle.beam_search(together, oracle.Rules(5), 3, 3, "bound")
        assert_same_outputs(outputs(found, row), expected)


def test_an_ensemble_of_one_model_equals_the_model():
    model = TableModel.random(3, batch_size=4)
    found = search_together([model], GreedySearch(max_length=5), "probabilities")
    alone = model.search(GreedySearch(max_length=5))
    for row in range(4):
        assert_same_outputs(outputs(found, row), outputs(alone, row))


def test_the_attention_is_the_mean_over_members_with_attention():
    attention = np.random.default_rng(0).dirichlet(np.ones(3), (2, 4, 997))
    models = [
        TableModel(TableModel.random(seed, batch_size=4).logits, attention[seed])
        for seed in range(2)
    ]
    found = search_together(
        models, GreedySearch(max_length=4), "probabilities", return_attention=True
    )
    assert found.attention is not None
    for row in range(4):
        ids = found.ids[row, 0, : found.lengths[row, 0]].tolist()
        expected = [
            np.mean([model.looks_at(row, tuple(ids[:place])) for model in models], axis=0)
            for place in range(len(ids))
        ]
        np.testing.assert_allclose(found.attention[row, 0, : len(ids)], expected, atol=1e-6)
    models[1].attention = None
    found = search_together(
        models, GreedySearch(max_length=4), "probabilities", return_attention=True
    )
    np.testing.assert_allclose(found.attention[:, 0, 0], attention[0, :, 0], atol=1e-6)
    models[0].attention = None
    with pytest.raises(ValueError, match=r"`step` must return a tuple \(logits, state, attentio"):
        search_together(models, GreedySearch(max_length=4), "probabilities", return_attention=True)


def test_bad_arguments_are_rejected():
    with pytest.raises(TypeError, match=r"`steps` must be a list of step functions\. Received"):
        ensemble_step(lambda token_ids, state: None, 4)
    with pytest.raises(ValueError, match="`steps` must contain at least one step function"):
        ensemble_step([], 7)
    with pytest.raises(ValueError, match="`average` must be one of 'probabilities', 'log_prob"):
        ensemble_step([lambda ids, state: (ids, state)], 7, average="median")


def masked(seed: int, *forbidden: int) -> TableModel:
    model = TableModel.random(seed, batch_size=4)
    model.logits[..., list(forbidden)] = -1e9
    return model


@pytest.mark.parametrize("members", [2, 3, 4])
def test_a_token_that_one_member_forbids_has_no_geometric_mean(members):
    models = [masked(seed, 4 + seed) for seed in range(members - 1)] + [masked(9)]
    # more hypotheses than four members allow outputs
    search = BeamSearch(beam_width=6, num_hypotheses=6, max_length=4)
    found = search_together(models, search, "log_probabilities")
    for row in range(4):

        def together(prefix, row=row):
            log_probs = [oracle.log_softmax(model.row(row)(prefix)) for model in models]
            impossible = np.min(log_probs, axis=0) < -1e8
            return np.where(impossible, -1e9, np.mean(log_probs, axis=0))

        expected = oracle.beam_search(together, oracle.Rules(4), 6, 6, "bound")
        assert_same_outputs(outputs(found, row), expected)
        assert not np.isin(found.ids[row], range(4, 3 + members)).any()


def test_members_without_a_common_token_have_no_geometric_mean():
    models = [masked(0, 0, 1, 2, 4, 5, 6), masked(1, 3)]
    found = search_together(models, BeamSearch(max_length=4), "log_probabilities")
    assert np.isnan(found.scores).all()


def test_a_diverged_member_makes_the_ensemble_diverge():
    bad = TableModel.random(0, batch_size=4)
    bad.logits[1] = np.nan
    for average in ("probabilities", "log_probabilities"):
        found = search_together([bad, masked(1, 4)], BeamSearch(max_length=4), average)
        assert np.isnan(found.scores).any(axis=1).tolist() == [False, True, False, False]


def test_rows_are_selected_if_every_member_selects_them():
    class Step:
        def __init__(self, logits):
            self.logits = logits

        def __call__(self, token_ids, state):
            return self.logits, state

        def for_rows(self, rows):
            return Step(tf.gather(self.logits, rows))

    logits = tf.constant(np.random.default_rng(0).normal(size=[2, 3, 7]), tf.float32)
    step = ensemble_step([Step(logits[0]), Step(logits[1])], 7)
    state, rows = ((), ()), [2, 0]
    whole, _ = step(tf.constant([2, 2, 2]), state)
    some, _ = step.for_rows(rows)(tf.constant([2, 2]), state)
    np.testing.assert_array_equal(some, tf.gather(whole, rows))
    plain, _ = table_step(logits)
    assert not hasattr(ensemble_step([Step(logits[0]), plain], 7), "for_rows")
