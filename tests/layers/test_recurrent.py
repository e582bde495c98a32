"""Padded or packed, an LSTM is `keras.layers.LSTM` and a GRU is `keras.layers.GRU`."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.layers import GRUState, LSTMState, MaskedGRU, MaskedLSTM, recurrence
from keras_s2s.layers.packing import make_packing, pack, unpack

UNITS, INPUT_UNITS, LENGTH = 3, 2, 4

# 1 at real tokens
MASKS = {
    "full": [[1, 1, 1, 1], [1, 1, 1, 1]],
    "ragged, one row empty": [[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]],
    "padding inside and in front": [[1, 0, 1, 0], [0, 0, 1, 1], [0, 1, 0, 0]],
    "nothing but padding": [[0, 0, 0, 0], [0, 0, 0, 0]],
    "batch of one": [[1, 1, 1, 0]],
}


every_kind = pytest.mark.parametrize("kind", [MaskedLSTM, MaskedGRU])


def make_pair(kind, *, go_backwards: bool):
    """Our layer and Keras's with the same weights."""
    ours = kind(UNITS, go_backwards=go_backwards)
    theirs = getattr(keras.layers, kind.__name__)(
        UNITS,
        go_backwards=go_backwards,
        return_sequences=True,
        return_state=True,
        zero_output_for_mask=True,
    )
    ours.build((None, None, INPUT_UNITS))
    theirs.build((None, None, INPUT_UNITS))
    random = np.random.default_rng(0)
    theirs.set_weights([random.normal(size=w.shape) for w in theirs.get_weights()])
    ours.set_weights(theirs.get_weights())
    return ours, theirs


def make_batch(kind, mask):
    """Inputs, mask, initial state, and weights that reduce the outputs to one number."""
    state_type = kind.state_type
    mask = np.array(mask, bool)
    random = np.random.default_rng(1)
    rows = len(mask)
    inputs = random.normal(size=(*mask.shape, INPUT_UNITS)).astype(np.float32)
    parts = [random.normal(size=(rows, UNITS)) for _ in state_type._fields]
    upstream = [
        random.normal(size=shape).astype(np.float32)
        for shape in ((*mask.shape, UNITS), *[(rows, UNITS)] * len(parts))
    ]
    state = state_type(*[tf.constant(part, tf.float32) for part in parts])
    return tf.constant(inputs), tf.constant(mask), state, upstream


def with_gradients(layer, run, inputs, state, upstream):
    """Return the result of `run` and its gradients."""
    variables = [variable.value for variable in layer.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch([inputs, *state])
        results = run(inputs, state)
        total = tf.add_n(
            [tf.reduce_sum(result * part) for result, part in zip(results, upstream, strict=True)]
        )
    gradients = tape.gradient(
        total, [inputs, *state, *variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return [*results, *map(tf.convert_to_tensor, gradients)]


def run_ours(layer, mask, *, packed, recurrent_mask=None):
    def run(inputs, state):
        if not packed:
            outputs, last = layer(inputs, mask=mask, state=state, recurrent_mask=recurrent_mask)
            return outputs, *last
        packing = make_packing(mask)
        rows, last = layer(
            pack(inputs, packing), state=state, packing=packing, recurrent_mask=recurrent_mask
        )
        return unpack(rows, packing), *last

    return run


def run_keras(layer, mask):
    def run(inputs, state):
        outputs, *last = layer(inputs, mask=mask, initial_state=keras_state(state))
        return outputs[:, ::-1] if layer.go_backwards else outputs, *last

    return run


def keras_state(state):
    """Return a state as Keras takes it: that of a GRU without a list."""
    return list(state) if len(state) > 1 else state.hidden


def assert_close(ours, theirs):
    for number, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        np.testing.assert_allclose(our, their, atol=1e-5, err_msg=f"number {number}")


@every_kind
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("go_backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.sampled(10)
def test_outputs_states_and_gradients_are_those_of_keras(kind, mask, go_backwards, packed):
    ours, theirs = make_pair(kind, go_backwards=go_backwards)
    inputs, mask, state, upstream = make_batch(kind, mask)
    assert_close(
        with_gradients(ours, run_ours(ours, mask, packed=packed), inputs, state, upstream),
        with_gradients(theirs, run_keras(theirs, mask), inputs, state, upstream),
    )


@every_kind
@pytest.mark.parametrize("go_backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.sampled(2)
def test_one_packed_graph_serves_every_batch_size_and_length(kind, go_backwards):
    ours, theirs = make_pair(kind, go_backwards=go_backwards)

    states = len(kind.state_type._fields)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, INPUT_UNITS]),
            tf.TensorSpec([None, None], tf.bool),
            kind.state_type(*[tf.TensorSpec([None, UNITS])] * states),
            [tf.TensorSpec(None)] * (1 + states),
        ]
    )
    def in_graph(inputs, mask, state, upstream):
        return with_gradients(ours, run_ours(ours, mask, packed=True), inputs, state, upstream)

    for rows in (MASKS["ragged, one row empty"], [[1, 1]], [[0]]):
        inputs, mask, state, upstream = make_batch(kind, rows)
        assert_close(
            in_graph(inputs, mask, state, upstream),
            with_gradients(theirs, run_keras(theirs, mask), inputs, state, upstream),
        )


@every_kind
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_without_a_state_it_begins_with_zeros(kind, packed):
    ours, _ = make_pair(kind, go_backwards=False)
    inputs, mask, _, _ = make_batch(kind, MASKS["ragged, one row empty"])
    zeros = ours.zero_state(len(mask), tf.float32)
    if packed:
        packing = make_packing(mask)
        rows = pack(inputs, packing)
        got = ours(rows, packing=packing)
        expected = ours(rows, packing=packing, state=zeros)
    else:
        got, expected = ours(inputs, mask=mask), ours(inputs, mask=mask, state=zeros)
    tf.nest.map_structure(np.testing.assert_array_equal, got, expected)


@every_kind
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_a_batch_of_no_rows_gives_no_rows(kind, packed):
    ours, _ = make_pair(kind, go_backwards=False)
    mask = tf.zeros([0, LENGTH], tf.bool)
    inputs = tf.zeros([0, LENGTH, INPUT_UNITS])
    state = ours.zero_state(0, tf.float32)
    outputs, *last = run_ours(ours, mask, packed=packed)(inputs, state)
    assert outputs.shape == (0, LENGTH, UNITS)
    assert all(part.shape == (0, UNITS) for part in last)


@every_kind
def test_steps_match_a_call(kind):
    ours, _ = make_pair(kind, go_backwards=False)
    inputs, mask, state, _ = make_batch(kind, MASKS["full"])
    outputs, last = ours(inputs, mask=mask, state=state)
    for time in range(LENGTH):
        state = ours.step(inputs[:, time], state)
        np.testing.assert_allclose(state.hidden, outputs[:, time], atol=1e-6)
    tf.nest.map_structure(
        lambda ours, its: np.testing.assert_allclose(ours, its, 0, 1e-6), state, last
    )


@every_kind
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_at_the_padding_the_output_is_zero_and_the_state_stays(kind, packed):
    ours, _ = make_pair(kind, go_backwards=False)
    inputs, mask, state, _ = make_batch(kind, MASKS["ragged, one row empty"])
    outputs, *last = run_ours(ours, mask, packed=packed)(inputs, state)
    np.testing.assert_array_equal(outputs[~mask], 0.0)
    for after, before in zip(last, state, strict=True):
        np.testing.assert_array_equal(after[1], before[1])  # the empty row
    np.testing.assert_array_equal(last[0][0], outputs[0, 1])  # two tokens


@every_kind
@pytest.mark.parametrize("units", [0, -1, 2.5, "3", True, None])
def test_units_must_be_a_positive_integer(kind, units):
    with pytest.raises(ValueError, match=r"`units` must be a positive integer\. Received: units="):
        kind(units)


@every_kind
def test_without_a_mask_all_positions_are_real(kind):
    ours, _ = make_pair(kind, go_backwards=True)
    inputs, mask, _, _ = make_batch(kind, MASKS["full"])
    tf.nest.map_structure(np.testing.assert_array_equal, ours(inputs), ours(inputs, mask=mask))


@every_kind
def test_the_mask_of_an_embedding_is_taken(kind):
    ours, _ = make_pair(kind, go_backwards=False)
    ids = tf.constant([[1, 2, 0], [2, 0, 0]])
    values = keras.layers.Embedding(3, INPUT_UNITS, mask_zero=True)(ids)
    outputs, last = ours(values)
    expected, expected_last = ours(tf.identity(values), mask=ids != 0)
    np.testing.assert_array_equal(outputs, expected)
    tf.nest.map_structure(np.testing.assert_array_equal, last, expected_last)
    np.testing.assert_array_equal(outputs._keras_mask, ids != 0)


def by_hand(layer, projected, state, dropped):
    """One step by the text of the docstrings, what the products read of h being `dropped`."""
    if isinstance(layer, MaskedLSTM):
        i, f, g, o = np.split(projected + dropped @ layer.recurrent_kernel.numpy(), 4, axis=1)
        cell = sigmoid(f) * state.cell + sigmoid(i) * np.tanh(g)
        return LSTMState(sigmoid(o) * np.tanh(cell), cell)
    recurrent = dropped @ layer.recurrent_kernel.numpy() + layer.bias.numpy()[1]
    (z, r, g), (h_z, h_r, h_g) = (np.split(part, 3, axis=1) for part in (projected, recurrent))
    z, g = sigmoid(z + h_z), np.tanh(g + sigmoid(r + h_r) * h_g)
    return GRUState(z * state.hidden + (1 - z) * g)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@every_kind
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_a_recurrent_mask_is_applied_to_the_state_at_every_step(kind, packed):
    ours, _ = make_pair(kind, go_backwards=False)
    inputs, mask, state, _ = make_batch(kind, MASKS["full"])
    dropped = np.array([[0.0, 2.0, 1.0], [2.0, 0.0, 0.0]], np.float32)
    run = run_ours(ours, mask, packed=packed, recurrent_mask=tf.constant(dropped))
    outputs, *last = run(inputs, state)
    bias = ours.bias.numpy() if kind is MaskedLSTM else ours.bias.numpy()[0]
    for time in range(LENGTH):
        projected = inputs[:, time].numpy() @ ours.kernel.numpy() + bias
        state = by_hand(ours, projected, state, dropped * np.asarray(state.hidden))
        np.testing.assert_allclose(outputs[:, time], state.hidden, atol=1e-5)
    np.testing.assert_allclose(last, list(state), atol=1e-5)
    inputs, mask, state, _ = make_batch(kind, MASKS["full"])
    after = ours.step(inputs[:, 0], state, tf.constant(dropped))
    np.testing.assert_allclose(after.hidden, outputs[:, 0], atol=1e-6)


@every_kind
def test_with_a_recurrent_mask_packed_gradients_are_the_padded_ones(kind):
    ours, _ = make_pair(kind, go_backwards=True)
    inputs, mask, state, upstream = make_batch(kind, MASKS["ragged, one row empty"])
    dropped = tf.constant(2.0 * np.random.default_rng(2).integers(0, 2, (4, UNITS)), tf.float32)
    packed, padded = (
        with_gradients(
            ours,
            run_ours(ours, mask, packed=packed, recurrent_mask=dropped),
            inputs,
            state,
            upstream,
        )
        for packed in (True, False)
    )
    assert_close(packed, padded)


def test_tracing_for_litert_inside_itself_stays_on_until_the_end():
    def update():
        function = tf.function(lambda values: recurrence.write_step(values, 0, values[0]))
        graph = function.get_concrete_function(tf.TensorSpec([2, 1, 1])).graph
        return "XlaDynamicUpdateSlice" in {operation.type for operation in graph.get_operations()}

    with recurrence.for_litert():
        with recurrence.for_litert():
            assert update()
        assert update()
    assert not update()
