"""The sum over all alignments is what enumerating them gives, and so are its gradients."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers.alignments import Alignments

from keras_s2s.layers.alignment import (
    align_step,
    align_targets,
    first_alignment,
    future_log_probs,
)
from keras_s2s.layers.monotonic_attention import (
    MonotonicAttention,
    target_alignments,
    target_log_probs,
)
from keras_s2s.layers.packing import make_packing, pack, unpack
from keras_s2s.layers.recurrence import for_litert

UNITS, MEMORY, SIZE = 3, 2, 5
# Longer than the moves that have a bias of their own.
LENGTHS = (4, 2, 11)
TARGETS = np.array([[2, 4, 3, 4], [2, 4, 0, 0], [2, 3, 4, 0]], np.int32)
random = np.random.default_rng(0)
QUERIES = random.normal(size=(3, 4, UNITS)).astype(np.float32)
STATES = random.normal(size=(3, max(LENGTHS), MEMORY)).astype(np.float32)
MASK = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, np.newaxis]
KERNEL, BIAS = random.normal(size=(UNITS, SIZE)), random.normal(size=SIZE)


def make_layer():
    layer = MonotonicAttention(UNITS)
    layer.build((None, None, UNITS), None, (None, None, MEMORY))
    random = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(random.normal(size=weight.shape))
    return layer


def emit(features, sources=None):
    kernel, bias = tf.constant(KERNEL, tf.float32), tf.constant(BIAS, tf.float32)
    return tf.nn.log_softmax(tf.tensordot(features, kernel, axes=1) + bias)


def whole(layer, *, packed=False, extra=0):
    """Log P(y_t | y_<t) of the targets, with so many more positions of padding."""
    states = np.pad(STATES, [(0, 0), (0, extra), (0, 0)], constant_values=7.0)
    attended = layer.keys(states), states, np.pad(MASK, [(0, 0), (0, extra)])
    packing = make_packing(tf.constant(TARGETS != 0)) if packed else None
    queries = tf.constant(QUERIES) if packing is None else pack(tf.constant(QUERIES), packing)
    found = target_log_probs(layer, queries, tf.constant(TARGETS), attended, packing, emit)
    return found if packing is None else unpack(found, packing)


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_log_probs_are_those_of_all_alignments(packed):
    layer = make_layer()
    found = whole(layer, packed=packed)
    for row, length in enumerate(LENGTHS):
        oracle = Alignments(layer, STATES[row, :length], KERNEL, BIAS)
        for time in range(np.count_nonzero(TARGETS[row])):
            before = TARGETS[row, 1 : time + 1].tolist()
            expected = oracle.next_log_probs(QUERIES[row, : time + 1], before)
            np.testing.assert_allclose(found[row, time], expected, atol=1e-5)


def test_steps_match_the_whole_target():
    layer = make_layer()
    keys, found = layer.keys(STATES), whole(layer)
    joint = first_alignment(tf.constant(3), tf.constant(max(LENGTHS)), SIZE)
    for time in range(4):
        queries = tf.constant(QUERIES[:, time])
        transitions = layer.transitions(tf.expand_dims(queries, 1), keys, MASK)[:, 0]
        log_probs, joint, prior = align_step(
            joint, tf.constant(TARGETS[:, time]), transitions, emit(layer.features(queries, keys))
        )
        real = TARGETS[:, time] != 0
        np.testing.assert_allclose(log_probs[real], found[:, time][real], atol=1e-6)
        np.testing.assert_allclose(tf.reduce_sum(tf.exp(prior), axis=1), 1, atol=1e-5)


def test_the_alignments_of_a_target_are_those_of_all_alignments():
    layer = make_layer()
    labels = np.array([[4, 3, 4, 3], [4, 3, 0, 0], [1, 3, 0, 0]], np.int32)
    attended = layer.keys(STATES), STATES, MASK
    found = target_alignments(layer, tf.constant(QUERIES), tf.constant(labels), attended, emit)
    for row, length in enumerate(LENGTHS):
        target = labels[row][labels[row] != 0].tolist()
        expected = np.zeros(found.shape[1:])
        oracle = Alignments(layer, STATES[row, :length], KERNEL, BIAS)
        for path, probability in oracle.paths(QUERIES[row, : len(target)], target):
            expected[range(len(target)), path] += probability
        expected /= expected.sum(axis=1, keepdims=True).max(initial=1e-300)
        np.testing.assert_allclose(found[row], expected, atol=1e-5)


def test_no_position_moves_back_and_the_first_move_starts_before_the_first_position():
    layer = make_layer()
    moves = tf.exp(layer.transitions(tf.constant(QUERIES), layer.keys(STATES), MASK)).numpy()
    for row, length in enumerate(LENGTHS):
        oracle = Alignments(layer, STATES[row, :length], KERNEL, BIAS)
        for before in range(-1, length):
            expected = oracle.move(QUERIES[row, 1], before)
            found = moves[row, 1, before + 1]
            np.testing.assert_allclose(found[:length], expected, atol=1e-6)
            assert not found[: max(before, 0)].any()
            assert not found[length:].any()


def test_padding_of_the_source_changes_nothing():
    layer = make_layer()
    np.testing.assert_allclose(whole(layer, extra=5)[0], whole(layer)[0], atol=1e-6)
    np.testing.assert_allclose(
        whole(layer, extra=5, packed=True), whole(layer, packed=True), atol=1e-6
    )


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences():
    random = np.random.default_rng(2)
    transitions = tf.nn.log_softmax(tf.constant(random.normal(size=(2, 3, 5, 4)), tf.float32))
    labels = tf.constant(random.normal(size=(2, 3, 4)), tf.float32)
    upstream = tf.constant(random.normal(size=(2, 3, 4)), tf.float32)

    def total(transitions, labels):
        return tf.reduce_sum(upstream * align_targets(transitions, labels))

    by_hand, by_differences = tf.test.compute_gradient(total, [transitions, labels], delta=0.01)
    for found, expected in zip(by_hand, by_differences, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_gradients_are_those_of_the_derivative_of_every_step():
    random = np.random.default_rng(3)
    transitions = tf.nn.log_softmax(tf.constant(random.normal(size=(2, 4, 4, 3)), tf.float32))
    labels = tf.constant(random.normal(size=(2, 4, 3)), tf.float32)
    upstream = tf.constant(random.normal(size=(2, 4, 3)), tf.float32)
    found = []
    for unrolled in (False, True):
        with tf.GradientTape() as tape:
            tape.watch([transitions, labels])
            if unrolled:
                posterior, rows = tf.constant([[0.0, -1e9, -1e9, -1e9]] * 2), []
                for time in range(4):
                    moved = tf.expand_dims(posterior, 2) + transitions[:, time]
                    rows.append(tf.reduce_logsumexp(moved, axis=1))
                    posterior = tf.nn.log_softmax(rows[-1] + labels[:, time])
                    posterior = tf.pad(posterior, [[0, 0], [1, 0]], constant_values=-1e9)
                priors = tf.stack(rows, axis=1)
            else:
                priors = align_targets(transitions, labels)
            total = tf.reduce_sum(upstream * priors)
        found.append([priors, *tape.gradient(total, [transitions, labels])])
    for by_hand, expected in zip(*found, strict=True):
        np.testing.assert_allclose(by_hand, expected, atol=1e-5)


def test_small_probabilities_are_not_rounded_away():
    # the second token can come from position 0 alone, which the first one all but excludes
    transitions = tf.math.log(tf.constant([[[[0.5, 0.5], [0.5, 0.5], [1e-30, 1.0]]] * 2]))
    labels = tf.constant([[[-200.0, 0.0], [0.0, -500.0]]])
    priors = align_targets(transitions, labels)
    np.testing.assert_allclose(priors[0, 1], [-69.0776, 0.0], atol=1e-3)


def test_a_batch_of_no_rows_is_not_an_error():
    empty = align_targets(tf.zeros([0, 3, 5, 4]), tf.zeros([0, 3, 4]))
    assert empty.shape == (0, 3, 4)


def test_the_layer_is_created_from_its_config():
    assert MonotonicAttention.from_config(MonotonicAttention(3).get_config()).units == 3


def test_units_must_be_positive():
    with pytest.raises(ValueError, match="`units` must be a positive integer"):
        MonotonicAttention(0)


@pytest.mark.parametrize("run", [align_targets, future_log_probs])
def test_alignments_in_litert_update_their_buffer_with_its_own_operation(run):
    shapes = [tf.TensorSpec([None, None, None, None]), tf.TensorSpec([None, None, None])]
    if run is future_log_probs:
        shapes.append(tf.TensorSpec([None, None, 1], tf.bool))
    with for_litert():
        graph = tf.function(run, autograph=False).get_concrete_function(*shapes).graph
    functions = graph.as_graph_def().library.function
    operations = {node.op for function in functions for node in function.node_def}
    assert "XlaDynamicUpdateSlice" in operations
    assert "TensorScatterUpdate" not in operations
