"""Search that keeps the best few hypotheses at each step."""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from keras_s2s import checks
from keras_s2s.search.beam_state import BeamState, Continuations, FinishedPool, LivePool
from keras_s2s.search.candidates import Candidates, forbid_eos
from keras_s2s.search.coverage import coverage_score
from keras_s2s.search.limits import Limits
from keras_s2s.search.result import IMPOSSIBLE, POSSIBLE, SearchResult, make_result
from keras_s2s.search.search import Search
from keras_s2s.search.search_step import Carried, Following
from keras_s2s.search.search_task import SearchTask
from keras_s2s.search.step_function import gather_state, loop_shapes, repeat_state
from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID

STOPPING_RULES = ("finished", "bound", "length")


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
        coverage_penalty: β ≥ 0: adds β Σ_i log(min(Σ_t attention_ti, 1)), over source positions i
            and tokens t, to the score of a hypothesis. Above 0 it needs a step function that gives
            attention, and `source_lengths`.
        **settings: `max_length`, `max_length_ratio`, `min_length`, `length_penalty`,
            `length_penalty_formula`, `suppress_ids`, `no_repeat_ngram_size` and `lexicon` of
            every `Search`.

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
        Wu et al. 2016, "Google's Neural Machine Translation System" (length and coverage
        penalty).
    """

    beam_width: int = 5
    num_hypotheses: int = 1
    stopping: str = "finished"
    coverage_penalty: float = 0.0

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
        coverage = checks.check_number("coverage_penalty", self.coverage_penalty, minimum=0.0)
        self._keep("coverage_penalty", coverage)

    @property
    def needs_attention(self) -> bool:
        """Whether `step` must give attention, for a coverage penalty."""
        return self.coverage_penalty > 0.0

    @property
    def _width(self) -> int:
        """Hypotheses that compete with each other."""
        return self.beam_width

    @property
    def _kept(self) -> int:
        """How many of them are wanted in the end."""
        return self.num_hypotheses

    def _search(self, task: SearchTask) -> SearchResult:
        if self.coverage_penalty and task.source_lengths is None:
            raise ValueError(
                "`source_lengths` must be given to a search with `coverage_penalty`. Received: "
                f"source_lengths=None, coverage_penalty={self.coverage_penalty}"
            )
        return self._result(self._run(task), task)

    def _run(self, task: SearchTask) -> BeamState:
        """Advance until every row is done."""
        first = self._first_state(task)
        (last,) = tf.while_loop(
            lambda state: tf.logical_not(tf.reduce_all(state.done)),
            lambda state: (self._advance(state, task),),
            (first,),
            shape_invariants=(loop_shapes(first),),
        )
        return last

    def _first_state(self, task: SearchTask) -> BeamState:
        """Begin with one live hypothesis: the others would only repeat it."""
        rows, beam = task.batch_size, self._width
        impossible = tf.fill([rows, beam], IMPOSSIBLE)
        return BeamState(
            length=tf.constant(0),
            ids=tf.fill([rows, 2 * beam, task.limits.longest], PAD_ID),
            live_log_probs=tf.concat([tf.zeros([rows, 1]), impossible[:, 1:]], axis=1),
            finished_log_probs=impossible,
            finished_scores=impossible,
            done=tf.fill([rows, 1], False),
            last_ids=tf.fill([rows * beam], BOS_ID),
            carried=repeat_state(task.carried, rows, beam),
        )

    def _advance(self, state: BeamState, task: SearchTask) -> BeamState:
        """Lengthen every live hypothesis by one token."""
        following, carried = task.step(state.last_ids, state.carried)
        continuations = self._best_continuations(following, state, task.limits)
        live = self._live_pool(continuations, state)
        finished = self._finished_pool(continuations, state, task, carried)
        length = state.length + 1
        done = self._done(live, finished, length, task.limits)
        return BeamState(
            length=length,
            ids=self._write(state, finished, live),
            live_log_probs=live.log_probs,
            finished_log_probs=finished.log_probs,
            finished_scores=finished.scores,
            done=done,
            last_ids=tf.reshape(tf.where(done, PAD_ID, live.ids), [-1]),
            carried=gather_state(carried, self._flat_indices(live.parents)),
        )

    def _best_continuations(
        self, following: Following, state: BeamState, limits: Limits
    ) -> Continuations:
        """Rank the continuations of each row's live hypotheses, and keep the best 2 * beam.

        That many, because each live hypothesis has one continuation that ends: if the best `beam`
        all end, there are still `beam` that go on. For the same reason no hypothesis needs to show
        more than its best beam + 1.
        """
        beam = self._width
        candidates = self._of_whole_rows(following.best(beam + 1), state, limits)
        log_probs, positions = tf.math.top_k(candidates.log_probs, 2 * beam)
        return Continuations(
            log_probs=log_probs,
            ids=tf.gather(candidates.ids, positions, batch_dims=1),
            parents=positions // (candidates.ids.shape[1] // beam),
        )

    def _of_whole_rows(
        self, candidates: Candidates, state: BeamState, limits: Limits
    ) -> Candidates:
        """Lay the candidates of a row's hypotheses side by side, with their whole log_probs."""
        shown = candidates.ids.shape[1]  # by one hypothesis
        log_probs = tf.reshape(state.live_log_probs, [-1, 1]) + candidates.log_probs
        # (batch * beam, shown) -> (batch, beam * shown): equals stay in order of hypothesis and id
        candidates = Candidates(
            log_probs=tf.reshape(log_probs, [-1, self._width * shown]),
            ids=tf.reshape(candidates.ids, [-1, self._width * shown]),
        )
        if limits.min_length is None:
            return candidates
        return forbid_eos(candidates, state.length + 1 < limits.min_length)

    def _live_pool(self, continuations: Continuations, state: BeamState) -> LivePool:
        """Keep the first that do not end; in a row that is done, leave all as it is."""
        beam = self._width
        positions = first_that_go_on(continuations.ids, beam)
        log_probs = tf.gather(continuations.log_probs, positions, batch_dims=1)
        ids = tf.gather(continuations.ids, positions, batch_dims=1)
        parents = tf.gather(continuations.parents, positions, batch_dims=1)
        return LivePool(
            log_probs=tf.where(state.done, state.live_log_probs, log_probs),
            ids=tf.where(state.done, PAD_ID, ids),
            parents=tf.where(state.done, tf.range(beam), parents),
        )

    def _finished_pool(
        self, continuations: Continuations, state: BeamState, task: SearchTask, carried: Carried
    ) -> FinishedPool:
        """Let those that end, if among the best `beam`, compete with those that ended before."""
        beam = self._width
        log_probs, parents = continuations.log_probs[:, :beam], continuations.parents[:, :beam]
        ends = tf.equal(continuations.ids[:, :beam], EOS_ID) & (log_probs > POSSIBLE)
        ends = tf.logical_and(ends, tf.logical_not(state.done))
        scores = self._score(log_probs, state.length + 1, task.limits)
        if self.coverage_penalty:
            scores += tf.gather(self._coverage_score(carried, task), parents, batch_dims=1)
        scores = tf.where(ends, scores, IMPOSSIBLE)
        # Both pools' scores side by side: positions below `beam` mean one that ended before.
        scores, positions = tf.math.top_k(tf.concat([state.finished_scores, scores], axis=1), beam)
        log_probs = tf.concat([state.finished_log_probs, log_probs], axis=1)
        before = positions < beam
        ended = tf.gather(parents, tf.maximum(positions - beam, 0), batch_dims=1)
        return FinishedPool(
            log_probs=tf.gather(log_probs, positions, batch_dims=1),
            scores=scores,
            ids=tf.where(before, PAD_ID, EOS_ID),
            parents=tf.where(before, positions, beam + ended),
        )

    def _write(self, state: BeamState, finished: FinishedPool, live: LivePool) -> tf.Tensor:
        """Bring the ids of both pools into their new order and add the new tokens."""
        parents = tf.concat([finished.parents, self._width + live.parents], axis=1)
        new_ids = tf.expand_dims(tf.concat([finished.ids, live.ids], axis=1), 2)
        ids = tf.gather(state.ids, parents, batch_dims=1)
        here = tf.equal(tf.range(tf.shape(ids)[2]), state.length)
        return tf.where(here, new_ids, ids)

    def _flat_indices(self, parents: tf.Tensor) -> tf.Tensor:
        """Give the places of hypotheses `(batch, beam)` in tensors `(batch * beam, ...)`."""
        row_starts = tf.range(tf.shape(parents)[0]) * self._width
        return tf.reshape(parents + tf.expand_dims(row_starts, 1), [-1])

    def _done(
        self, live: LivePool, finished: FinishedPool, length: tf.Tensor, limits: Limits
    ) -> tf.Tensor:
        """Say for each row whether it is done: `(batch, 1)`.

        A row that is done never changes, so it stays done.
        """
        best_live = tf.reduce_max(live.log_probs, axis=1, keepdims=True)
        done = tf.logical_or(best_live <= POSSIBLE, length >= limits.max_length)
        if self.stopping == "finished":
            done = done | (finished.scores[:, self._width - 1 :] > IMPOSSIBLE)
        if self.stopping == "bound":
            # Log probabilities only fall, and no output divides by more than the longest.
            bound = self._score(best_live, limits.max_length, limits)
            done = done | (bound <= finished.scores[:, self._kept - 1 : self._kept])
        return done

    def _coverage_score(self, carried: Carried, task: SearchTask) -> tf.Tensor:
        """Score how well each live hypothesis covers the source: `(batch, beam)`."""
        return self.coverage_penalty * coverage_score(carried.coverage, task.source_lengths)

    def _result(self, state: BeamState, task: SearchTask) -> SearchResult:
        """Fill the places of the answer with the finished, then with the live hypotheses."""
        beam, live_log_probs = self._width, state.live_log_probs
        live_scores = self._score_ids(live_log_probs, state.ids[:, beam:], task.limits)
        if self.coverage_penalty:
            live_scores += self._coverage_score(state.carried, task)
        live_scores = tf.where(live_log_probs > POSSIBLE, live_scores, IMPOSSIBLE)
        _, live_order = tf.math.top_k(live_scores, beam)
        finished = tf.cast(state.finished_scores > IMPOSSIBLE, tf.int32)
        places = tf.range(self._kept)
        behind = places - tf.reduce_sum(finished, axis=1, keepdims=True)
        from_live = beam + tf.gather(live_order, tf.maximum(behind, 0), batch_dims=1)
        positions = tf.where(behind < 0, places, from_live)
        log_probs = tf.concat([state.finished_log_probs, live_log_probs], axis=1)
        scores = tf.concat([state.finished_scores, live_scores], axis=1)
        return make_result(
            tf.gather(state.ids, positions, batch_dims=1),
            tf.gather(log_probs, positions, batch_dims=1),
            tf.gather(scores, positions, batch_dims=1),
        )


def first_that_go_on(ids: tf.Tensor, count: int) -> tf.Tensor:
    """Find the first `count` of `ids` `(batch, 2 * count)` that are not eos: their places."""
    order = tf.range(2 * count, 0, -1)
    return tf.math.top_k(tf.where(tf.equal(ids, EOS_ID), 0, order), count).indices
