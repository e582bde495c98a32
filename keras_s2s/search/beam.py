"""Beam search: keep the best few hypotheses at each step.

The search is a loop over `BeamState`. Each step (`BeamSearch._advance`) continues every live
hypothesis by one token:

1. `SearchStep` (step.py) calls the decoder and the rules, and returns the next tokens.
2. `_best_continuations` ranks the continuations of all live hypotheses of a row.
3. `_live_pool` keeps the best that do not end; `_finished_pool` keeps the best that have ended.
4. `_still_active` decides which rows are not done.

For a single source, the time of a step depends mostly on its number of operations. Values that stay
the same in all steps are therefore computed once, before the loop (`LoopConstants`).
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_s2s import checks
from keras_s2s.errors import InputError
from keras_s2s.search.base import Search
from keras_s2s.search.result import SearchResult, count_tokens, make_result
from keras_s2s.search.step import (
    Candidates,
    HypothesisState,
    NextTokens,
    gather_state,
    loop_shapes,
    repeat_state,
)
from keras_s2s.search.task import SearchTask, coverage_score
from keras_s2s.search_limits import MAX_HYPOTHESES
from keras_s2s.special_ids import BOS_ID, EOS_ID, IMPOSSIBLE, PAD_ID, POSSIBLE

STOPPING_RULES = ("finished", "bound", "length")

# Up to this value, scores stay far above IMPOSSIBLE for sources of up to 10,000 tokens.
MAX_COVERAGE_PENALTY = 1000.0


class BeamState(NamedTuple):
    """Loop state of a beam search.

    `ids` contains both pools of a row, first the live hypotheses, then the finished ones, so that
    one gather reorders both. The eos of a finished hypothesis is added after the loop.
    """

    length: tf.Tensor  # () int32: tokens of every live hypothesis
    ids: tf.Tensor  # (batch, 2 * beam, longest) int32
    live_log_probs: tf.Tensor  # (batch, beam) float32; NaN: the decoder returned no distribution
    finished_log_probs: tf.Tensor  # (batch, beam) float32
    finished_scores: tf.Tensor  # (batch, beam) float32, best first
    active: tf.Tensor  # (batch, 1) bool: the row is not done
    last_ids: tf.Tensor  # (batch * beam,) int32: last token of every live hypothesis
    hypotheses: HypothesisState  # nest of (batch * beam, ...), of the live hypotheses


class LoopConstants(NamedTuple):
    """Values that stay the same in the loop."""

    row_starts: tf.Tensor  # (batch, 1) int32: first hypothesis of each row in (batch * beam)
    finished: tf.Tensor  # (batch, beam) int32: positions of the pool in `BeamState.ids`
    positions: tf.Tensor  # (longest,) int32: positions of tokens
    largest_divisor: tf.Tensor  # () or (batch, 1) float32: divisor of the longest output
    least_bound: tf.Tensor  # () or (batch, 1) float32: bound on the score of an impossible output


class Continuations(NamedTuple):
    """Best one-token continuations of the live hypotheses of a row, best first."""

    log_probs: tf.Tensor  # (batch, 2 * beam) float32, of the whole hypothesis
    ids: tf.Tensor  # (batch, 2 * beam) int32: the new token
    parents: tf.Tensor  # (batch, 2 * beam) int32: the live hypothesis that is continued
    diverged: tf.Tensor  # (batch, 1) bool: a live hypothesis has no distribution


class LivePool(NamedTuple):
    """Hypotheses that have not ended."""

    log_probs: tf.Tensor  # (batch, beam) float32
    ids: tf.Tensor  # (batch, beam) int32: the new token
    parents: tf.Tensor  # (batch, beam) int32


class FinishedPool(NamedTuple):
    """Best hypotheses that have ended so far."""

    log_probs: tf.Tensor  # (batch, beam) float32
    scores: tf.Tensor  # (batch, beam) float32, best first
    parents: tf.Tensor  # (batch, beam) int32: position in `BeamState.ids`


@keras.saving.register_keras_serializable(package="keras_s2s")
@dataclasses.dataclass(frozen=True, kw_only=True)
class BeamSearch(Search):
    """Beam search: keeps the `beam_width` most probable hypotheses at each step.

    Each step ranks all one-token continuations of the live hypotheses. Continuations among the best
    `beam_width` that end in eos are finished. The best `beam_width` that do not end stay live.
    Finished hypotheses are ranked by `score = log_prob / length**length_penalty`. Of equal
    continuations, the one of the earlier hypothesis comes first, then the one with the lower id.

    Args:
        beam_width: Number of hypotheses kept for each source (row of the batch), at most 10,000.
            Defaults to 5.
        num_hypotheses: Number of hypotheses returned for each source, at most `beam_width`.
            Defaults to 1.
        stopping: When a row is done. "bound": when no live hypothesis can beat the worst hypothesis
            to return. "finished": when `beam_width` hypotheses have finished, even if better ones
            are still live. "length": at `max_length`. A row also stops when no hypothesis can be
            extended. Defaults to "bound".
        coverage_penalty: Float β between 0 and 1000. Adds β Σ_i log(min(Σ_t attention_ti, 1)), over
            source positions i and tokens t, to the score of a hypothesis. A value above 0 requires
            `source_lengths` and a step function that returns attention. Defaults to 0.
        **settings: `max_length`, `max_length_ratio`, `min_length`, `length_penalty`,
            `length_penalty_formula`, `suppress_ids`, `no_repeat_ngram_size` and `lexicon`:
            see `Search`.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> import tensorflow as tf
        >>> search = BeamSearch(beam_width=2, num_hypotheses=2, max_length=3)
        >>> def step(token_ids, state):  # id 4 and eos (3) are always equally probable
        ...     logits = tf.constant([[-9.0, -9.0, -9.0, 0.0, 0.0]])
        ...     return tf.repeat(logits, tf.size(token_ids), axis=0), state
        >>> found = search(step, state=(), batch_size=1, vocabulary_size=5)
        >>> found.ids.numpy()
        array([[[3, 0, 0],
                [4, 3, 0]]], dtype=int32)

    References:
        - [Sequence transduction with recurrent neural networks (Graves, 2012)](
          https://arxiv.org/abs/1211.3711)
        - [Sequence to sequence learning with neural networks (Sutskever et al., 2014)](
          https://arxiv.org/abs/1409.3215)
        - [Google's neural machine translation system (Wu et al., 2016)](
          https://arxiv.org/abs/1609.08144), for the penalties of length and coverage
    """

    beam_width: int = 5
    num_hypotheses: int = 1
    stopping: str = "bound"
    coverage_penalty: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep_count("beam_width", MAX_HYPOTHESES)
        self._keep_count("num_hypotheses", MAX_HYPOTHESES)
        if self.num_hypotheses > self.beam_width:
            raise InputError(
                "`num_hypotheses` must not exceed `beam_width`. Received: "
                f"num_hypotheses={self.num_hypotheses}, beam_width={self.beam_width}"
            )
        checks.check_choice("stopping", self.stopping, STOPPING_RULES)
        coverage = checks.check_number(
            "coverage_penalty", self.coverage_penalty, minimum=0.0, maximum=MAX_COVERAGE_PENALTY
        )
        self._keep("coverage_penalty", coverage)

    @property
    def hypotheses_per_step(self) -> int:
        """Number of hypotheses of each source that a call of `step` extends."""
        return self.beam_width

    @property
    def needs_attention(self) -> bool:
        """True if `step` must return attention, for a coverage penalty."""
        return self.coverage_penalty > 0.0

    @property
    def _width(self) -> int:
        """Number of hypotheses that compete with each other."""
        return self.beam_width

    @property
    def _num_returned(self) -> int:
        """Number of hypotheses to return for each row of the task."""
        return self.num_hypotheses

    def _search(self, task: SearchTask) -> SearchResult:
        if self.coverage_penalty and task.source_lengths is None:
            raise InputError(
                "`source_lengths` must be given to a search with `coverage_penalty`. Received: "
                f"source_lengths=None, coverage_penalty={self.coverage_penalty}"
            )
        first, constants = self._first_state(task), self._loop_constants(task)
        (last,) = tf.while_loop(
            lambda state: tf.reduce_any(state.active),
            lambda state: (self._advance(state, task, constants),),
            (first,),
            shape_invariants=(loop_shapes(first),),
        )
        return self._result(last, task)

    def _first_state(self, task: SearchTask) -> BeamState:
        """Return the state before bos, with one live hypothesis per row."""
        rows, beam = task.batch_size, self._width
        impossible = tf.fill([rows, beam], IMPOSSIBLE)
        return BeamState(
            length=tf.constant(0),
            ids=tf.fill([rows, 2 * beam, task.longest], PAD_ID),
            live_log_probs=tf.concat([tf.zeros([rows, 1]), impossible[:, 1:]], axis=1),
            finished_log_probs=impossible,
            finished_scores=impossible,
            active=tf.fill([rows, 1], True),
            last_ids=tf.fill([rows * beam], BOS_ID),
            hypotheses=repeat_state(task.state, rows, beam),
        )

    def _loop_constants(self, task: SearchTask) -> LoopConstants:
        """Compute the values that stay the same in all steps."""
        rows, beam = task.batch_size, self._width
        divisor = task.divisor(task.max_length)
        return LoopConstants(
            row_starts=tf.expand_dims(tf.range(rows) * beam, 1),
            finished=tf.tile([tf.range(beam, 2 * beam)], [rows, 1]),
            positions=tf.range(task.longest),
            largest_divisor=divisor,
            least_bound=POSSIBLE / divisor,
        )

    def _advance(self, state: BeamState, task: SearchTask, constants: LoopConstants) -> BeamState:
        """Continue every live hypothesis by one token."""
        length = state.length + 1
        next_tokens, hypotheses = task.step(state.last_ids, state.hypotheses)
        continuations = self._best_continuations(next_tokens, state, task, length)
        ends = tf.equal(continuations.ids, EOS_ID)
        live = self._live_pool(continuations, ends, state)
        finished = self._finished_pool(
            continuations, ends, state, task, constants, length, hypotheses
        )
        active = self._still_active(live, finished, length, task, constants)
        flat_parents = tf.reshape(live.parents + constants.row_starts, [-1])
        return BeamState(
            length=length,
            ids=self._append_tokens(state, finished, live, constants),
            live_log_probs=live.log_probs,
            finished_log_probs=finished.log_probs,
            finished_scores=finished.scores,
            active=active,
            last_ids=tf.reshape(tf.where(active, live.ids, PAD_ID), [-1]),
            hypotheses=gather_state(hypotheses, flat_parents),
        )

    def _best_continuations(
        self, next_tokens: NextTokens, state: BeamState, task: SearchTask, length: tf.Tensor
    ) -> Continuations:
        """Rank the continuations of each row's live hypotheses, and keep the best 2 * beam.

        Each live hypothesis has only one continuation that ends, so the best 2 * beam include at
        least `beam` that do not end. For the same reason, the best beam + 1 tokens of each
        hypothesis are enough.
        """
        beam = self._width
        candidates = next_tokens.best(beam + 1)
        candidates, diverged = self._join_hypotheses(candidates, state, task, length)
        log_probs, positions = tf.math.top_k(candidates.log_probs, 2 * beam)
        return Continuations(
            log_probs=log_probs,
            ids=tf.gather(candidates.ids, positions, batch_dims=1),
            parents=positions // (candidates.ids.shape[1] // beam),
            diverged=diverged,
        )

    def _join_hypotheses(
        self, candidates: Candidates, state: BeamState, task: SearchTask, length: tf.Tensor
    ) -> tuple[Candidates, tf.Tensor]:
        """Concatenate the candidates of a row's hypotheses, with their total log_probs.

        Returns:
            Candidates `(batch, beam * count)`, and a bool tensor `(batch, 1)`, true for rows that
            have diverged.
        """
        beam, count = self._width, candidates.ids.shape[1]  # count: of one hypothesis
        live = tf.reshape(state.live_log_probs, [-1, 1])
        # The decoder runs on empty slots too. Ignore its output for them.
        log_probs = tf.where(live > POSSIBLE, live + candidates.log_probs, IMPOSSIBLE)
        # (batch * beam, count) -> (batch, beam * count): equal values stay sorted by hypothesis and
        # id
        log_probs = tf.reshape(log_probs, [-1, beam * count])
        diverged = tf.math.is_nan(tf.reduce_sum(log_probs, axis=1, keepdims=True))
        candidates = Candidates(log_probs, tf.reshape(candidates.ids, [-1, beam * count]))
        if task.min_length is not None:
            candidates = candidates.forbid_eos(length < task.min_length)
        return candidates, diverged

    def _live_pool(
        self, continuations: Continuations, ends: tf.Tensor, state: BeamState
    ) -> LivePool:
        """Select the best continuations that do not end. A row that is done does not change."""
        beam = self._width
        positions = first_unfinished(ends, beam)
        log_probs = tf.gather(continuations.log_probs, positions, batch_dims=1)
        log_probs = tf.where(continuations.diverged, float("nan"), log_probs)
        ids = tf.gather(continuations.ids, positions, batch_dims=1)
        parents = tf.gather(continuations.parents, positions, batch_dims=1)
        return LivePool(
            log_probs=tf.where(state.active, log_probs, state.live_log_probs),
            ids=tf.where(state.active, ids, PAD_ID),
            parents=tf.where(state.active, parents, tf.range(beam)),
        )

    def _finished_pool(
        self,
        continuations: Continuations,
        ends: tf.Tensor,
        state: BeamState,
        task: SearchTask,
        constants: LoopConstants,
        length: tf.Tensor,
        hypotheses: HypothesisState,
    ) -> FinishedPool:
        """Merge the continuations that end, if among the best `beam`, into the finished pool."""
        beam, log_probs = self._width, continuations.log_probs
        among_best = np.arange(2 * beam) < beam
        # In a row that is done, nothing can finish any more.
        smallest = tf.where(state.active, POSSIBLE, tf.float32.max)
        ends = ends & among_best & (log_probs > smallest)
        scores = task.score(log_probs, length)
        if self.coverage_penalty:
            coverage_scores = self._coverage_score(hypotheses, task)
            scores += tf.gather(coverage_scores, continuations.parents, batch_dims=1)
        scores = tf.where(ends, scores, IMPOSSIBLE)
        # Of equal scores, `top_k` ranks old hypotheses first.
        scores, positions = tf.math.top_k(tf.concat([state.finished_scores, scores], axis=1), beam)
        log_probs = tf.concat([state.finished_log_probs, log_probs], axis=1)
        parents = tf.concat([constants.finished, continuations.parents], axis=1)
        return FinishedPool(
            log_probs=tf.gather(log_probs, positions, batch_dims=1),
            scores=scores,
            parents=tf.gather(parents, positions, batch_dims=1),
        )

    def _append_tokens(
        self, state: BeamState, finished: FinishedPool, live: LivePool, constants: LoopConstants
    ) -> tf.Tensor:
        """Reorder the ids of both pools and append the new tokens."""
        parents = tf.concat([live.parents, finished.parents], axis=1)
        ids = tf.gather(state.ids, parents, batch_dims=1)
        new_ids = tf.pad(live.ids, [[0, 0], [0, self._width]])
        here = tf.equal(constants.positions, state.length)
        return tf.where(here, tf.expand_dims(new_ids, 2), ids)

    def _still_active(
        self,
        live: LivePool,
        finished: FinishedPool,
        length: tf.Tensor,
        task: SearchTask,
        constants: LoopConstants,
    ) -> tf.Tensor:
        """Return which rows are not done: bool `(batch, 1)`.

        A row that is done never changes, so it stays done. A row that has diverged is done, because
        NaN is not larger than any number.
        """
        best_live = tf.reduce_max(live.log_probs, axis=1, keepdims=True)
        if self.stopping == "bound":
            worst = finished.scores[:, self._num_returned - 1 : self._num_returned]
            bound = best_live / constants.largest_divisor
            possible = bound > tf.maximum(worst, constants.least_bound)
        else:
            possible = best_live > POSSIBLE
        if self.stopping == "finished":
            possible &= finished.scores[:, self._width - 1 :] <= IMPOSSIBLE
        return possible & (length < task.max_length)

    def _coverage_score(self, hypotheses: HypothesisState, task: SearchTask) -> tf.Tensor:
        """Compute the coverage penalty of each live hypothesis: `(batch, beam)`."""
        return self.coverage_penalty * coverage_score(hypotheses.coverage, task.source_lengths)

    def _result(self, state: BeamState, task: SearchTask) -> SearchResult:
        """Fill the result with the best finished hypotheses, then with the best live ones."""
        beam, live_log_probs = self._width, state.live_log_probs
        live_ids, finished_ids = state.ids[:, :beam], state.ids[:, beam:]
        live_scores = task.score_ids(live_log_probs, live_ids)
        if self.coverage_penalty:
            live_scores += self._coverage_score(state.hypotheses, task)
        live_scores = tf.where(live_log_probs > POSSIBLE, live_scores, IMPOSSIBLE)
        _, live_order = tf.math.top_k(live_scores, beam)
        finished = tf.cast(state.finished_scores > IMPOSSIBLE, tf.int32)
        slots = tf.range(self._num_returned)
        live_rank = slots - tf.reduce_sum(finished, axis=1, keepdims=True)
        live_position = beam + tf.gather(live_order, tf.maximum(live_rank, 0), batch_dims=1)
        positions = tf.where(live_rank < 0, slots, live_position)
        log_probs = tf.concat([state.finished_log_probs, live_log_probs], axis=1)
        diverged = tf.math.is_nan(live_log_probs[:, :1])
        log_probs = tf.where(diverged, float("nan"), log_probs)
        scores = tf.concat([state.finished_scores, live_scores], axis=1)
        ids = tf.concat([_append_eos(finished_ids), live_ids], axis=1)
        return make_result(
            tf.gather(ids, positions, batch_dims=1),
            tf.gather(log_probs, positions, batch_dims=1),
            tf.gather(scores, positions, batch_dims=1),
        )


def beam_search_like(search: Search, beam_width: int, num_hypotheses: int) -> BeamSearch:
    """Return a beam search with the limits and rules of another search."""
    settings = {field.name: getattr(search, field.name) for field in dataclasses.fields(Search)}
    return BeamSearch(
        beam_width=max(beam_width, num_hypotheses), num_hypotheses=num_hypotheses, **settings
    )


def first_unfinished(ends: tf.Tensor, count: int) -> tf.Tensor:
    """Return the positions of the first `count` of `ends` `(batch, 2 * count)` that are false."""
    order = tf.range(2 * count, 0, -1)
    return tf.math.top_k(tf.where(ends, 0, order), count).indices


def _append_eos(ids: tf.Tensor) -> tf.Tensor:
    """Append eos to every hypothesis `(batch, hypotheses, length)`."""
    lengths = tf.expand_dims(count_tokens(ids), 2)
    return tf.where(tf.equal(tf.range(tf.shape(ids)[2]), lengths), EOS_ID, ids)
