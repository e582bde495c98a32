"""The loss of each token, computed in NumPy with one-hot labels."""

from __future__ import annotations

import numpy as np

VOCABULARY_SIZE = 5
# the real tokens of three sequences: 3, 1 and 2
LABELS = np.array([[4, 1, 3], [3, 0, 0], [4, 3, 0]], np.int32)
REAL = LABELS != 0
LOGITS = np.random.default_rng(0).normal(scale=2.0, size=(3, 3, VOCABULARY_SIZE))

SEQUENCE_WEIGHTS = np.array([1.0, 0.0, 2.5])
TOKEN_WEIGHTS = np.array([[1.0, 0.5, 0.0], [2.0, 9.0, 9.0], [0.0, 1.0, 9.0]])  # 9 at padding


def nll(labels=LABELS, logits=LOGITS, label_smoothing=0.0):
    """Return -Σ_k q_k log p_k of each token, where q is the smoothed one-hot label."""
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    one_hot = np.eye(VOCABULARY_SIZE)[labels]
    smoothed = (1 - label_smoothing) * one_hot + label_smoothing / VOCABULARY_SIZE
    return -(smoothed * np.log(probabilities)).sum(axis=-1)
