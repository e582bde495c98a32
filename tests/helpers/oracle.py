"""Simple, slow reference searches in plain Python, to compare with the fast ones.

A model is a function from a prefix (a tuple of ids without bos) to the logits of the next token.
The only things shared with the package are the four special ids.
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
    suppress: tuple[int, ...] = ()
    ngram: int | None = None
    lexicon: tuple[Prefix, ...] | None = None
    prefix: Prefix = ()
    # Bonus added to the score of an output, as a function of its ids.
    bonus: Callable[[Prefix], float] = lambda ids: 0.0

    def allow(self, ids: Prefix) -> bool:
        """Return whether an output may begin with these ids."""
        length = len(ids)
        if ids[-1] in (PAD, BOS, *self.suppress):
            return False
        if ids[-1] == EOS and length < min(self.min_length, self.max_length):
            return False
        if ids[: len(self.prefix)] != self.prefix[:length]:
            return False
        if self.ngram is not None:
            ngrams = [ids[i : i + self.ngram] for i in range(length - self.ngram + 1)]
            if len(set(ngrams)) < len(ngrams):
                return False
        if self.lexicon is not None:
            fitting = (out for out in self.lexicon if len(out) < self.max_length)
            return any((*out, EOS)[:length] == ids for out in fitting)
        return True

    def divisor(self, length: int) -> float:
        base = length if self.formula == "power" else (5 + length) / 6
        return base**self.length_penalty

    def output(self, ids: Prefix, log_prob: float) -> Output:
        score = log_prob / self.divisor(len(ids)) + self.bonus(ids)
        return Output(ids, log_prob, score, ids[-1] == EOS)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = np.asarray(logits, np.float64)
    with np.errstate(divide="ignore"):
        return logits - logits.max() - math.log(np.exp(logits - logits.max()).sum())


def log_prob(model: Model, ids: Prefix) -> float:
    return float(sum(log_softmax(model(ids[:place]))[id_] for place, id_ in enumerate(ids)))


def continuations(model: Model, prefix: Prefix, rules: Rules) -> list[tuple[int, float]]:
    """Return all ids that may follow the prefix with their log probabilities, in order of id."""
    log_probs = log_softmax(model(prefix))
    return [
        (id_, float(value))
        for id_, value in enumerate(log_probs)
        if value > -1e8 and rules.allow((*prefix, id_))
    ]


def all_outputs(model: Model, rules: Rules) -> list[Output]:
    """Return every output that ends in eos within max_length, best first."""
    found = []
    prefixes: list[tuple[Prefix, float]] = [((), 0.0)]
    for _ in range(rules.max_length):
        longer = []
        for prefix, total in prefixes:
            for id_, value in continuations(model, prefix, rules):
                if id_ == EOS:
                    found.append(rules.output((*prefix, id_), total + value))
                else:
                    longer.append(((*prefix, id_), total + value))
        prefixes = longer
    return sorted(found, key=lambda output: -output.score)


def greedy_search(model: Model, rules: Rules) -> list[Output]:
    """Return the greedy output, or an empty list if no token is possible at some step."""
    ids: Prefix = ()
    total = 0.0
    while len(ids) < rules.max_length and ids[-1:] != (EOS,):
        following = continuations(model, ids, rules)
        if not following:
            return []
        id_, value = max(following, key=lambda pair: pair[1])  # the first in case of ties
        ids, total = (*ids, id_), total + value
    return [rules.output(ids, total)]


def beam_search(
    model: Model, rules: Rules, beam_width: int, num_hypotheses: int, stopping: str
) -> list[Output]:
    """Return the result of a beam search: at most `num_hypotheses` outputs, best first."""
    live: list[tuple[Prefix, float]] = [((), 0.0)]
    finished: list[Output] = []
    for _ in range(rules.max_length):
        candidates = [
            ((*prefix, id_), total + value)
            for prefix, total in live
            for id_, value in continuations(model, prefix, rules)
        ]
        candidates.sort(key=lambda pair: -pair[1])  # stable sort: earlier beam, then lower id
        for ids, total in candidates[:beam_width]:
            if ids[-1] == EOS:
                finished.append(rules.output(ids, total))
        finished.sort(key=lambda output: -output.score)
        live = [pair for pair in candidates if pair[0][-1] != EOS][:beam_width]
        if not live:
            break
        if stopping == "finished" and len(finished) >= beam_width:
            break
        if stopping == "bound" and len(finished) >= num_hypotheses:
            best = live[0][1] / rules.divisor(rules.max_length)
            if best <= finished[num_hypotheses - 1].score:
                break
    unfinished = [rules.output(ids, total) for ids, total in live]
    unfinished.sort(key=lambda output: -output.score)
    return (finished + unfinished)[:num_hypotheses]


def diverse_beam_search(
    model: Model, rules: Rules, width: int, num_groups: int, penalty: float, stopping: str
) -> list[Output]:
    """Return all distinct outputs of a diverse beam search with groups of `width`, best first."""
    live: list[list[tuple[Prefix, float]]] = [[((), 0.0)] for _ in range(num_groups)]
    finished: list[list[Output]] = [[] for _ in range(num_groups)]
    done = [False] * num_groups
    for _ in range(rules.max_length):
        chosen: list[int] = []  # tokens chosen by earlier groups in this step
        for group in range(num_groups):
            if done[group]:
                continue
            candidates = [
                ((*prefix, id_), total + value)
                for prefix, total in live[group]
                for id_, value in continuations(model, prefix, rules)
            ]
            candidates.sort(key=lambda pair: penalty * chosen.count(pair[0][-1]) - pair[1])
            for ids, total in candidates[:width]:
                if ids[-1] == EOS:
                    finished[group].append(rules.output(ids, total))
            finished[group].sort(key=lambda output: -output.score)
            live[group] = [pair for pair in candidates if pair[0][-1] != EOS][:width]
            chosen += [ids[-1] for ids, _ in live[group]]
            enough = len(finished[group]) >= width
            if enough and stopping == "bound":
                best = max((total for _, total in live[group]), default=-math.inf)
                enough = best / rules.divisor(rules.max_length) <= finished[group][width - 1].score
            done[group] = not live[group] or (enough and stopping != "length")
    found: dict[Prefix, Output] = {}
    for group in range(num_groups):
        unfinished = [rules.output(ids, total) for ids, total in live[group]]
        unfinished.sort(key=lambda output: -output.score)
        for output in (finished[group] + unfinished)[:width]:
            found.setdefault(output.ids, output)
    return sorted(found.values(), key=lambda output: (not output.finished, -output.score))


def uniform(seed: int, sample: int, step: int) -> float:
    """Return the random number of a sampling step, computed with Python integers."""
    mixed = 0
    constants = (314159265, 271828182, 141421356, 173205080, 223606797, 264575131)
    for word, constant in zip((seed, sample, step, 0, 0, 0), constants, strict=True):
        mixed = pow(mixed + word + constant, 5, 2**31 - 1)
    return (mixed >> 7) / 2**24


def sample(
    model: Model,
    rules: Rules,
    *,
    seed: int,
    number: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
) -> Output | None:
    """Return the sample with the given number, or `None` if no token is possible at some step."""
    ids: Prefix = ()
    total = 0.0
    while len(ids) < rules.max_length and ids[-1:] != (EOS,):
        following = continuations(model, ids, rules)
        if not following:
            return None
        if top_k is not None or top_p is not None:
            following.sort(key=lambda pair: -pair[1])
        following = following[:top_k]
        weights = [math.exp(value / temperature) for _, value in following]
        if top_p is not None:
            reached = [sum(weights[:place]) for place in range(len(weights))]
            kept = sum(before < top_p * sum(weights) for before in reached)
            weights = weights[:kept]
        drawn = uniform(seed, number, len(ids)) * sum(weights)
        place = next(p for p in range(len(weights)) if sum(weights[: p + 1]) > drawn)
        ids, total = (*ids, following[place][0]), total + following[place][1]
    return rules.output(ids, total)
