"""What a beam search holds: the state of its loop, and what a step makes of it."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from keras_s2s.search.search_step import Carried


class BeamState(NamedTuple):
    """What the loop carries from step to step.

    `ids` holds both pools of a row, the finished hypotheses in front and the live ones behind, so
    that one gather reorders them all.
    """

    length: tf.Tensor  # () int32: tokens in every live hypothesis
    ids: tf.Tensor  # (batch, 2 * beam, longest) int32
    live_log_probs: tf.Tensor  # (batch, beam) float32
    finished_log_probs: tf.Tensor  # (batch, beam) float32
    finished_scores: tf.Tensor  # (batch, beam) float32, best first
    done: tf.Tensor  # (batch, 1) bool
    last_ids: tf.Tensor  # (batch * beam,) int32: what is fed to the step function next
    carried: Carried  # nest of (batch * beam, ...)


class Continuations(NamedTuple):
    """The best one-token continuations of a row's live hypotheses, best first."""

    log_probs: tf.Tensor  # (batch, 2 * beam) float32, of the whole hypothesis
    ids: tf.Tensor  # (batch, 2 * beam) int32: the new token
    parents: tf.Tensor  # (batch, 2 * beam) int32: the live hypothesis that goes on


class LivePool(NamedTuple):
    """The hypotheses that go on."""

    log_probs: tf.Tensor  # (batch, beam) float32
    ids: tf.Tensor  # (batch, beam) int32: the new token
    parents: tf.Tensor  # (batch, beam) int32


class FinishedPool(NamedTuple):
    """The best hypotheses that have ended so far."""

    log_probs: tf.Tensor  # (batch, beam) float32
    scores: tf.Tensor  # (batch, beam) float32, best first
    ids: tf.Tensor  # (batch, beam) int32: eos where it ended in this step, else pad
    parents: tf.Tensor  # (batch, beam) int32: where its ids stand in `BeamState.ids`
