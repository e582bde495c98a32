"""Padded or packed, the LSTM is `keras.layers.LSTM`."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.layers import LSTM, LSTMState
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


def make_pair(*, go_backwards: bool) -> tuple[LSTM, keras.layers.LSTM]:
    """Our layer and Keras's with the same weights."""
    ours = LSTM(UNITS, go_backwards=go_backwards)
    theirs = keras.layers.LSTM(
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


def make_batch(mask) -> tuple[tf.Tensor, tf.Tensor, LSTMState, list[np.ndarray]]:
    """Inputs, mask, first state, and weights that make one number of what comes out."""
    mask = np.array(mask, bool)
    random = np.random.default_rng(1)
    rows = len(mask)
    inputs = random.normal(size=(*mask.shape, INPUT_UNITS)).astype(np.float32)
    hidden, cell = random.normal(size=(2, rows, UNITS)).astype(np.float32)
    upstream = [
        random.normal(size=shape).astype(np.float32)
        for shape in ((*mask.shape, UNITS), (rows, UNITS), (rows, UNITS))
    ]
    state = LSTMState(tf.constant(hidden), tf.constant(cell))
    return tf.constant(inputs), tf.constant(mask), state, upstream


def with_gradients(layer, run, inputs, state, upstream):
    """What `run` gives, and its gradients for inputs, first state and weights."""
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


def run_ours(layer, mask, *, packed):
    def run(inputs, state):
        if not packed:
            outputs, last = layer(inputs, mask=mask, state=state)
            return outputs, *last
        packing = make_packing(mask)
        rows, last = layer(pack(inputs, packing), state=state, packing=packing)
        return unpack(rows, packing), *last

    return run


def run_keras(layer, mask):
    def run(inputs, state):
        outputs, *last = layer(inputs, mask=mask, initial_state=list(state))
        return outputs[:, ::-1] if layer.go_backwards else outputs, *last

    return run


def assert_close(ours, theirs):
    for number, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        np.testing.assert_allclose(our, their, atol=1e-5, err_msg=f"number {number}")


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("go_backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_outputs_states_and_gradients_are_those_of_keras(mask, go_backwards, packed):
    ours, theirs = make_pair(go_backwards=go_backwards)
    inputs, mask, state, upstream = make_batch(mask)
    assert_close(
        with_gradients(ours, run_ours(ours, mask, packed=packed), inputs, state, upstream),
        with_gradients(theirs, run_keras(theirs, mask), inputs, state, upstream),
    )


@pytest.mark.parametrize("go_backwards", [False, True], ids=["forwards", "backwards"])
def test_one_packed_graph_serves_every_batch_size_and_length(go_backwards):
    ours, theirs = make_pair(go_backwards=go_backwards)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, INPUT_UNITS]),
            tf.TensorSpec([None, None], tf.bool),
            LSTMState(*[tf.TensorSpec([None, UNITS])] * 2),
            [tf.TensorSpec(None)] * 3,
        ]
    )
    def in_graph(inputs, mask, state, upstream):
        return with_gradients(ours, run_ours(ours, mask, packed=True), inputs, state, upstream)

    for rows in (MASKS["ragged, one row empty"], [[1, 1]], [[0]]):
        inputs, mask, state, upstream = make_batch(rows)
        assert_close(
            in_graph(inputs, mask, state, upstream),
            with_gradients(theirs, run_keras(theirs, mask), inputs, state, upstream),
        )


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_without_a_state_it_begins_with_zeros(packed):
    ours, _ = make_pair(go_backwards=False)
    inputs, mask, _, _ = make_batch(MASKS["ragged, one row empty"])
    zeros = LSTMState(*tf.zeros([2, len(mask), UNITS]))
    if packed:
        packing = make_packing(mask)
        rows = pack(inputs, packing)
        got = ours(rows, packing=packing)
        expected = ours(rows, packing=packing, state=zeros)
    else:
        got, expected = ours(inputs, mask=mask), ours(inputs, mask=mask, state=zeros)
    tf.nest.map_structure(np.testing.assert_array_equal, got, expected)


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_a_batch_of_no_rows_gives_no_rows(packed):
    ours, _ = make_pair(go_backwards=False)
    mask = tf.zeros([0, LENGTH], tf.bool)
    inputs = tf.zeros([0, LENGTH, INPUT_UNITS])
    state = ours.zero_state(0, tf.float32)
    outputs, hidden, cell = run_ours(ours, mask, packed=packed)(inputs, state)
    assert outputs.shape == (0, LENGTH, UNITS)
    assert hidden.shape == cell.shape == (0, UNITS)


def test_steps_give_what_a_call_gives():
    ours, _ = make_pair(go_backwards=False)
    inputs, mask, state, _ = make_batch(MASKS["full"])
    outputs, last = ours(inputs, mask=mask, state=state)
    for time in range(LENGTH):
        state = ours.step(inputs[:, time], state)
        np.testing.assert_allclose(state.hidden, outputs[:, time], atol=1e-6)
    np.testing.assert_allclose(state.cell, last.cell, atol=1e-6)


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_at_the_padding_the_output_is_zero_and_the_state_stays(packed):
    ours, _ = make_pair(go_backwards=False)
    inputs, mask, state, _ = make_batch(MASKS["ragged, one row empty"])
    outputs, hidden, cell = run_ours(ours, mask, packed=packed)(inputs, state)
    np.testing.assert_array_equal(outputs[~mask], 0.0)
    np.testing.assert_array_equal(hidden[1], state.hidden[1])  # the empty row
    np.testing.assert_array_equal(cell[1], state.cell[1])
    np.testing.assert_array_equal(hidden[0], outputs[0, 1])  # two tokens


def test_a_new_layer_remembers():
    layer = LSTM(2)
    layer.build((None, None, 3))
    np.testing.assert_array_equal(layer.bias, [0, 0, 1, 1, 0, 0, 0, 0])
    recurrent = np.asarray(layer.recurrent_kernel)
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(2), atol=1e-6)  # orthogonal


@pytest.mark.parametrize("units", [0, -1, 2.5, "3", True, None])
def test_units_must_be_a_positive_integer(units):
    with pytest.raises(ValueError, match=r"`units` must be a positive integer\. Received: units="):
        LSTM(units)


def test_without_a_mask_and_without_a_packing_it_refuses():
    with pytest.raises(ValueError, match=r"needs `mask` or `packing`\. Received: mask=None"):
        LSTM(2)(tf.zeros([1, 2, 3]))


def test_in_mixed_precision_the_packed_cell_keeps_small_additions():
    # each step adds 1/2 to the cell at 256, which bfloat16, with 8 bits, would round away
    layer = LSTM(1, dtype="mixed_bfloat16")
    layer.build((None, None, 1))
    open_gates = np.array([100.0, 100.0, np.arctanh(0.5), 100.0], np.float32)
    layer.set_weights([np.zeros((1, 4)), np.zeros((1, 4)), open_gates])
    mask = tf.ones([1, 8], tf.bool)
    packing = make_packing(mask)
    state = LSTMState(tf.zeros([1, 1], tf.bfloat16), tf.constant([[256.0]], tf.bfloat16))
    _, last = layer(pack(tf.zeros([1, 8, 1]), packing), state=state, packing=packing)
    assert last.cell.dtype == tf.bfloat16
    assert float(last.cell[0, 0]) == 260.0
