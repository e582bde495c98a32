"""CPU implementation of cuDNN's recurrent layers, following the cuDNN documentation.

The parameters are one vector. For each layer from the bottom up, and each direction, the vector
contains the input matrix (units, input_units) of each gate, then the recurrent matrix (units,
units) of each gate. The input and recurrent biases of each gate follow after all matrices, in the
same order. The gates are i, f, g, o for an LSTM, and r, z, g for a GRU.
"""

from __future__ import annotations

import tensorflow as tf

COUNTS = {"lstm": 4, "gru": 3}


def cudnn_rnn_v3(
    *,
    input_h,
    input_c,
    params,
    sequence_lengths,
    rnn_mode,
    direction,
    is_training,
    time_major,
    **inputs,
):
    """Replace `tf.raw_ops.CudnnRNNV3` for unidirectional and bidirectional layers."""
    assert is_training, "without it there is no gradient"
    assert time_major
    (values,) = inputs.values()  # the argument is named like a Python builtin
    lengths = sequence_lengths.numpy()
    assert len(lengths) == values.shape[1] == input_h.shape[1]
    assert all(1 <= length <= len(values) for length in lengths), "cuDNN takes no empty sequence"
    assert values.dtype == input_h.dtype == input_c.dtype == params.dtype != tf.bfloat16
    sides = {"unidirectional": 1, "bidirectional": 2}[direction]
    layers = len(input_h) // sides
    sizes = [values.shape[2], *[sides * input_h.shape[2]] * (layers - 1)]
    weights, rest = matrices(params, rnn_mode, sizes, input_h.shape[2], sides)
    assert not len(rest), "parameters that belong to nothing"
    last_h, last_c = [], []
    for layer in range(layers):
        outputs = []
        for side in range(sides):
            number = layer * sides + side
            cell = input_c[number] if rnn_mode == "lstm" else None
            read = reverse(values, lengths) if side else values
            output, hidden, cell = run(
                read, lengths, input_h[number], cell, weights[number], rnn_mode
            )
            outputs.append(reverse(output, lengths) if side else output)
            last_h.append(hidden)
            last_c.append(cell)
        values = tf.concat(outputs, axis=2)
    last_c = tf.stack(last_c) if rnn_mode == "lstm" else input_c
    return values, tf.stack(last_h), last_c, tf.zeros([0]), tf.zeros([0])


def run(values_by_time, lengths, hidden, cell, gates, mode):
    """Run one layer in one direction. Return outputs, zero at padding, and the last state."""
    outputs = []
    for time, values in enumerate(values_by_time):
        new_hidden, new_cell = {"lstm": lstm, "gru": gru}[mode](values, hidden, cell, gates)
        alive = tf.constant((time < lengths)[:, None])
        outputs.append(tf.where(alive, new_hidden, 0))
        hidden = tf.where(alive, new_hidden, hidden)
        cell = None if cell is None else tf.where(alive, new_cell, cell)
    return tf.stack(outputs), hidden, cell


def reverse(values, lengths):
    return tf.reverse_sequence(values, lengths, seq_axis=0, batch_axis=1)


def matrices(params, mode, sizes, units, sides):
    """Return (W, R, b_W, b_R) of each gate per layer and direction, and the rest of the vector."""

    def take(*shape):
        nonlocal params
        size = int(tf.reduce_prod(shape))
        values, params = params[:size], params[size:]
        return tf.reshape(values, shape)

    def take_gates(*shape):
        return [take(*shape) for _ in range(COUNTS[mode])]

    kernels = [
        (take_gates(units, size), take_gates(units, units)) for size in sizes for _ in range(sides)
    ]
    biases = [(take_gates(units), take_gates(units)) for _ in kernels]
    parts = [(*both, *bias) for both, bias in zip(kernels, biases, strict=True)]
    return [list(zip(*part, strict=True)) for part in parts], params


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
