"""The weights of recurrent layers in the format of PyTorch's `nn.LSTM` and `nn.GRU`.

PyTorch transposes each kernel and has two biases, which an LSTM adds. The gates of its LSTM have
the same order as here: i, f, g, o. The gates of its GRU have the order r, z, n, and those of Keras
z, r, g. Both GRUs apply the reset gate after the recurrent product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from keras_s2s.errors import InputError
from keras_s2s.layers.recurrence import LSTMState
from keras_s2s.layers.recurrent import RecurrentLayer

Array: TypeAlias = np.ndarray[Any, Any]


def to_torch(levels: Sequence[Sequence[RecurrentLayer]]) -> dict[str, Array]:
    """Return weights under the names of a PyTorch module's `state_dict()`.

    Args:
        levels: Layers from the bottom up, each with its one or two directions.

    Returns:
        float32 arrays by name: `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, with
        the suffix `_reverse` for the backward direction.
    """
    weights = {}
    for level, directions in enumerate(levels):
        for direction, layer in enumerate(directions):
            kernel, recurrent_kernel, bias = (weight.numpy() for weight in layer.weights)
            if _is_lstm(layer):
                bias = np.stack([bias, np.zeros_like(bias)])
            values = (kernel.T, recurrent_kernel.T, *bias)
            for name, value in zip(_names(level, direction), values, strict=True):
                weights[name] = _swap_gates(layer, value)
    return weights


def from_torch(levels: Sequence[Sequence[RecurrentLayer]], weights: Mapping[str, Any]) -> None:
    """Set weights from the `state_dict()` of a PyTorch module of the same sizes.

    Args:
        levels: Built layers from the bottom up, each with its one or two directions.
        weights: Arrays by PyTorch's names.

    Raises:
        ValueError: If a weight is missing, unexpected, or has the wrong shape.
    """
    expected = to_torch(levels)
    _check_names(expected, weights)
    arrays = {name: np.asarray(value, np.float32) for name, value in weights.items()}
    for name, value in expected.items():
        if arrays[name].shape != value.shape:
            raise InputError(
                f"`weights[{name!r}]` must have the shape {value.shape}. "
                f"Received: shape {arrays[name].shape}"
            )
    for level, directions in enumerate(levels):
        for direction, layer in enumerate(directions):
            kernel, recurrent_kernel, *biases = (
                _swap_gates(layer, arrays[name]) for name in _names(level, direction)
            )
            bias = sum(biases) if _is_lstm(layer) else np.stack(biases)
            layer.set_weights([kernel.T, recurrent_kernel.T, bias])


def _is_lstm(layer: RecurrentLayer) -> bool:
    return layer.state_type is LSTMState


def _names(level: int, direction: int) -> list[str]:
    suffix = f"l{level}{'_reverse' if direction else ''}"
    return [f"{name}_{suffix}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def _swap_gates(layer: RecurrentLayer, value: Array) -> Array:
    """Swap the first two gates of a GRU along the first axis. Leave an LSTM unchanged."""
    if _is_lstm(layer):
        return value
    first, second, third = np.split(value, 3)
    return np.concatenate([second, first, third])


def _check_names(expected: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
    missing, unexpected = (
        sorted(expected.keys() - weights.keys()),
        sorted(weights.keys() - expected),
    )
    if missing or unexpected:
        raise InputError(
            "`weights` must come from a PyTorch module with the same number of layers and "
            f"directions. Received: {missing} missing, {unexpected} unexpected"
        )
