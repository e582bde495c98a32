"""Searches in plain slow Python, written from the rules alone, to compare with the fast ones.

A model is here a function from a prefix (a tuple of ids, bos not among them) to the logits of the
next token. Nothing is shared with the package but the four special ids.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

PAD, UNK, BOS, EOS = 0, 1, 2, 3
Prefix = tuple[int, ...]
Model = Callable[[Prefix], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Output:
    ids: Prefix
    log_prob: float
    score: float
    finished: bool


@dataclasses.dataclass(frozen=True)
class Rules:
    max_length: int
    min_length: int = 1
    length_penalty: float = 0.75
    formula: str = "power"

    def score(self, log_prob: float, length: int) -> float:
        base = length if self.formula == "power" else (5 + length) / 6
        return log_prob / base**self.length_penalty


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = np.asarray(logits, np.float64)
    with np.errstate(divide="ignore"):
        return logits - logits.max() - math.log(np.exp(logits - logits.max()).sum())


def log_prob(model: Model, ids: Prefix) -> float:
    return float(sum(log_softmax(model(ids[:place]))[id_] for place, id_ in enumerate(ids)))


def continuations(model: Model, prefix: Prefix, rules: Rules) -> list[tuple[int, float]]:
    """All ids that may follow the prefix, with their log probabilities, by rising id."""
    log_probs = log_softmax(model(prefix))
    allowed = [id_ for id_ in range(len(log_probs)) if id_ not in (PAD, BOS)]
    if len(prefix) + 1 < rules.min_length:
        allowed.remove(EOS)
    return [(id_, float(log_probs[id_])) for id_ in allowed if log_probs[id_] > -1e8]


def all_outputs(model: Model, rules: Rules) -> list[Output]:
    """Every output that ends in eos within max_length, best first."""
    found = []
    prefixes: list[tuple[Prefix, float]] = [((), 0.0)]
    for length in range(1, rules.max_length + 1):
        longer = []
        for prefix, total in prefixes:
            for id_, value in continuations(model, prefix, rules):
                if id_ == EOS:
                    score = rules.score(total + value, length)
                    found.append(Output((*prefix, id_), total + value, score, True))
                else:
                    longer.append(((*prefix, id_), total + value))
        prefixes = longer
    return sorted(found, key=lambda output: -output.score)


def greedy_search(model: Model, rules: Rules) -> list[Output]:
    """The one output of a greedy search, none if it comes to where no token is possible."""
    ids: Prefix = ()
    total = 0.0
    while len(ids) < rules.max_length and ids[-1:] != (EOS,):
        following = continuations(model, ids, rules)
        if not following:
            return []
        id_, value = max(following, key=lambda pair: pair[1])  # the first of equals
        ids, total = (*ids, id_), total + value
    return [Output(ids, total, rules.score(total, len(ids)), ids[-1] == EOS)]


def beam_search(
    model: Model, rules: Rules, beam_width: int, num_hypotheses: int, stopping: str
) -> list[Output]:
    """The answer of a beam search: at most `num_hypotheses` outputs, best first."""
    live: list[tuple[Prefix, float]] = [((), 0.0)]
    finished: list[Output] = []
    for length in range(1, rules.max_length + 1):
        candidates = [
            ((*prefix, id_), total + value)
            for prefix, total in live
            for id_, value in continuations(model, prefix, rules)
        ]
        candidates.sort(key=lambda pair: -pair[1])  # stable: earlier beam, then lower id
        for ids, total in candidates[:beam_width]:
            if ids[-1] == EOS:
                finished.append(Output(ids, total, rules.score(total, length), True))
        finished.sort(key=lambda output: -output.score)
        live = [pair for pair in candidates if pair[0][-1] != EOS][:beam_width]
        if not live:
            break
        if stopping == "finished" and len(finished) >= beam_width:
            break
        if stopping == "bound" and len(finished) >= num_hypotheses:
            best = max(rules.score(live[0][1], longer) for longer in range(1, rules.max_length + 1))
            if best <= finished[num_hypotheses - 1].score:
                break
    unfinished = [Output(ids, total, rules.score(total, len(ids)), False) for ids, total in live]
    return (finished + unfinished)[:num_hypotheses]
