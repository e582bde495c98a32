"""The step function and the rules for what may follow, as one step for a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_s2s.search.candidates import Candidates, all_log_probs, best_candidates
from keras_s2s.search.rules import Rule
from keras_s2s.search.step_function import State, StepFunction, attention_width, call_step
from keras_s2s.special_ids import BOS_ID, PAD_ID


class Carried(NamedTuple):
    """What belongs to each hypothesis and is reordered with it."""

    step_state: State  # nest of (n, ...)
    rule_states: tuple[State, ...]  # one nest of (n, ...) for each rule
    coverage: tf.Tensor | tuple[()]  # (n, source_length): attention up to here, where asked for


class Following(NamedTuple):
    """What may follow the hypotheses."""

    logits: tf.Tensor  # (n, vocabulary)
    allowed: tf.Tensor | None  # (n, vocabulary) bool; None: all
    suppress_ids: tuple[int, ...]

    def best(self, count: int) -> Candidates:
        """Give the `count` most probable continuations."""
        return best_candidates(
            self.logits, count, suppress_ids=self.suppress_ids, allowed=self.allowed
        )

    def log_probs(self) -> tf.Tensor:
        """Give the log probability of every continuation: `(n, vocabulary)`."""
        return all_log_probs(self.logits, suppress_ids=self.suppress_ids, allowed=self.allowed)


class SearchStep:
    """Asks the step function and the rules what may follow.

    Args:
        step: The user's step function.
        vocabulary_size: Number of ids.
        suppress_ids: Ids that are never emitted.
        rules: The rules that hold together.
        tracks_coverage: Whether the attention is summed up, for a coverage penalty.
    """

    def __init__(
        self,
        step: StepFunction,
        vocabulary_size: int,
        *,
        suppress_ids: tuple[int, ...] = (),
        rules: Sequence[Rule] = (),
        tracks_coverage: bool = False,
    ) -> None:
        self.step = step
        self.vocabulary_size = vocabulary_size
        self.suppress_ids = suppress_ids
        self.rules = rules
        self.tracks_coverage = tracks_coverage

    def first(self, state: State, batch_size: int | tf.Tensor) -> Carried:
        """Give what one hypothesis per row carries before bos."""
        coverage: tf.Tensor | tuple[()] = ()
        if self.tracks_coverage:
            width = attention_width(self.step, state, batch_size, self.vocabulary_size, BOS_ID)
            coverage = tf.zeros([batch_size, width])
        return Carried(state, tuple(rule.first_state(batch_size) for rule in self.rules), coverage)

    def __call__(self, last_ids: tf.Tensor, carried: Carried) -> tuple[Following, Carried]:
        """Lengthen the hypotheses by `last_ids` `(n,)`: what may follow, and what they carry."""
        output = call_step(self.step, last_ids, carried.step_state, self.vocabulary_size)
        allowed = None
        rule_states = []
        for rule, rule_state in zip(self.rules, carried.rule_states, strict=True):
            also_allowed, new_state = rule(last_ids, rule_state)
            rule_states.append(new_state)
            allowed = also_allowed if allowed is None else tf.logical_and(allowed, also_allowed)
        coverage = carried.coverage
        if self.tracks_coverage:
            # A row that is done is fed pad, and covers no more.
            grows = tf.not_equal(tf.expand_dims(last_ids, 1), PAD_ID)
            coverage = coverage + tf.where(grows, output.attention, 0.0)
        following = Following(output.logits, allowed, self.suppress_ids)
        return following, Carried(output.state, tuple(rule_states), coverage)
