"""The best output for certain, by branch and bound."""

from __future__ import annotations

import dataclasses
import functools

import keras
import tensorflow as tf

from keras_s2s import checks
from keras_s2s.search.beam_search import BeamSearch
from keras_s2s.search.candidates import Candidates, forbid_eos
from keras_s2s.search.exact_state import (
    BestOutputs,
    Children,
    ExactState,
    OpenPrefixes,
    largest,
    reopen,
)
from keras_s2s.search.result import (
    IMPOSSIBLE,
    POSSIBLE,
    SearchResult,
    rank_hypotheses,
    without_repeats,
)
from keras_s2s.search.search import Search
from keras_s2s.search.search_step import Carried
from keras_s2s.search.search_task import SearchTask
from keras_s2s.search.step_function import loop_shapes
from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID

# So many continuations of a prefix are looked at; that others are worse is accounted for.
_SHOWN = 64


@keras.saving.register_keras_serializable(package="keras_s2s")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ExactSearch(Search):
    """Finds the outputs of the best score, and says whether it is certain of that.

    A log probability only falls as a prefix grows, and no output divides it by more than the
    longest does, so `log_prob / max_length**length_penalty` bounds the score of everything that
    begins with a prefix. What cannot beat the best outputs known is not looked into; a beam search
    gives the first of them. The bound is the tighter the smaller `max_length` is, so a
    `max_length_ratio` pays; and a batch takes as long as its hardest row.

    A row ends uncertified when it has looked into `max_nodes` prefixes, or had to forget some for
    want of room, and those might have led to something better. The answer is then the best found,
    never worse than the beam search's.

    Args:
        num_hypotheses: Hypotheses returned per row.
        beam_width: Width of the beam search that comes first.
        max_nodes: How many prefixes of a row are looked into at most.
        max_open: How many prefixes of a row may wait at most; each holds a decoder state in memory.
        nodes_per_step: How many prefixes of a row are looked into at once.
        **settings: `max_length`, `max_length_ratio`, `min_length`, `length_penalty`,
            `length_penalty_formula`, `suppress_ids`, `no_repeat_ngram_size` and `lexicon` of
            every `Search`.

    Returns:
        When called, a `SearchResult` with `certified` and `nodes`.

    Raises:
        ValueError: If a setting is out of its range.

    Example:
        >>> import tensorflow as tf
        >>> search = ExactSearch(max_length=3)
        >>> def step(token_ids, state):  # eos (3) a little more probable than id 4
        ...     logits = tf.constant([[-9.0, -9.0, -9.0, 0.1, 0.0]])
        ...     return tf.repeat(logits, tf.size(token_ids), axis=0), state
        >>> found = search(step, state=(), batch_size=1, vocabulary_size=5)
        >>> found.ids.numpy(), found.certified.numpy()
        (array([[[3, 0, 0]]], dtype=int32), array([ True]))

    References:
        Stahlberg and Byrne 2019, "On NMT Search Errors and Model Errors: Cat Got Your Tongue?".
    """

    num_hypotheses: int = 1
    beam_width: int = 5
    max_nodes: int = 10_000
    max_open: int = 4096
    nodes_per_step: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("num_hypotheses", "beam_width", "max_nodes", "max_open", "nodes_per_step"):
            self._keep(name, checks.check_positive_int(name, getattr(self, name)))

    def _search(self, task: SearchTask) -> SearchResult:
        known = self._beam_search()._search(task)
        finished_scores = tf.where(known.finished, known.scores, IMPOSSIBLE)
        to_beat = finished_scores[:, self.num_hypotheses - 1 :]  # (batch, 1)
        first = self._first_state(task)
        (last,) = tf.while_loop(
            lambda state: tf.reduce_any(state.open.log_probs > POSSIBLE),
            lambda state: (self._look_into(state, to_beat, task),),
            (first,),
            shape_invariants=(_loop_shapes(first),),
        )
        ids = tf.concat([known.ids, last.best.ids], axis=1)
        log_probs = tf.concat([known.log_probs, last.best.log_probs], axis=1)
        scores = tf.concat([known.scores, last.best.scores], axis=1)
        found = rank_hypotheses(ids, without_repeats(ids, log_probs), scores, self.num_hypotheses)
        worst = tf.where(found.finished, found.scores, IMPOSSIBLE)[:, self.num_hypotheses - 1 :]
        # Nothing given up counts as impossible, and so does an answer that is not there.
        certified = (self._bound(last.given_up, task) <= worst) | (last.given_up <= POSSIBLE)
        return found._replace(certified=tf.squeeze(certified, 1), nodes=tf.squeeze(last.nodes, 1))

    def _beam_search(self) -> BeamSearch:
        """Make the search for a first answer, under the same rules."""
        settings = {field.name: getattr(self, field.name) for field in dataclasses.fields(Search)}
        number = self.num_hypotheses
        return BeamSearch(
            beam_width=max(self.beam_width, number), num_hypotheses=number, **settings
        )

    def _first_state(self, task: SearchTask) -> ExactState:
        """Begin with the empty prefix."""
        rows, longest, number = task.batch_size, task.limits.longest, self.num_hypotheses
        return ExactState(
            open=OpenPrefixes(
                lengths=tf.zeros([rows, 1], tf.int32),
                log_probs=tf.zeros([rows, 1]),
                last_ids=tf.fill([rows, 1], BOS_ID),
                slots=tf.expand_dims(tf.range(rows), 1),
                ids=tf.fill([rows, longest], PAD_ID),
                carried=task.carried,
            ),
            best=BestOutputs(
                ids=tf.fill([rows, number, longest], PAD_ID),
                log_probs=tf.fill([rows, number], IMPOSSIBLE),
                scores=tf.fill([rows, number], IMPOSSIBLE),
            ),
            given_up=tf.fill([rows, 1], IMPOSSIBLE),
            nodes=tf.zeros([rows, 1], tf.int32),
        )

    def _look_into(self, state: ExactState, to_beat: tf.Tensor, task: SearchTask) -> ExactState:
        """Lengthen the first open prefixes by every token, and keep what may lead on."""
        count = tf.minimum(tf.shape(state.open.slots)[1], self.nodes_per_step)
        chosen = state.open.first(count)
        # What goes beyond the row's budget is given up.
        affordable = state.nodes + tf.range(count) < self.max_nodes
        given_up = [state.given_up, largest(chosen.log_probs, tf.logical_not(affordable))]
        chosen = chosen._replace(log_probs=tf.where(affordable, chosen.log_probs, IMPOSSIBLE))
        looked_into = tf.cast(chosen.log_probs > POSSIBLE, tf.int32)
        nodes = state.nodes + tf.reduce_sum(looked_into, axis=1, keepdims=True)

        children, carried, unseen = self._children(chosen, count, task)
        best = self._best_outputs(state.best, children, chosen, task)
        worst = tf.maximum(best.scores[:, self.num_hypotheses - 1 :], to_beat)
        waits = self._may_beat(state.open, count, children, worst, task)
        log_probs = tf.concat([state.open.log_probs, children.log_probs], axis=1)
        spent = nodes >= self.max_nodes
        given_up += [unseen, largest(log_probs, waits & spent)]
        open_, forgotten = reopen(
            state.open, children, carried, waits & tf.logical_not(spent), count, self.max_open
        )
        given_up = functools.reduce(tf.maximum, [*given_up, forgotten])
        return ExactState(open_, best, given_up, nodes)

    def _children(
        self, chosen: OpenPrefixes, count: tf.Tensor, task: SearchTask
    ) -> tuple[Children, Carried, tf.Tensor]:
        """Give all continuations, what they carry, and a bound on those that are not shown."""
        rows, size = tf.shape(chosen.slots)[0], task.step.vocabulary_size
        following, carried = task.step(tf.reshape(chosen.last_ids, [-1]), chosen.carried)
        candidates = following.best(min(_SHOWN, size))
        shown = candidates.ids.shape[1]
        log_probs = tf.reshape(chosen.log_probs, [-1, 1]) + candidates.log_probs
        unseen = tf.fill([rows, 1], IMPOSSIBLE)
        if shown < size:
            # Where as many as asked for are possible, there may be more, none more probable.
            possible = log_probs > POSSIBLE
            least = tf.reduce_min(tf.where(possible, log_probs, 0.0), axis=1)
            more = tf.reduce_sum(tf.cast(possible, tf.int32), axis=1) >= _SHOWN
            unseen = largest(tf.reshape(least, [rows, count]), tf.reshape(more, [rows, count]))
        parents = tf.range(count * shown) // shown
        lengths = tf.gather(chosen.lengths, parents, axis=1) + 1
        candidates = Candidates(
            tf.reshape(log_probs, [rows, count * shown]),
            tf.reshape(candidates.ids, [rows, count * shown]),
        )
        if task.limits.min_length is not None:
            candidates = forbid_eos(candidates, lengths < task.limits.min_length)
        return Children(candidates.ids, lengths, candidates.log_probs, parents), carried, unseen

    def _best_outputs(
        self, best: BestOutputs, children: Children, chosen: OpenPrefixes, task: SearchTask
    ) -> BestOutputs:
        """Let what ends compete with the best outputs found so far."""
        number = self.num_hypotheses
        ends = tf.equal(children.ids, EOS_ID) & (children.log_probs > POSSIBLE)
        scores = self._score(children.log_probs, children.lengths, task.limits)
        scores = tf.concat([best.scores, tf.where(ends, scores, IMPOSSIBLE)], axis=1)
        scores, places = tf.math.top_k(scores, number)
        parents = tf.gather(children.parents, tf.maximum(places - number, 0))
        ids = tf.where(
            tf.expand_dims(places < number, 2),
            tf.gather(best.ids, tf.minimum(places, number - 1), batch_dims=1),
            chosen.lengthened(parents, tf.fill(tf.shape(parents), EOS_ID)),
        )
        log_probs = tf.concat([best.log_probs, children.log_probs], axis=1)
        return BestOutputs(ids, tf.gather(log_probs, places, batch_dims=1), scores)

    def _may_beat(
        self,
        open_: OpenPrefixes,
        count: tf.Tensor,
        children: Children,
        worst: tf.Tensor,
        task: SearchTask,
    ) -> tf.Tensor:
        """Say which of the old prefixes and the children are worth being looked into."""
        # The first have just been. A child must not have ended, and must have room for eos.
        left = tf.broadcast_to(tf.range(tf.shape(open_.slots)[1]) >= count, tf.shape(open_.lengths))
        goes_on = tf.not_equal(children.ids, EOS_ID) & (children.lengths < task.limits.max_length)
        log_probs = tf.concat([open_.log_probs, children.log_probs], axis=1)
        possible = tf.concat([left, goes_on], axis=1) & (log_probs > POSSIBLE)
        return possible & (self._bound(log_probs, task) > worst)

    def _bound(self, log_probs: tf.Tensor, task: SearchTask) -> tf.Tensor:
        """Bound the scores of all that begins with prefixes `(batch, any)`."""
        return self._score(log_probs, task.limits.max_length, task.limits)


def _loop_shapes(state: ExactState) -> ExactState:
    """Give the shapes that the loop may rely on: the room for open prefixes varies."""
    varies = tf.TensorShape([None, None])
    shapes = loop_shapes(state)
    return shapes._replace(
        open=shapes.open._replace(lengths=varies, log_probs=varies, last_ids=varies, slots=varies)
    )
