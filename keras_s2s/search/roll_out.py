"""Lengthening one hypothesis token by token: what greedy search and sampling have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from keras_s2s.search.candidates import Candidates
from keras_s2s.search.result import POSSIBLE
from keras_s2s.search.search_step import Carried, Following
from keras_s2s.search.search_task import SearchTask
from keras_s2s.search.step_function import loop_shapes
from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID

Choose = Callable[[Following, tf.Tensor], Candidates]
"""Chooses a token for each row: `choose(following, length)`, with one candidate `(rows, 1)`."""


class RollOutState(NamedTuple):
    """What the loop carries from step to step: one hypothesis per row."""

    length: tf.Tensor  # () int32: tokens in every hypothesis that still grows
    ids: tf.Tensor  # (rows, longest) int32
    last_ids: tf.Tensor  # (rows,) int32: what is fed to the step function next
    log_probs: tf.Tensor  # (rows, 1) float32
    done: tf.Tensor  # (rows, 1) bool
    carried: Carried  # nest of (rows, ...)


def roll_out(task: SearchTask, choose: Choose) -> tuple[tf.Tensor, tf.Tensor]:
    """Choose a token at each step until eos or `max_length`.

    Args:
        task: What is searched.
        choose: Says how each token is chosen.

    Returns:
        The ids `(rows, longest)` and their log probabilities `(rows, 1)`.
    """
    rows, limits = task.batch_size, task.limits
    positions = tf.range(limits.longest)

    def advance(state: RollOutState) -> RollOutState:
        following, carried = task.step(state.last_ids, state.carried)
        chosen = choose(following, state.length)
        ids = tf.where(state.done, PAD_ID, chosen.ids)
        log_probs = state.log_probs + tf.where(state.done, 0.0, chosen.log_probs)
        length = state.length + 1
        ended = tf.equal(ids, EOS_ID) | (log_probs <= POSSIBLE) | (length >= limits.max_length)
        return RollOutState(
            length=length,
            ids=tf.where(tf.equal(positions, state.length), ids, state.ids),
            last_ids=tf.reshape(ids, [-1]),
            log_probs=log_probs,
            done=tf.logical_or(state.done, ended),
            carried=carried,
        )

    first = RollOutState(
        length=tf.constant(0),
        ids=tf.fill([rows, limits.longest], PAD_ID),
        last_ids=tf.fill([rows], BOS_ID),
        log_probs=tf.zeros([rows, 1]),
        done=tf.fill([rows, 1], False),
        carried=task.carried,
    )
    (last,) = tf.while_loop(
        lambda state: tf.logical_not(tf.reduce_all(state.done)),
        lambda state: (advance(state),),
        (first,),
        shape_invariants=(loop_shapes(first),),
    )
    return last.ids, last.log_probs
