"""What cuDNN's recurrent layers compute, by the documentation of cuDNN, on a CPU.

The parameters are one vector. For each layer from the bottom up, and each of its directions, it has
for each gate the input matrix (units, input_units), then for each gate the recurrent matrix (units,
units); after all matrices, in the same order, the biases of the inputs and of the state by gate.
The gates are i, f, g, o of an LSTM, and r, z, g of a GRU.
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
    """Stand in for `tf.raw_ops.CudnnRNNV3`, for layers in one direction or two."""
    assert is_training, "without it there is no gradient"
    assert time_major
    (values,) = inputs.values()  # its name is that of a function of Python
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
    """One layer in one direction: outputs that are zero at the padding, and the last state."""
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
    """Give (W, R, b_W, b_R) of each gate of each layer and side, and what is left of the vector."""

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
