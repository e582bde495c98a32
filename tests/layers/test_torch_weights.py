"""Weights in PyTorch's layout give the same results by PyTorch's equations."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.layers import GRUEncoder, LSTMEncoder

UNITS, DIM, LAYERS, LENGTH = 3, 2, 2, 5
IDS = tf.constant([[5, 6, 7, 4, 3]])
KINDS = {LSTMEncoder: 4, GRUEncoder: 3}

every_kind = pytest.mark.parametrize(("kind", "gates"), KINDS.items())


def make(kind):
    encoder = kind(9, UNITS, embedding_dim=DIM, num_layers=LAYERS, bidirectional=True)
    encoder.build((None, None))
    random = np.random.default_rng(0)
    encoder.set_weights([random.normal(size=weight.shape) for weight in encoder.get_weights()])
    return encoder


def torch_weights(gates):
    """`nn.LSTM(DIM, UNITS, LAYERS, bidirectional=True).state_dict()`, or that of `nn.GRU`."""
    random = np.random.default_rng(1)
    weights = {}
    for layer, inputs in enumerate([DIM, 2 * UNITS]):
        for side in ("", "_reverse"):
            for name, shape in {
                "weight_ih": (gates * UNITS, inputs),
                "weight_hh": (gates * UNITS, UNITS),
                "bias_ih": (gates * UNITS,),
                "bias_hh": (gates * UNITS,),
            }.items():
                weights[f"{name}_l{layer}{side}"] = random.normal(size=shape)
    return weights


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def torch_step(x, state, weights, suffix):
    """Compute one step by the equations of `torch.nn.LSTM` and `torch.nn.GRU`."""
    hidden = state[0]
    from_input = weights[f"weight_ih_{suffix}"] @ x + weights[f"bias_ih_{suffix}"]
    from_hidden = weights[f"weight_hh_{suffix}"] @ hidden + weights[f"bias_hh_{suffix}"]
    if len(from_input) == 4 * UNITS:
        i, f, g, o = np.split(from_input + from_hidden, 4)
        cell = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(cell), cell
    (x_r, x_z, x_n), (h_r, h_z, h_n) = np.split(from_input, 3), np.split(from_hidden, 3)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    n = np.tanh(x_n + r * h_n)
    return ((1 - z) * n + z * hidden,)


def torch_outputs(values, weights, parts):
    """Compute the outputs `(length, 2 * UNITS)` of the module for values `(length, DIM)`."""
    for layer in range(LAYERS):
        sides = []
        for side, order in (("", 1), ("_reverse", -1)):
            state, outputs = np.zeros([parts, UNITS]), []
            for x in values[::order]:
                state = torch_step(x, state, weights, f"l{layer}{side}")
                outputs.append(state[0])
            sides.append(np.array(outputs)[::order])
        values = np.concatenate(sides, axis=1)
    return values


@every_kind
def test_outputs_with_weights_of_torch_match_torch(kind, gates):
    encoder, weights = make(kind), torch_weights(gates)
    encoder.set_torch_weights(weights)
    values = encoder.embedding(IDS)[0].numpy()
    expected = torch_outputs(values, weights, parts=gates - 2)
    np.testing.assert_allclose(encoder(IDS).memory[0], expected, atol=1e-6)


@every_kind
def test_outputs_of_torch_with_our_weights_match_ours(kind, gates):
    encoder = make(kind)
    weights = encoder.get_torch_weights()
    assert {name: value.shape for name, value in weights.items()} == {
        name: value.shape for name, value in torch_weights(gates).items()
    }
    values = encoder.embedding(IDS)[0].numpy()
    expected = torch_outputs(values, weights, parts=gates - 2)
    np.testing.assert_allclose(encoder(IDS).memory[0], expected, atol=1e-6)


@every_kind
def test_a_round_trip_keeps_the_weights(kind, gates):
    encoder, other = make(kind), kind(9, UNITS, embedding_dim=DIM, num_layers=2, bidirectional=True)
    other.build((None, None))
    other.set_torch_weights(encoder.get_torch_weights())
    for ours, theirs in zip(encoder.stack.get_weights(), other.stack.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight_hr_l0": 0}, r"Received: \[\] missing, \['weight_hr_l0'\] unexpected"),
        ({"bias_ih_l1": None}, r"Received: \['bias_ih_l1'\] missing, \[\] unexpected"),
        (
            {"weight_ih_l1": np.zeros([12, 3])},
            r"\['weight_ih_l1'\]` must have the shape \(12, 6\)\. Received: shape \(12, 3\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_rejected(change, message):
    weights = {**torch_weights(4), **change}
    weights = {name: value for name, value in weights.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        make(LSTMEncoder).set_torch_weights(weights)
