"""Search that keeps the best few hypotheses at each step."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_s2s import checks
from keras_s2s.search.candidates import Candidates, best_candidates, forbid_eos
from keras_s2s.search.limits import Limits
from keras_s2s.search.result import IMPOSSIBLE, POSSIBLE, SearchResult, count_tokens, make_result
from keras_s2s.search.search import Search
from keras_s2s.search.step_function import (
    State,
    StepFunction,
    call_step,
    gather_state,
    loop_shapes,
    repeat_state,
)
from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID

STOPPING_RULES = ("finished", "bound", "length")


class BeamState(NamedTuple):
    """What the loop carries from step to step.

    `ids` holds both pools of a row, the finished hypotheses in front and the live ones behind, so
    that one gather reorders them all.
    """

    length: tf.Tensor  # () int32: tokens in every live hypothesis
    ids: tf.Tensor  # (batch, 2 * beam, longest) int32
    live_log_probs: tf.Tensor  # (batch, beam) float32, best first
    finished_log_probs: tf.Tensor  # (batch, beam) float32
    finished_scores: tf.Tensor  # (batch, beam) float32, best first
    done: tf.Tensor  # (batch, 1) bool
    last_ids: tf.Tensor  # (batch * beam,) int32: what is fed to the step function next
    step_state: State  # nest of (batch * beam, ...)


class Continuations(NamedTuple):
    """The best one-token continuations of a row's live hypotheses, best first."""

    log_probs: tf.Tensor  # (batch, 2 * beam) float32, of the whole hypothesis
    ids: tf.Tensor  # (batch, 2 * beam) int32: the new token
    parents: tf.Tensor  # (batch, 2 * beam) int32: the live hypothesis that goes on


class LivePool(NamedTuple):
    """The hypotheses that go on."""

    log_probs: tf.Tensor  # (batch, beam) float32, best first
    ids: tf.Tensor  # (batch, beam) int32: the new token
    parents: tf.Tensor  # (batch, beam) int32


class FinishedPool(NamedTuple):
    """The best hypotheses that have ended so far."""

    log_probs: tf.Tensor  # (batch, beam) float32
    scores: tf.Tensor  # (batch, beam) float32, best first
    ids: tf.Tensor  # (batch, beam) int32: eos where it ended in this step, else pad
    parents: tf.Tensor  # (batch, beam) int32: where its ids stand in `BeamState.ids`


@keras.saving.register_keras_serializable(package="keras_s2s")
@dataclasses.dataclass(frozen=True, kw_only=True)
class BeamSearch(Search):
    """Keeps the `beam_width` most probable hypotheses at each step.

    Out of all one-token continuations of the live hypotheses, those among the best `beam_width`
    that end in eos are finished, and the best `beam_width` that do not end in eos stay live. Every
    finished hypothesis competes by `score = log_prob / length**length_penalty` for the places in
    the answer. Of equals, the one from the earlier hypothesis comes first, then the lower id.

    Args:
        beam_width: Hypotheses kept per row.
        num_hypotheses: Hypotheses returned per row, at most `beam_width`.
        stopping: When a row is done. "finished": once `beam_width` hypotheses have finished.
            "bound": once no live hypothesis can still beat the worst of those to be returned.
            "length": at its `max_length`. Also when nothing can go on.
        max_length: The most tokens an output may have, eos counted. None only if
            `max_length_ratio` is given.
        max_length_ratio: Limits an output also to so many times the row's own source length
            (rounded up, at least 1). Needs `source_lengths` when the search is called.
        min_length: The fewest tokens an output may have, eos counted: eos is not emitted earlier.
        length_penalty: The exponent α ≥ 0; 0 ranks by log probability alone.
        length_penalty_formula: "power" for `length**α`, "gnmt" for `((5 + length) / 6)**α`.

    Raises:
        ValueError: If a setting is out of its range.

    Example:
        >>> import tensorflow as tf
        >>> search = BeamSearch(beam_width=2, num_hypotheses=2, max_length=3)
        >>> def step(token_ids, state):  # id 4 and eos (3) equally probable, whatever went before
        ...     logits = tf.constant([[-9.0, -9.0, -9.0, 0.0, 0.0]])
        ...     return tf.repeat(logits, tf.size(token_ids), axis=0), state
        >>> found = search(step, state=(), batch_size=1, vocabulary_size=5)
        >>> found.ids.numpy()
        array([[[3, 0, 0],
                [4, 3, 0]]], dtype=int32)

    References:
        Graves 2012, "Sequence Transduction with Recurrent Neural Networks";
        Sutskever et al. 2014, "Sequence to Sequence Learning with Neural Networks";
        Wu et al. 2016, "Google's Neural Machine Translation System" ("gnmt" length penalty).
    """

    beam_width: int = 5
    num_hypotheses: int = 1
    stopping: str = "finished"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep("beam_width", checks.check_positive_int("beam_width", self.beam_width))
        number = checks.check_positive_int("num_hypotheses", self.num_hypotheses)
        self._keep("num_hypotheses", number)
        if self.num_hypotheses > self.beam_width:
            raise ValueError(
                "`num_hypotheses` must not be above `beam_width`. Received: "
                f"num_hypotheses={self.num_hypotheses}, beam_width={self.beam_width}"
            )
        checks.check_choice("stopping", self.stopping, STOPPING_RULES)

    def _search(
        self,
        step: StepFunction,
        state: State,
        batch_size: int | tf.Tensor,
        vocabulary_size: int,
        limits: Limits,
    ) -> SearchResult:
        first = self._first_state(state, batch_size, limits)
        (last,) = tf.while_loop(
            lambda state: tf.logical_not(tf.reduce_all(state.done)),
            lambda state: (self._advance(state, step, vocabulary_size, limits),),
            (first,),
            shape_invariants=(loop_shapes(first),),
        )
        return self._result(last, limits)

    def _first_state(self, state: State, batch_size: int | tf.Tensor, limits: Limits) -> BeamState:
        """Begin with one live hypothesis: the others would only repeat it."""
        beam = self.beam_width
        impossible = tf.fill([batch_size, beam], IMPOSSIBLE)
        return BeamState(
            length=tf.constant(0),
            ids=tf.fill([batch_size, 2 * beam, limits.longest], PAD_ID),
            live_log_probs=tf.concat([tf.zeros([batch_size, 1]), impossible[:, 1:]], axis=1),
            finished_log_probs=impossible,
            finished_scores=impossible,
            done=tf.fill([batch_size, 1], False),
            last_ids=tf.fill([batch_size * beam], BOS_ID),
            step_state=repeat_state(state, batch_size, beam),
        )

    def _advance(
        self, state: BeamState, step: StepFunction, vocabulary_size: int, limits: Limits
    ) -> BeamState:
        """Lengthen every live hypothesis by one token."""
        logits, step_state = call_step(step, state.last_ids, state.step_state, vocabulary_size)
        continuations = self._best_continuations(logits, state, limits)
        live = self._live_pool(continuations, state)
        finished = self._finished_pool(continuations, state, limits)
        length = state.length + 1
        return BeamState(
            length=length,
            ids=self._write(state, finished, live),
            live_log_probs=live.log_probs,
            finished_log_probs=finished.log_probs,
            finished_scores=finished.scores,
            done=self._done(live, finished, length, limits),
            last_ids=tf.reshape(live.ids, [-1]),
            step_state=gather_state(step_state, self._flat_indices(live.parents)),
        )

    def _best_continuations(
        self, logits: tf.Tensor, state: BeamState, limits: Limits
    ) -> Continuations:
        """Rank the continuations of each row's live hypotheses, and keep the best 2 * beam.

        That many, because each live hypothesis has one continuation that ends: if the best `beam`
        all end, there are still `beam` that go on. For the same reason no hypothesis needs to show
        more than its best beam + 1.
        """
        beam = self.beam_width
        candidates = best_candidates(logits, beam + 1)
        shown = candidates.ids.shape[1]  # by one hypothesis
        log_probs = tf.reshape(state.live_log_probs, [-1, 1]) + candidates.log_probs
        # (batch * beam, shown) -> (batch, beam * shown): equals stay in order of hypothesis and id
        candidates = Candidates(
            log_probs=tf.reshape(log_probs, [-1, beam * shown]),
            ids=tf.reshape(candidates.ids, [-1, beam * shown]),
        )
        if limits.min_length is not None:
            candidates = forbid_eos(candidates, state.length + 1 < limits.min_length)
        log_probs, positions = tf.math.top_k(candidates.log_probs, 2 * beam)
        return Continuations(
            log_probs=log_probs,
            ids=tf.gather(candidates.ids, positions, batch_dims=1),
            parents=positions // shown,
        )

    def _live_pool(self, continuations: Continuations, state: BeamState) -> LivePool:
        """Keep the best that do not end; in a row that is done, leave all as it is."""
        ends = tf.equal(continuations.ids, EOS_ID)
        log_probs = tf.where(ends, IMPOSSIBLE, continuations.log_probs)
        log_probs, positions = tf.math.top_k(log_probs, self.beam_width)
        ids = tf.gather(continuations.ids, positions, batch_dims=1)
        parents = tf.gather(continuations.parents, positions, batch_dims=1)
        return LivePool(
            log_probs=tf.where(state.done, state.live_log_probs, log_probs),
            ids=tf.where(state.done, PAD_ID, ids),
            parents=tf.where(state.done, tf.range(self.beam_width), parents),
        )

    def _finished_pool(
        self, continuations: Continuations, state: BeamState, limits: Limits
    ) -> FinishedPool:
        """Let those that end, if among the best `beam`, compete with those that ended before."""
        beam = self.beam_width
        log_probs = continuations.log_probs[:, :beam]
        ends = tf.equal(continuations.ids[:, :beam], EOS_ID) & (log_probs > POSSIBLE)
        ends = tf.logical_and(ends, tf.logical_not(state.done))
        scores = tf.where(ends, self._score(log_probs, state.length + 1, limits), IMPOSSIBLE)
        # Both pools' scores side by side: positions below `beam` mean one that ended before.
        scores, positions = tf.math.top_k(tf.concat([state.finished_scores, scores], axis=1), beam)
        log_probs = tf.concat([state.finished_log_probs, log_probs], axis=1)
        before = positions < beam
        ended = tf.gather(continuations.parents, tf.maximum(positions - beam, 0), batch_dims=1)
        return FinishedPool(
            log_probs=tf.gather(log_probs, positions, batch_dims=1),
            scores=scores,
            ids=tf.where(before, PAD_ID, EOS_ID),
            parents=tf.where(before, positions, beam + ended),
        )

    def _write(self, state: BeamState, finished: FinishedPool, live: LivePool) -> tf.Tensor:
        """Bring the ids of both pools into their new order and add the new tokens."""
        parents = tf.concat([finished.parents, self.beam_width + live.parents], axis=1)
        new_ids = tf.expand_dims(tf.concat([finished.ids, live.ids], axis=1), 2)
        ids = tf.gather(state.ids, parents, batch_dims=1)
        here = tf.equal(tf.range(tf.shape(ids)[2]), state.length)
        return tf.where(here, new_ids, ids)

    def _flat_indices(self, parents: tf.Tensor) -> tf.Tensor:
        """Give the places of hypotheses `(batch, beam)` in tensors `(batch * beam, ...)`."""
        row_starts = tf.range(tf.shape(parents)[0]) * self.beam_width
        return tf.reshape(parents + tf.expand_dims(row_starts, 1), [-1])

    def _done(
        self, live: LivePool, finished: FinishedPool, length: tf.Tensor, limits: Limits
    ) -> tf.Tensor:
        """Say for each row whether it is done: `(batch, 1)`.

        A row that is done never changes, so it stays done.
        """
        best_live = live.log_probs[:, :1]
        done = tf.logical_or(best_live <= POSSIBLE, length >= limits.max_length)
        if self.stopping == "finished":
            done = done | (finished.scores[:, self.beam_width - 1 :] > IMPOSSIBLE)
        if self.stopping == "bound":
            # Log probabilities only fall, and no output divides by more than the longest.
            bound = self._score(best_live, limits.max_length, limits)
            worst = finished.scores[:, self.num_hypotheses - 1 : self.num_hypotheses]
            done = done | (bound <= worst)
        return done

    def _result(self, state: BeamState, limits: Limits) -> SearchResult:
        """Fill the places of the answer with the finished, then with the live hypotheses."""
        places = tf.range(self.num_hypotheses)
        possible = tf.cast(state.finished_scores > IMPOSSIBLE, tf.int32)
        num_finished = tf.reduce_sum(possible, axis=1, keepdims=True)
        from_live = self.beam_width + places - num_finished
        positions = tf.where(places < num_finished, places, from_live)
        ids = tf.gather(state.ids, positions, batch_dims=1)
        log_probs = tf.concat([state.finished_log_probs, state.live_log_probs], axis=1)
        log_probs = tf.gather(log_probs, positions, batch_dims=1)
        # Unused places have no tokens: count one, for the sake of the division.
        lengths = tf.maximum(count_tokens(ids), 1)
        return make_result(ids, log_probs, self._score(log_probs, lengths, limits))
