"""The beam search examples in the documentation, as tables."""

from __future__ import annotations

import numpy as np

from helpers import oracle
from helpers.table_model import TableModel, next_line

A, B, C, D, E = 4, 5, 6, 7, 8
_VOCABULARY_SIZE = 9
_NUM_LINES = 9973


def _table(after: dict[oracle.Prefix, dict[int, float]], otherwise: dict[int, float]) -> TableModel:
    """Build a model from the probabilities after some prefixes and those after all others."""

    def log_probs(probabilities: dict[int, float]) -> np.ndarray:
        row = np.full(_VOCABULARY_SIZE, -1e9, np.float32)
        for id_, probability in probabilities.items():
            row[id_] = np.log(probability) if probability else -1e9
        return row

    logits = np.tile(log_probs(otherwise), (_NUM_LINES, 1))
    for prefix, probabilities in after.items():
        line = 0
        for id_ in prefix:
            line = next_line(line, id_, _VOCABULARY_SIZE, _NUM_LINES)
        logits[line] = log_probs(probabilities)
    return TableModel(logits[np.newaxis])


def _row(a: float, b: float, c: float, eos: float) -> dict[int, float]:
    return {A: a, B: b, C: c, oracle.EOS: eos}


def greedy_is_not_best() -> TableModel:
    """Greedy search finds A B C eos, P = 0.048. The best by score is A C B eos, P = 0.054."""
    after = {
        (): _row(0.5, 0.2, 0.2, 0.1),
        (A,): _row(0.1, 0.4, 0.3, 0.2),
        (A, B): _row(0.2, 0.2, 0.4, 0.2),
        (A, B, C): _row(0.0, 0.2, 0.2, 0.6),
        (A, C): _row(0.1, 0.6, 0.2, 0.1),
        (A, C, B): _row(0.1, 0.2, 0.1, 0.6),
    }
    return _table(after, _row(0.25, 0.25, 0.25, 0.25))


def poor_ones_finish_first() -> TableModel:
    """With width 2, eos and A eos finish before A B, which is the best."""
    after = {(): _row(0.8, 0, 0, 0.2), (A,): _row(0, 0.8, 0, 0.2), (A, B): _row(0, 0, 0, 1.0)}
    return _table(after, _row(0.25, 0.25, 0.25, 0.25))


def five_tokens() -> TableModel:
    """With width 2, the candidates of three steps are A, C, AB, CE, ABD, CED."""
    after = {
        (): {A: 0.4, B: 0.1, C: 0.3, D: 0.1, E: 0.1},
        (A,): {A: 0.1, B: 0.5, C: 0.2, D: 0.1, E: 0.1},
        (C,): {A: 0.1, B: 0.1, C: 0.1, D: 0.1, E: 0.6},
        (A, B): {A: 0.1, B: 0.1, C: 0.1, D: 0.6, E: 0.1},
        (C, E): {A: 0.1, B: 0.1, C: 0.1, D: 0.6, E: 0.1},
    }
    return _table(after, {A: 0.2, B: 0.2, C: 0.2, D: 0.2, E: 0.2})
