"""The quickest search: the most probable token at each step."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_s2s.search.candidates import best_candidates, forbid_eos
from keras_s2s.search.limits import Limits
from keras_s2s.search.result import POSSIBLE, SearchResult, count_tokens, make_result
from keras_s2s.search.search import Search
from keras_s2s.search.step_function import State, StepFunction, call_step, loop_shapes
from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID


class GreedyState(NamedTuple):
    """What the loop carries from step to step: one hypothesis per row."""

    length: tf.Tensor  # () int32: tokens in every hypothesis that still grows
    ids: tf.Tensor  # (batch, longest) int32
    last_ids: tf.Tensor  # (batch,) int32: what is fed to the step function next
    log_probs: tf.Tensor  # (batch, 1) float32
    done: tf.Tensor  # (batch, 1) bool
    step_state: State  # nest of (batch, ...)


@keras.saving.register_keras_serializable(package="keras_s2s")
@dataclasses.dataclass(frozen=True, kw_only=True)
class GreedySearch(Search):
    """Takes the most probable token at each step until eos or `max_length`.

    It finds what a `BeamSearch` of width 1 finds, with less work. Of equally probable tokens the
    one with the lower id is taken.

    Args:
        max_length: The most tokens an output may have, eos counted.
        max_length_ratio: Limits an output also to so many times its source length.
        min_length: The fewest tokens an output may have, eos counted.
        length_penalty: The exponent α in the reported `score = log_prob / length**α`.
        length_penalty_formula: "power" for `length**α`, "gnmt" for `((5 + length) / 6)**α`.

    Raises:
        ValueError: If a setting is out of its range.

    Example:
        >>> import tensorflow as tf
        >>> search = GreedySearch(max_length=3)
        >>> def step(token_ids, state):  # always prefers id 4, whatever went before
        ...     return tf.one_hot(tf.fill(tf.shape(token_ids), 4), 5), state
        >>> search(step, state=(), batch_size=1, vocabulary_size=5).ids.numpy()
        array([[[4, 4, 4]]], dtype=int32)
    """

    def _search(
        self,
        step: StepFunction,
        state: State,
        batch_size: int | tf.Tensor,
        vocabulary_size: int,
        limits: Limits,
    ) -> SearchResult:
        positions = tf.range(limits.longest)

        def advance(state: GreedyState) -> GreedyState:
            logits, step_state = call_step(step, state.last_ids, state.step_state, vocabulary_size)
            log_probs, ids = _best_token(logits, state.length, limits)
            ids = tf.where(state.done, PAD_ID, ids)
            log_probs = state.log_probs + tf.where(state.done, 0.0, log_probs)
            length = state.length + 1
            ended = tf.logical_or(tf.equal(ids, EOS_ID), log_probs <= POSSIBLE)
            return GreedyState(
                length=length,
                ids=tf.where(tf.equal(positions, state.length), ids, state.ids),
                last_ids=tf.reshape(ids, [-1]),
                log_probs=log_probs,
                done=state.done | ended | (length >= limits.max_length),
                step_state=step_state,
            )

        first = GreedyState(
            length=tf.constant(0),
            ids=tf.fill([batch_size, limits.longest], PAD_ID),
            last_ids=tf.fill([batch_size], BOS_ID),
            log_probs=tf.zeros([batch_size, 1]),
            done=tf.fill([batch_size, 1], False),
            step_state=state,
        )
        (last,) = tf.while_loop(
            lambda state: tf.logical_not(tf.reduce_all(state.done)),
            lambda state: (advance(state),),
            (first,),
            shape_invariants=(loop_shapes(first),),
        )
        ids = tf.expand_dims(last.ids, 1)  # (batch, 1, longest)
        lengths = tf.maximum(count_tokens(ids), 1)
        return make_result(ids, last.log_probs, self._score(last.log_probs, lengths, limits))


def _best_token(
    logits: tf.Tensor, length: tf.Tensor, limits: Limits
) -> tuple[tf.Tensor, tf.Tensor]:
    """Give the log probability and the id, both `(batch, 1)`, of the best token allowed."""
    # Eos may be among the best and forbidden, so look one further.
    count = 1 if limits.min_length is None else 2
    candidates = best_candidates(logits, count)
    if limits.min_length is not None:
        candidates = forbid_eos(candidates, length + 1 < limits.min_length)
    log_probs, positions = tf.math.top_k(candidates.log_probs, 1)
    return log_probs, tf.gather(candidates.ids, positions, batch_dims=1)
