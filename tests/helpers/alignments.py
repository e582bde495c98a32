"""Exact hard monotonic attention in plain NumPy, summing over all alignments explicitly."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from keras_s2s.layers.monotonic_attention import MonotonicAttention


def softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - np.max(scores))
    return weights / weights.sum()


class Alignments:
    """Probabilities of the targets of one source in float64, as the layer's docstring defines them.

    Args:
        layer: The layer that provides the weights.
        memory: `(source_length, memory_units)`, without padding.
        kernel: `(units, vocabulary_size)` of the logits.
        bias: `(vocabulary_size,)`.
        mix: Function from features, logits and a position to P(y_t | a_t). Defaults to a softmax of
            the logits.
    """

    def __init__(
        self,
        layer: MonotonicAttention,
        memory: np.ndarray,
        kernel: np.ndarray,
        bias: np.ndarray,
        mix: Callable[
            [np.ndarray, np.ndarray, int], np.ndarray
        ] = lambda features, logits, position: softmax(logits),
    ) -> None:
        self.weights = {w.name: w.numpy().astype(np.float64) for w in layer.weights}
        self.memory, self.kernel, self.bias = memory.astype(np.float64), kernel, bias
        self.mix = mix

    def move(self, query: np.ndarray, before: int) -> np.ndarray:
        """Return P(a_t = j | a_{t-1} = before), `(source_length,)`. `before` is -1 initially."""
        moves = query @ self.weights["move_kernel"] + self.weights["move_bias"]
        length = len(self.memory)
        scores = [
            self.memory[j] @ self.weights["memory_kernel"] @ query
            + moves[min(j - before, len(moves) - 1)]
            for j in range(max(before, 0), length)
        ]
        return np.concatenate([np.zeros(length - len(scores)), softmax(np.array(scores))])

    def emit(self, query: np.ndarray, position: int) -> np.ndarray:
        """Return P(y_t | a_t = position), `(vocabulary_size,)`."""
        memory = self.memory[position] @ self.weights["readout_memory_kernel"]
        features = np.tanh(query @ self.weights["readout_query_kernel"] + memory)
        return self.mix(features, features @ self.kernel + self.bias, position)

    def paths(
        self, queries: np.ndarray, labels: list[int]
    ) -> Iterator[tuple[tuple[int, ...], float]]:
        """Yield each monotonic alignment with P(alignment, labels)."""
        for path in itertools.combinations_with_replacement(range(len(self.memory)), len(labels)):
            probability, before = 1.0, -1
            for query, position, label in zip(queries, path, labels, strict=True):
                probability *= self.move(query, before)[position]
                probability *= self.emit(query, position)[label]
                before = position
            yield path, probability

    def target(self, queries: np.ndarray, labels: list[int]) -> float:
        """Return P(labels), summed over all alignments."""
        return sum(probability for _, probability in self.paths(queries, labels))

    def next_log_probs(self, queries: np.ndarray, before: list[int]) -> np.ndarray:
        """Return log P(y_t | y_<t) of every y_t, `(vocabulary_size,)`."""
        size = len(self.bias)
        joint = np.array([self.target(queries, [*before, label]) for label in range(size)])
        return np.log(joint / joint.sum())
