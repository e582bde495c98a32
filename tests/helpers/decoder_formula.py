"""A decoder for one row in plain NumPy, as its docstring defines it."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_s2s.layers import GRUDecoder
from keras_s2s.layers.decoder import Decoder


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


class DecoderFormula:
    """Decoder in NumPy that computes the logits of one target."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.is_gru = isinstance(decoder, GRUDecoder)
        self.attended: list[np.ndarray] = []  # attention weights of each step
        self.features: list[np.ndarray] = []  # inputs of the logits layer at each step
        self.weights = {
            weight.path.split("/", 1)[-1]: weight.numpy().astype(np.float64)
            for weight in decoder.weights
        }

    def find(self, name: str) -> np.ndarray:
        [found] = [value for key, value in self.weights.items() if key.endswith(name)]
        return found

    def logits(self, ids: Any, context: np.ndarray, memory: np.ndarray) -> np.ndarray:
        decoder = self.decoder
        states = self.initial_states(context)
        readout = np.zeros(decoder.units)
        rows = []
        for token in ids:
            x = self.find("embeddings")[token]
            if decoder.context_to != "initial_state":
                x = np.concatenate([x, context])
            if decoder.attention == "bahdanau":
                attended = self.attend(states[-1][0], memory)
                x = np.concatenate([x, attended])
            if decoder.input_feeding:
                x = np.concatenate([x, readout])
            x, states = self.stack(x, states)
            if decoder.attention not in (None, "bahdanau", "monotonic"):
                attended = self.attend(x, memory)
            if decoder.attention not in (None, "monotonic"):
                x = readout = np.tanh(np.concatenate([x, attended]) @ self.find("readout/kernel"))
            self.features.append(x)
            kernel = self.find("embeddings").T if decoder.tie_output else self.find("logits/kernel")
            rows.append(x @ kernel + self.find("logits/bias"))
        return np.array(rows)

    def initial_states(self, context: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        decoder = self.decoder
        parts = np.zeros([decoder.num_layers, 1 if self.is_gru else 2, decoder.units])
        if decoder.context_to != "every_step":
            values = context @ self.find("bridge/kernel") + self.find("bridge/bias")
            parts = values.reshape(parts.shape)
            parts[:, 0] = np.tanh(parts[:, 0])
        return [tuple(layer) for layer in parts]

    def stack(self, x: np.ndarray, states: list[Any]) -> tuple[np.ndarray, list[Any]]:
        after = []
        for number, state in enumerate(states):
            after.append((self.gru if self.is_gru else self.lstm)(number, x, *state))
            output = after[-1][0]
            if self.decoder.layer_normalization:
                centred = output - output.mean()
                output = centred / np.sqrt((centred**2).mean() + 1e-3)
                output = output * self.find(f"norm_{number}/gamma")
                output = output + self.find(f"norm_{number}/beta")
            x = output + x if self.decoder.residual and number else output
        return x, after

    def lstm(self, number: int, x: np.ndarray, hidden: np.ndarray, cell: np.ndarray) -> Any:
        z = x @ self.find(f"forward_{number}/kernel") + self.find(f"forward_{number}/bias")
        z = z + hidden @ self.find(f"forward_{number}/recurrent_kernel")
        i, f, g, o = np.split(z, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(cell), cell

    def gru(self, number: int, x: np.ndarray, hidden: np.ndarray) -> Any:
        b, d = self.find(f"forward_{number}/bias")
        x_z, x_r, x_g = np.split(x @ self.find(f"forward_{number}/kernel") + b, 3)
        recurrent_kernel = self.find(f"forward_{number}/recurrent_kernel")
        h_z, h_r, h_g = np.split(hidden @ recurrent_kernel + d, 3)
        z, g = sigmoid(x_z + h_z), np.tanh(x_g + sigmoid(x_r + h_r) * h_g)
        return (z * hidden + (1 - z) * g,)

    def attend(self, query: np.ndarray, memory: np.ndarray) -> np.ndarray:
        attention = self.decoder.attention
        keys = memory if attention == "luong_dot" else memory @ self.find("memory_kernel")
        if attention in ("luong", "luong_dot"):
            scores = keys @ query
        else:
            energy = np.tanh(keys + query @ self.find("query_kernel"))
            scores = energy @ self.find("score_kernel")[:, 0]
        self.attended.append(np.exp(scores) / np.exp(scores).sum())
        return self.attended[-1] @ memory
