"""What cuDNN's recurrent layers compute, by the documentation of cuDNN, on a CPU.

The parameters are one vector: for each gate the input matrix (units, input_units), for each gate
the recurrent matrix (units, units), then the biases of both in the same order. The gates are i, f,
g, o of an LSTM, and r, z, g of a GRU.
"""

from __future__ import annotations

import tensorflow as tf


def cudnn_rnn_v3(
    *, input_h, input_c, params, sequence_lengths, rnn_mode, is_training, time_major, **inputs
):
    """Stand in for `tf.raw_ops.CudnnRNNV3`, for one layer in one direction."""
    assert is_training, "without it there is no gradient"
    assert time_major
    (values_by_time,) = inputs.values()  # its name is that of a function of Python
    lengths = sequence_lengths.numpy()
    assert len(lengths) == values_by_time.shape[1] == input_h.shape[1]
    assert all(1 <= length <= len(values_by_time) for length in lengths), (
        "cuDNN takes no empty sequence"
    )
    assert values_by_time.dtype == input_h.dtype == input_c.dtype == params.dtype != tf.bfloat16
    step = {"lstm": lstm, "gru": gru}[rnn_mode]
    gates, rest = matrices(params, rnn_mode, values_by_time.shape[2], input_h.shape[2])
    assert not len(rest), "parameters that belong to nothing"
    hidden, cell, outputs = input_h[0], input_c[0] if rnn_mode == "lstm" else None, []
    for time, values in enumerate(values_by_time):
        new_hidden, new_cell = step(values, hidden, cell, gates)
        alive = tf.constant((time < lengths)[:, None])
        outputs.append(tf.where(alive, new_hidden, 0))
        hidden = tf.where(alive, new_hidden, hidden)
        cell = None if cell is None else tf.where(alive, new_cell, cell)
    last_cell = input_c if cell is None else cell[None]
    return tf.stack(outputs), hidden[None], last_cell, tf.zeros([0]), tf.zeros([0])


def matrices(params, mode, input_units, units):
    """Give (W, R, b_W, b_R) of each gate, and what is left of the vector."""
    count = {"lstm": 4, "gru": 3}[mode]

    def take(*shape):
        nonlocal params
        size = int(tf.reduce_prod(shape))
        values, params = params[:size], params[size:]
        return tf.reshape(values, shape)

    parts = [
        [take(*shape) for _ in range(count)]
        for shape in ((units, input_units), (units, units), (units,), (units,))
    ]
    return list(zip(*parts, strict=True)), params


def halves(values, hidden, gate):
    kernel, recurrent, bias, recurrent_bias = gate
    x = tf.matmul(values, kernel, transpose_b=True) + bias
    return x, tf.matmul(hidden, recurrent, transpose_b=True) + recurrent_bias


def lstm(values, hidden, cell, gates):
    i, f, g, o = (sum(halves(values, hidden, gate)) for gate in gates)
    cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(g)
    return tf.sigmoid(o) * tf.tanh(cell), cell


def gru(values, hidden, cell, gates):
    r, z, (x, h) = (halves(values, hidden, gate) for gate in gates)
    g = tf.tanh(x + tf.sigmoid(sum(r)) * h)
    z = tf.sigmoid(sum(z))
    return (1 - z) * g + z * hidden, None
