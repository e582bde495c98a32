from __future__ import annotations

import json
import math
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import oracle
from helpers.table_model import TableModel, table_step

from keras_s2s.cli.setting_table import SETTINGS
from keras_s2s.search import (
    BeamSearch,
    DiverseBeamSearch,
    ExactSearch,
    ExhaustiveSearch,
    GreedySearch,
    Sampling,
)
from keras_s2s.search.task import length_divisor
from keras_s2s.search_limits import MAX_LENGTH, MAX_LENGTH_PENALTY
from keras_s2s.special_ids import EOS_ID

SEARCHES = [
    GreedySearch(max_length=7, min_length=2, length_penalty=1, length_penalty_formula="gnmt"),
    BeamSearch(beam_width=3, num_hypotheses=2, stopping="bound", max_length_ratio=2),
    BeamSearch(suppress_ids=(1, 4), no_repeat_ngram_size=2, lexicon=((4, 5), (6,))),
]


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: type(search).__name__)
def test_a_search_is_restored_from_its_config(search):
    stored = json.dumps(keras.saving.serialize_keras_object(search))
    copy = keras.saving.deserialize_keras_object(json.loads(stored))
    assert copy == search
    assert hash(copy) == hash(search)
    assert type(search).from_config(search.get_config()) == search


def test_numpy_settings_are_stored_as_python_numbers():
    settings: dict[str, Any] = {"beam_width": np.int64(3), "length_penalty": np.float32(0.5)}
    config = BeamSearch(**settings).get_config()
    assert type(config["beam_width"]) is int
    assert type(config["length_penalty"]) is float


@pytest.mark.parametrize(
    "search",
    [
        GreedySearch(max_length=3),
        BeamSearch(beam_width=3, num_hypotheses=2, max_length=3),
        Sampling(num_hypotheses=4, max_length=3),
        DiverseBeamSearch(beam_width=4, num_groups=2, num_hypotheses=3, max_length=3),
        ExactSearch(num_hypotheses=2, beam_width=3, nodes_per_step=8, max_length=3),
    ],
    ids=lambda search: type(search).__name__,
)
def test_a_search_knows_how_many_hypotheses_it_extends_and_returns(search):
    table, state = table_step(tf.constant(TableModel.random(0, batch_size=2).logits))
    counts = []

    def step(token_ids, state):
        counts.append(token_ids.shape[0])
        return table(token_ids, state)

    found = search(step, state, 2, 7)
    assert found.ids.shape[:2] == (2, search.num_hypotheses)
    assert max(counts) == 2 * search.hypotheses_per_step


def test_a_search_is_immutable():
    with pytest.raises(AttributeError, match="cannot assign to field"):
        BeamSearch().beam_width = 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": 0}, "`max_length` must be a positive integer. Received: max_length=0"),
        ({"max_length": None}, "`max_length` must not be None unless `max_length_ratio` is given"),
        ({"max_length_ratio": -1}, "`max_length_ratio` must be a number above 0 and at most 1000"),
        ({"max_length_ratio": 0}, "`max_length_ratio` must be a number above 0 and"),
        ({"min_length": 0}, "`min_length` must be a positive integer"),
        ({"min_length": 9, "max_length": 8}, "`min_length` must not exceed `max_length`. Rec"),
        ({"length_penalty": -0.1}, "`length_penalty` must be a number between 0 and 5"),
        ({"length_penalty": float("nan")}, "`length_penalty` must be a number between 0 and 5"),
        ({"length_penalty_formula": "log"}, "`length_penalty_formula` must be one of 'power', 'g"),
    ],
)
@pytest.mark.parametrize("kind", [GreedySearch, BeamSearch])
def test_bad_settings_are_rejected(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"step": 3}, TypeError, "`step` must be callable. Received: step=3"),
        ({"batch_size": -1}, ValueError, "`batch_size` must be an integer of at least 0"),
        ({"batch_size": 2.5}, ValueError, "`batch_size` must be an integer of at least 0"),
        ({"batch_size": None}, ValueError, "`batch_size` must be an integer of at least 0"),
        ({"state": {1}}, ValueError, r"`state` must be a nest of tensors. Received: \{1\}"),
        ({"prefix": [[4], [4, 5]]}, ValueError, "Every row of `prefix` must have the same len"),
        ({"vocabulary_size": 3}, ValueError, "`vocabulary_size` must be an integer of at least 4"),
        (
            {"batch_size": 3},
            ValueError,
            "Every tensor in `state` must have one row for each row of",
        ),
        ({"state": tf.constant(0)}, ValueError, "a first dimension of 2. Received: int32 of shape"),
        ({"max_length": [1, 2, 3]}, ValueError, r"`max_length` must be one number, or one for eac"),
        ({"max_length": [1, 0]}, ValueError, r"`max_length` must be at least 1 in every row. Rec"),
        ({"max_length": [1.0, 2.0]}, TypeError, "`max_length` must contain integers"),
        ({"min_length": [-1, 2]}, ValueError, "`min_length` must be at least 0 in every row"),
        (
            {"min_length": [4, 101]},
            ValueError,
            r"^`min_length` must not exceed `max_length` in any row\. Received: min_length=101 "
            "and max_length=100 in row 1$",
        ),
        (
            {"min_length": [4, 9], "max_length": [4, 8]},
            ValueError,
            "`min_length` must not .* Received: min_length=9 and max_length=8 in row 1$",
        ),
        ({"length_penalty": ["a", "b"]}, TypeError, "`length_penalty` must contain numbers"),
        ({"length_penalty": [0.5, np.nan]}, ValueError, "`length_penalty` must be at least 0 in"),
        ({"length_penalty": [[0.5], [0.1]]}, ValueError, "`length_penalty` must be one number, or"),
    ],
)
@pytest.mark.parametrize("search", [GreedySearch(), BeamSearch(beam_width=2)])
def test_bad_arguments_are_rejected(search, arguments, error, message):
    step, state = table_step(tf.zeros([2, 3, 6]))
    given = {"step": step, "state": state, "batch_size": 2, "vocabulary_size": 6, **arguments}
    with pytest.raises(error, match=message):
        search(**given)


def test_a_batch_size_that_is_not_a_scalar_is_rejected():
    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def run(batch_size):
        return GreedySearch()(lambda ids, state: (ids, state), (), batch_size, 6)

    with pytest.raises(ValueError, match="`batch_size` must be an integer or a scalar integer"):
        run(tf.constant([1]))


def test_max_length_ratio_requires_source_lengths():
    step, state = table_step(tf.zeros([2, 3, 6]))
    with pytest.raises(ValueError, match="`source_lengths` must be given to a search with `max_l"):
        GreedySearch(max_length_ratio=2.0)(step, state, 2, 6)


def test_the_limits_of_a_row_override_those_of_the_search():
    model = TableModel.random(0, batch_size=2)
    model.logits[..., EOS_ID] = -50.0
    found = model.search(
        BeamSearch(beam_width=2, max_length=4, max_length_ratio=1.0),
        source_lengths=np.array([2, 2], np.int32),
        max_length=np.array([6, 3], np.int32),
    )
    assert found.lengths.tolist() == [[6], [3]]
    model.logits[..., EOS_ID] = 50.0
    found = model.search(
        GreedySearch(max_length=5, min_length=3), min_length=np.array([0, 5], np.int32)
    )
    assert found.lengths.tolist() == [[1], [5]]


def test_invalid_row_options_in_a_graph_are_clipped():
    found = TableModel(np.zeros((2, 3, 6))).search(GreedySearch(), max_length=np.array([-4, 2]))
    assert found.lengths.tolist() == [[1], [2]]
    penalty = np.array([np.nan, -1.0], np.float32)
    found = TableModel(np.zeros((2, 3, 6))).search(GreedySearch(), length_penalty=penalty)
    np.testing.assert_array_equal(found.scores, found.log_probs)  # as of a penalty of 0
    penalty = np.array([9.0, 5.0], np.float32)
    found = TableModel.random(1, 2).search(GreedySearch(max_length=4), length_penalty=penalty)
    assert (found.lengths > 1).all()
    np.testing.assert_allclose(found.scores, found.log_probs / found.lengths**5.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            lambda ids, state: ids,
            r"`step` must return a tuple \(logits, state\) or .* Received: an object of type ",
        ),
        (lambda ids, state: (ids,), r"`step` must return a tuple .* Received: a tuple of 1"),
        (lambda ids, state: (ids, state), r"`step` must return float logits of shape \(n, 6\)"),
        (lambda ids, state: (tf.zeros([2, 7]), state), r"Received: float32 of shape \(2, 7\)"),
        (lambda ids, state: (tf.zeros([1, 6]), state), r"shape \(1, 6\) for n=2"),
        (lambda ids, state: (tf.zeros([4, 6]), state), r"shape \(4, 6\) for n=2"),
        (
            lambda ids, state: (tf.zeros([2, 6]), ()),
            "`step` must return a state with the same structure",
        ),
    ],
)
def test_a_step_with_invalid_outputs_is_rejected(step, message):
    with pytest.raises(ValueError, match=message):
        GreedySearch()(step, tf.zeros([2, 1]), 2, 6)


@pytest.mark.parametrize(
    "kind", [GreedySearch, BeamSearch, ExactSearch, ExhaustiveSearch, Sampling]
)
def test_a_state_that_grows_in_a_graph_is_rejected(kind):
    @tf.function
    def run():
        def step(token_ids, state):
            return tf.zeros([tf.size(token_ids), 6]), tf.concat([state, state[:, :1]], 1)

        return kind(max_length=3)(step, tf.zeros([2, 1]), 2, 6)

    with pytest.raises(
        ValueError, match=r"same shapes as its input state. Received: \(.*, 2\) ins"
    ):
        run()


@pytest.mark.parametrize("search", [GreedySearch(max_length=3), BeamSearch(max_length=3)])
def test_the_state_may_be_none(search):
    logits = tf.constant([[0.0, 0.0, 0.0, 1.0, 2.0, 3.0]])

    def step(token_ids, state):
        assert state is None or state == ()
        return tf.repeat(logits, tf.size(token_ids), axis=0), None

    found = search(step, None, 2, 6)
    expected = search(lambda ids, state: (step(ids, state)[0], state), (), 2, 6)
    tf.nest.map_structure(np.testing.assert_array_equal, found, expected)
    assert found.ids[0, 0, 0] == 5


def test_the_command_line_and_python_have_the_same_defaults():
    defaults = {name: setting.default for name, setting in SETTINGS.items()}
    search = BeamSearch()
    for name in ("beam_width", "length_penalty", "stopping"):
        assert defaults[name] == getattr(search, name)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (BeamSearch, {"max_length": 2**63}, "`max_length` must be at most 1000000. Received: max_"),
        (
            BeamSearch,
            {"max_length_ratio": 1e4},
            "`max_length_ratio` must be a number above 0 and at",
        ),
        (BeamSearch, {"max_length": None, "max_length_ratio": 1, "min_length": 10**7}, "`min_le"),
        (BeamSearch, {"length_penalty": 50}, "`length_penalty` must be a number between 0 and 5. "),
        (BeamSearch, {"beam_width": 2**31}, "`beam_width` must be at most 10000. Received: beam_w"),
        (BeamSearch, {"coverage_penalty": 1e9}, "`coverage_penalty` must be a number between 0 "),
        (BeamSearch, {"no_repeat_ngram_size": 101}, "`no_repeat_ngram_size` must be at most 100"),
        (DiverseBeamSearch, {"diversity_penalty": 1e9}, "`diversity_penalty` must be a number b"),
        (Sampling, {"num_hypotheses": 2**31}, "`num_hypotheses` must be at most 1000000"),
        (Sampling, {"temperature": 1e-45}, "`temperature` must be a number between 1e-06 and 1,00"),
        (ExactSearch, {"max_nodes": 2**31}, "`max_nodes` must be at most 2147483647"),
        (ExactSearch, {"max_bytes": 0}, "`max_bytes` must be a positive integer"),
        (ExhaustiveSearch, {"num_hypotheses": 10**5}, "`num_hypotheses` must be at most 10000"),
    ],
)
def test_settings_above_their_maximum_are_rejected(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 2**31}, "`max_length` must be at most 1000000 in every row. Received"),
        ({"max_length": [1, 2**40]}, "`max_length` must be at most 1000000 in every row"),
        ({"length_penalty": 1e9}, "`length_penalty` must be at most 5 in every row"),
        ({"min_length": 2**40}, "`min_length` must be at most"),
    ],
)
def test_row_options_above_their_maximum_are_rejected(options, message):
    step, state = table_step(tf.zeros([2, 3, 6]))
    with pytest.raises(ValueError, match=message):
        GreedySearch()(step, state, 2, 6, **options)


def test_scores_remain_distinct_with_the_largest_length_penalty():
    """At the limits of both, scores are still normal numbers of float32."""
    divisor = length_divisor(np.array(MAX_LENGTH), np.float32(MAX_LENGTH_PENALTY), "power")
    scores = np.float32([-1e-7, -2e-7, -1.0]) / divisor.numpy()
    assert (np.abs(scores) >= np.finfo(np.float32).tiny).all()
    assert len(set(scores.tolist())) == 3


def test_adding_a_constant_to_the_logits_does_not_change_the_scores():
    """[0, 0, 0, 0, .5, 1] and the like, with and without a rule."""
    logits = np.array([0.0, 0.0, 0.0, 0.0, 0.5, 1.0])
    exact = oracle.log_softmax(logits)
    # Exactly representable with each offset, so that only the normalization can round.
    for offset in (0.0, 2.0**10, 2.0**17, -(2.0**17)):
        model = TableModel((logits + offset).reshape(1, 1, 6))
        for search, best in (
            (GreedySearch(max_length=1), 5),
            (BeamSearch(beam_width=2, max_length=1, no_repeat_ngram_size=2), 5),
            (BeamSearch(beam_width=2, max_length=1), 5),
            (Sampling(max_length=1, top_k=1), 5),
            (ExactSearch(max_length=1), EOS_ID),  # the only output that ends
        ):
            found = model.search(search)
            assert found.ids[0, 0, 0] == best
            np.testing.assert_allclose(found.log_probs[0, 0], exact[best], rtol=2e-7)
            np.testing.assert_array_equal(found.scores[0, 0], found.log_probs[0, 0])


@pytest.mark.parametrize(
    ("row", "log_prob"),
    [([-1e30] * 4 + [1e30, 1e30], math.log(0.5)), ([-2e9] + [-1e9] * 5, math.log(0.2))],
)
@pytest.mark.parametrize("rules", [{}, {"no_repeat_ngram_size": 2}])
def test_huge_logits_are_normalized(row, log_prob, rules):
    found = TableModel(np.array(row).reshape(1, 1, 6)).search(BeamSearch(max_length=1, **rules))
    assert found.log_probs[0, 0] == pytest.approx(log_prob, rel=1e-6)
