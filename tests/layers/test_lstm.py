"""What is an LSTM's own; what it shares with a GRU: test_recurrent.py."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keras_s2s.layers import LSTMState, MaskedLSTM
from keras_s2s.layers.packing import make_packing, pack


def test_the_initial_forget_bias_is_one():
    layer = MaskedLSTM(2)
    layer.build((None, None, 3))
    np.testing.assert_array_equal(layer.bias, [0, 0, 1, 1, 0, 0, 0, 0])
    recurrent = np.asarray(layer.recurrent_kernel)
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(2), atol=1e-6)  # orthogonal


def test_in_mixed_precision_the_packed_cell_keeps_small_additions():
    # each step adds 1/2 to the cell at 256, which bfloat16, with 8 bits, would round away
    layer = MaskedLSTM(1, dtype="mixed_bfloat16")
    layer.build((None, None, 1))
    open_gates = np.array([100.0, 100.0, np.arctanh(0.5), 100.0], np.float32)
    layer.set_weights([np.zeros((1, 4)), np.zeros((1, 4)), open_gates])
    mask = tf.ones([1, 8], tf.bool)
    packing = make_packing(mask)
    state = LSTMState(tf.zeros([1, 1], tf.bfloat16), tf.constant([[256.0]], tf.bfloat16))
    _, last = layer(pack(tf.zeros([1, 8, 1]), packing), state=state, packing=packing)
    assert last.cell.dtype == tf.bfloat16
    assert float(last.cell[0, 0]) == 260.0


def test_one_tape_computes_several_gradients_of_packed_rows():
    layer = MaskedLSTM(2)
    layer.build((None, None, 3))
    rows, packing = tf.ones([5, 3]), make_packing(tf.constant([[True] * 3, [True, True, False]]))
    with tf.GradientTape(persistent=True) as tape:
        output, last = layer(rows, packing=packing)
        losses = tf.reduce_sum(output), tf.reduce_sum(last.cell)
    first, second = (tape.gradient(loss, layer.kernel.value) for loss in losses)
    both = tape.gradient(losses, layer.kernel.value)
    np.testing.assert_allclose(first + second, both, rtol=1e-5)
