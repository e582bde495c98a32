from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import oracle, textbook
from helpers.table_model import (
    TableModel,
    assert_same_outputs,
    assert_same_results,
    in_numpy,
    outputs,
    table_step,
)

from keras_s2s.search import BeamSearch, GreedySearch

STOPPING = ("finished", "bound", "length")


def test_width_two_finds_the_textbook_output_that_greedy_search_misses():
    found = textbook.greedy_is_not_best().search(BeamSearch(beam_width=2, max_length=4))
    a, b, c = textbook.A, textbook.B, textbook.C
    assert found.ids.tolist() == [[[a, c, b, oracle.EOS]]]
    np.testing.assert_allclose(np.exp(found.log_probs), [[0.054]], rtol=1e-5)
    np.testing.assert_allclose(found.scores, [[np.log(0.054) / 4**0.75]], rtol=1e-5)
    assert found.finished.tolist() == [[True]]


@pytest.mark.parametrize(
    ("stopping", "tokens", "probability"),
    [("finished", "A", 0.16), ("bound", "AB", 0.64), ("length", "AB", 0.64)],
)
def test_k_poor_hypotheses_stop_a_row_only_with_stopping_finished(stopping, tokens, probability):
    """The case of docs/explanation/search.md."""
    search = BeamSearch(beam_width=2, max_length=4, stopping=stopping)
    found = textbook.poor_ones_finish_first().search(search)
    expected = [getattr(textbook, token) for token in tokens] + [oracle.EOS]
    assert found.ids[0, 0, : len(expected)].tolist() == expected
    assert np.exp(found.log_probs[0, 0]) == pytest.approx(probability, rel=1e-5)


@pytest.mark.parametrize(
    ("length", "expected"), [(1, ["A", "C"]), (2, ["AB", "CE"]), (3, ["ABD", "CED"])]
)
def test_the_textbook_candidates_of_each_step_are_kept(length, expected):
    search = BeamSearch(beam_width=2, num_hypotheses=2, max_length=length)
    found = textbook.five_tokens().search(search)
    assert ["".join("ABCDE"[id_ - 4] for id_ in row) for row in found.ids[0]] == expected
    assert not found.finished.any()


@pytest.mark.parametrize("stopping", STOPPING)
@pytest.mark.parametrize("beam_width", [1, 2, 3, 5])
@pytest.mark.parametrize("vocabulary_size", [4, 5, 9])
@pytest.mark.sampled(6)
def test_beam_search_equals_the_oracle(beam_width, stopping, vocabulary_size):
    model = TableModel.random(beam_width, batch_size=20, vocabulary_size=vocabulary_size)
    search = BeamSearch(
        beam_width=beam_width, num_hypotheses=beam_width, stopping=stopping, max_length=6
    )
    found = model.search(search)
    for row in range(model.batch_size):
        expected = oracle.beam_search(
            model.row(row), oracle.Rules(6), beam_width, beam_width, stopping
        )
        assert_same_outputs(outputs(found, row), expected)


@pytest.mark.parametrize("formula", ["power", "gnmt"])
def test_a_beam_wider_than_all_prefixes_finds_every_output_in_order(formula):
    model = TableModel.random(0, batch_size=5, vocabulary_size=5)  # 3 + 3**2 + ... prefixes
    search = BeamSearch(
        beam_width=32,
        num_hypotheses=32,
        stopping="length",
        max_length=4,
        length_penalty_formula=formula,
    )
    found = model.search(search)
    for row in range(model.batch_size):
        expected = oracle.all_outputs(model.row(row), oracle.Rules(4, formula=formula))
        finished = [output for output in outputs(found, row) if output.finished]
        assert len(expected) == 1 + 2 + 4 + 8
        assert_same_outputs(finished, expected)


def test_slots_without_an_output_are_empty():
    found = TableModel.random(0, 1, vocabulary_size=4).search(
        BeamSearch(beam_width=5, num_hypotheses=5, max_length=2)
    )
    # Only unk and eos may be emitted: eos; unk eos; and unfinished: unk unk.
    assert found.lengths.tolist()[0].count(0) == 2
    assert found.scores[0, 3:].tolist() == [-1e9, -1e9]
    assert found.log_probs[0, 3:].tolist() == [-1e9, -1e9]
    assert not found.ids[0, 3:].any()
    assert found.finished.tolist() == [[True, True, False, False, False]]


def test_live_hypotheses_are_returned_if_none_finishes_within_max_length():
    logits = np.random.default_rng(0).normal(size=(2, 50, 8))
    logits[:, :, oracle.EOS] = -50.0
    model = TableModel(logits)
    found = model.search(BeamSearch(beam_width=3, num_hypotheses=3, max_length=4))
    assert not found.finished.any()
    assert (found.lengths == 4).all()
    for row in range(2):
        expected = oracle.beam_search(model.row(row), oracle.Rules(4), 3, 3, "bound")
        assert_same_outputs(outputs(found, row), expected)


def test_finished_hypotheses_rank_above_unfinished_ones_with_higher_scores():
    logits = np.zeros((1, 1, 5))
    logits[..., oracle.EOS] = -3.0
    logits[..., oracle.UNK] = -4.0
    found = TableModel(logits).search(BeamSearch(beam_width=2, num_hypotheses=2, max_length=1))
    assert found.ids.tolist() == [[[oracle.EOS], [4]]]
    assert found.finished.tolist() == [[True, False]]
    assert found.scores[0, 0] < found.scores[0, 1]


@pytest.mark.parametrize("beam_width", [1, 2, 3, 5])
def test_ties_are_broken_by_the_earlier_beam_and_then_the_lower_id(beam_width):
    model = TableModel(np.zeros((1, 1, 6)))  # every token is equally probable
    search = BeamSearch(
        beam_width=beam_width, num_hypotheses=beam_width, stopping="length", max_length=3
    )
    expected = oracle.beam_search(model.row(0), oracle.Rules(3), beam_width, beam_width, "length")
    assert_same_outputs(outputs(model.search(search), 0), expected)


@pytest.mark.parametrize("stopping", STOPPING)
def test_a_row_does_not_depend_on_the_rest_of_the_batch(stopping):
    model = TableModel.random(1, batch_size=6)
    search = BeamSearch(beam_width=3, num_hypotheses=3, stopping=stopping, max_length=9)
    limits = np.array([3, 9, 1, 5, 7, 2], np.int32)
    together = model.search(search, max_length=limits)
    for row in range(6):
        alone = TableModel(model.logits[row : row + 1]).search(
            search, max_length=limits[row : row + 1]
        )
        assert_same_outputs(outputs(together, row), outputs(alone, 0))


def test_each_row_has_its_own_options():
    model = TableModel.random(2, batch_size=8)
    options = {
        "max_length": np.array([1, 2, 3, 4, 5, 6, 7, 8], np.int32),
        "min_length": np.array([1, 1, 2, 4, 0, 3, 1, 8], np.int32),
        "length_penalty": np.linspace(0, 2, 8, dtype=np.float32),
    }
    found = model.search(BeamSearch(beam_width=3, num_hypotheses=3), **options)
    for row in range(8):
        rules = oracle.Rules(*(values[row].item() for values in options.values()))
        expected = oracle.beam_search(model.row(row), rules, 3, 3, "bound")
        assert_same_outputs(outputs(found, row), expected)


def test_max_length_ratio_is_relative_to_the_source_of_each_row():
    model = TableModel.random(3, batch_size=4)
    model.logits[..., oracle.EOS] = -50.0
    lengths = np.array([1, 2, 3, 0], np.int32)
    search = BeamSearch(beam_width=2, max_length=4, max_length_ratio=1.5)
    assert model.search(search, source_lengths=lengths).lengths.tolist() == [[2], [3], [4], [1]]
    alone = BeamSearch(beam_width=2, max_length=None, max_length_ratio=1.5)
    found = model.search(alone, source_lengths=lengths)
    assert found.lengths.tolist() == [[2], [3], [5], [1]]
    assert found.ids.shape == (4, 1, 5)


@pytest.mark.parametrize("beam_width", [2, 4])
def test_stopping_at_the_bound_does_not_change_the_result(beam_width):
    # The bound stops a row only once going on could change nothing in the answer.
    model = TableModel.random(4, batch_size=50)
    early = BeamSearch(beam_width=beam_width, num_hypotheses=2, stopping="bound", max_length=8)
    late = BeamSearch(beam_width=beam_width, num_hypotheses=2, stopping="length", max_length=8)
    assert_same_results(model.search(early), model.search(late), atol=1e-6)


def test_an_impossible_token_is_never_chosen():
    logits = np.zeros((1, 1, 6))
    logits[..., oracle.UNK] = -np.inf
    logits[..., 5] = -1e9
    found = TableModel(logits).search(BeamSearch(beam_width=5, num_hypotheses=5, max_length=3))
    # Left are eos and id 4: three outputs that end, one that does not.
    assert [output.ids for output in outputs(found, 0)] == [(3,), (4, 3), (4, 4, 3), (4, 4, 4)]


def test_the_search_stops_when_no_hypothesis_can_be_extended():
    calls = []

    def step(token_ids, state):
        calls.append(len(token_ids))
        logits = tf.constant([[-1e9, -1e9, -1e9, 0.0, -1e9]])
        return tf.repeat(logits, len(token_ids), axis=0), state

    found = BeamSearch(beam_width=3, num_hypotheses=3, stopping="length")(step, (), 2, 5)
    assert calls == [6]
    assert found.lengths.numpy().tolist() == [[1, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize("stopping", STOPPING)
def test_the_loop_ends_when_the_last_row_stops(stopping):
    calls = []

    def step(token_ids, state):
        calls.append(len(token_ids))
        logits = tf.constant([[-9.0, -9.0, -9.0, 9.0, 0.0, 0.0]])
        return tf.repeat(logits, len(token_ids), axis=0), state

    search = BeamSearch(beam_width=2, stopping=stopping, max_length=10)
    search(step, (), 3, 6)
    # With "finished" the second hypothesis ends in the next step.
    assert len(calls) == {"finished": 2, "bound": 1, "length": 10}[stopping]


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_16_bit_logits_are_summed_in_float32(dtype):
    logits = tf.cast(tf.random.stateless_normal([2, 101, 7], [0, 1]), dtype)
    step, state = table_step(logits)
    found = BeamSearch(beam_width=3, num_hypotheses=3, max_length=5)(step, state, 2, 7)
    assert found.log_probs.dtype == found.scores.dtype == tf.float32
    model = TableModel(tf.cast(logits, tf.float32).numpy())
    found = in_numpy(found)
    for row in range(2):
        expected = oracle.beam_search(model.row(row), oracle.Rules(5), 3, 3, "bound")
        assert_same_outputs(outputs(found, row), expected)


@pytest.mark.slow
def test_beam_search_with_a_large_vocabulary_equals_the_oracle():
    model = TableModel(np.random.default_rng(5).normal(size=(2, 11, 50_000)))
    found = model.search(BeamSearch(beam_width=4, num_hypotheses=4, max_length=3))
    for row in range(2):
        expected = oracle.beam_search(model.row(row), oracle.Rules(3), 4, 4, "bound")
        assert_same_outputs(outputs(found, row), expected)


@pytest.mark.parametrize("search", [BeamSearch(beam_width=3, max_length=5), GreedySearch()])
def test_an_empty_batch_gives_an_empty_result(search):
    model = TableModel(np.zeros((0, 11, 6)))
    found = model.search(search, max_length=np.zeros(0, np.int32))
    assert found.ids.shape[:2] == (0, 1)
    assert found.scores.shape == (0, 1)
    assert model.search(search).ids.shape[:2] == (0, 1)


@pytest.mark.parametrize("stopping", STOPPING)
def test_eager_and_compiled_results_are_equal(stopping):
    model = TableModel.random(6, batch_size=3)
    search = BeamSearch(beam_width=3, num_hypotheses=3, stopping=stopping, max_length=5)
    step, state = table_step(tf.constant(model.logits))
    eager = search(step, state, 3, 7)
    assert_same_results(in_numpy(eager), model.search(search), atol=1e-6)


@pytest.mark.parametrize("search", [GreedySearch(max_length=5), BeamSearch(max_length=5)])
@pytest.mark.sampled(1)
def test_xla_does_not_change_the_result(search):
    model = TableModel.random(6, batch_size=3)

    @tf.function(jit_compile=True)
    def run(logits):
        step, state = table_step(logits)
        return search(step, state, 3, 7)

    assert_same_results(in_numpy(run(tf.constant(model.logits))), model.search(search), atol=1e-5)


def test_one_graph_serves_every_batch_and_length():
    traces = []

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 6]),
            tf.TensorSpec([None], tf.int32),
        ]
    )
    def run(logits, max_length):
        traces.append(1)
        search = BeamSearch(beam_width=2)
        step, state = table_step(logits)
        return search(step, state, tf.shape(logits)[0], 6, max_length=max_length)

    for batch in (0, 1, 3):
        found = run(tf.zeros([batch, 7, 6]), tf.fill([batch], batch + 2))
        assert found.ids.shape == (batch, 1, batch + 2 if batch else 1)
    assert len(traces) == 1


def test_the_state_may_be_nested_and_may_grow():
    # A Transformer's cache grows by one position at each step.
    @tf.function
    def run(width):
        def step(token_ids, state):
            cache = tf.concat([state["cache"], tf.expand_dims(token_ids, 1)], axis=1)
            logits = tf.one_hot(tf.shape(cache)[1] + 3, 8) * 9.0
            logits = tf.tile(tf.expand_dims(logits, 0), [tf.size(token_ids), 1])
            return logits, {"cache": cache, "none": ()}

        state = {"cache": tf.zeros([2, width], tf.int32), "none": ()}
        return BeamSearch(beam_width=2, max_length=4)(step, state, 2, 8)

    assert run(tf.constant(0)).ids.numpy().tolist() == [[[4, 5, 6, 7]]] * 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam_width": 0}, "`beam_width` must be a positive integer. Received: beam_width=0"),
        ({"beam_width": 2.5}, "`beam_width` must be a positive integer. Received: beam_width=2.5"),
        ({"num_hypotheses": 0}, "`num_hypotheses` must be a positive integer"),
        ({"num_hypotheses": 6}, "`num_hypotheses` must not exceed `beam_width`. Received: num_"),
        ({"stopping": "never"}, "`stopping` must be one of 'finished', 'bound', 'length'"),
    ],
)
def test_bad_settings_are_rejected(settings, message):
    with pytest.raises(ValueError, match=message):
        BeamSearch(**settings)


def test_a_step_has_few_operations():
    """For a single source, a step costs about as much as its number of operations."""
    search = BeamSearch(beam_width=5, num_hypotheses=5)

    @tf.function(input_signature=[tf.TensorSpec([72, 72])], autograph=False)
    def run(table):
        return search(lambda ids, state: (tf.gather(table, ids), state), (), 3, 72).ids

    graph = run.get_concrete_function().graph.as_graph_def()
    (loop,) = (node for node in graph.node if "While" in node.op)
    bodies = {body.signature.name: body for body in graph.library.function}
    operations = [node.op for node in bodies[loop.attr["body"].func.name].node_def]
    free = ("Const", "Identity", "NoOp")
    assert 40 < sum(operation not in free for operation in operations) <= 72
