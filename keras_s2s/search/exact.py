"""Exact search: find the best outputs with certainty, by branch and bound.

The search expands open prefixes, a few of every row at once, until no prefix can beat the best
outputs found. `merge_open` keeps the prefixes that are still to be expanded.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_s2s.search.base import Search
from keras_s2s.search.beam import beam_search_like
from keras_s2s.search.open_prefixes import Children, OpenPrefixes, largest, merge_open
from keras_s2s.search.result import SearchResult, mask_duplicates, rank_hypotheses
from keras_s2s.search.step import (
    Candidates,
    HypothesisState,
    NextTokens,
    gather_state,
    loop_shapes,
    row_bytes,
)
from keras_s2s.search.task import SearchTask
from keras_s2s.search_limits import MAX_HYPOTHESES
from keras_s2s.special_ids import BOS_ID, EOS_ID, IMPOSSIBLE, PAD_ID, POSSIBLE

# Number of continuations of a prefix that are considered one by one; a bound covers the others.
_MAX_CHILDREN = 64

# Number of prefixes of a row in a group. Each group reads a copy of what the step knows of its row.
_GROUP = 8


class BestOutputs(NamedTuple):
    """Best outputs found so far."""

    ids: tf.Tensor  # (batch, num_hypotheses, longest) int32
    log_probs: tf.Tensor  # (batch, num_hypotheses) float32
    scores: tf.Tensor  # (batch, num_hypotheses) float32, best first


class Limits(NamedTuple):
    """Numbers of prefixes of a row, () int32."""

    open: tf.Tensor
    expanded: tf.Tensor  # together


class ExactState(NamedTuple):
    """Loop state of an exact search."""

    open: OpenPrefixes
    best: BestOutputs
    pruned: tf.Tensor  # (batch, 1) float32: largest log_prob of prefixes dropped by a limit
    nodes: tf.Tensor  # (batch, 1) int32: number of expanded prefixes
    diverged: tf.Tensor  # (batch, 1) bool: the decoder returned no distribution


@keras.saving.register_keras_serializable(package="keras_s2s")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ExactSearch(Search):
    """Exact search: finds the outputs with the best scores and proves that they are the best.

    The search is branch and bound. A log probability can only decrease as a prefix grows, so
    `log_prob / max_length**length_penalty` of a prefix is an upper bound on the scores of all
    outputs that begin with it. A beam search finds the first outputs. A prefix is dropped if its
    bound does not beat the best outputs found so far. The smaller `max_length`, the tighter the
    bound, so set `max_length_ratio` too. A batch takes as long as its hardest row.

    `certified` of the result is true for a row whose outputs are proved to be the best. It is false
    if the search dropped a prefix that could lead to a better output: because of `max_nodes`,
    `max_open` or `max_bytes`, or because its last token is not among the 64 most probable. The row
    then has the best outputs found, never worse than the finished ones of the beam search. If fewer
    than `num_hypotheses` outputs can end, unfinished hypotheses of the beam search fill the
    remaining slots.

    Args:
        num_hypotheses: Number of hypotheses returned per row. Defaults to 1.
        beam_width: Width of the beam search that runs first. Defaults to 5.
        max_nodes: Maximum number of expanded prefixes per row. Defaults to 10,000.
        max_open: Maximum number of open prefixes per row. Defaults to 4096.
        max_bytes: Maximum memory for the open prefixes of all rows. It includes their decoder
            states, and a copy of the encoded source for each group of 8 prefixes that a step
            expands. With many rows, fewer than `max_open` prefixes per row may fit, and fewer than
            `nodes_per_step` may be expanded together. Defaults to 268,435,456 (256 MiB).
        nodes_per_step: Number of prefixes per row to expand together. Defaults to 32.
        **settings: `max_length`, `max_length_ratio`, `min_length`, `length_penalty`,
            `length_penalty_formula`, `suppress_ids`, `no_repeat_ngram_size` and `lexicon`:
            see `Search`.

    Returns:
        When called, a `SearchResult` with `certified` and `nodes`.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> import tensorflow as tf
        >>> search = ExactSearch(max_length=3)
        >>> def step(token_ids, state):  # eos (3) is a little more probable than id 4
        ...     logits = tf.constant([[-9.0, -9.0, -9.0, 0.1, 0.0]])
        ...     return tf.repeat(logits, tf.size(token_ids), axis=0), state
        >>> found = search(step, state=(), batch_size=1, vocabulary_size=5)
        >>> found.ids.numpy(), found.certified.numpy()
        (array([[[3, 0, 0]]], dtype=int32), array([ True]))

    References:
        - [On NMT search errors and model errors: cat got your tongue? (Stahlberg and Byrne, 2019)](
          https://arxiv.org/abs/1908.10090)
    """

    num_hypotheses: int = 1
    beam_width: int = 5
    max_nodes: int = 10_000
    max_open: int = 4096
    max_bytes: int = 2**28
    nodes_per_step: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, maximum in (
            ("num_hypotheses", MAX_HYPOTHESES),
            ("beam_width", MAX_HYPOTHESES),
            ("max_nodes", tf.int32.max),
            ("max_open", tf.int32.max),
            ("max_bytes", 2**60),
            ("nodes_per_step", MAX_HYPOTHESES),
        ):
            self._keep_count(name, maximum)

    @property
    def hypotheses_per_step(self) -> int:
        """Number of hypotheses of each source that a call of `step` extends, at most."""
        return self.nodes_per_step

    def _search(self, task: SearchTask) -> SearchResult:
        known = beam_search_like(self, self.beam_width, self.num_hypotheses)._search(task)
        finished_scores = tf.where(known.finished, known.scores, IMPOSSIBLE)
        to_beat = finished_scores[:, self.num_hypotheses - 1 :]  # (batch, 1)
        limits = self._limits(task)
        first = self._first_state(task)
        (last,) = tf.while_loop(
            lambda state: tf.reduce_any(state.open.log_probs > POSSIBLE),
            lambda state: (self._expand(state, to_beat, limits, task),),
            (first,),
            shape_invariants=(_loop_shapes(first),),
        )
        ids = tf.concat([known.ids, last.best.ids], axis=1)
        log_probs = tf.concat([known.log_probs, last.best.log_probs], axis=1)
        log_probs = tf.where(last.diverged, tf.constant(float("nan")), log_probs)
        scores = tf.concat([known.scores, last.best.scores], axis=1)
        found = rank_hypotheses(ids, mask_duplicates(ids, log_probs), scores, self.num_hypotheses)
        worst = tf.where(found.finished, found.scores, IMPOSSIBLE)[:, self.num_hypotheses - 1 :]
        # If no prefix was dropped, `pruned` is IMPOSSIBLE, like the score of a missing output.
        certified = (task.score_bound(last.pruned) <= worst) | (last.pruned <= POSSIBLE)
        certified &= tf.logical_not(tf.math.is_nan(found.scores[:, :1]))
        return found._replace(certified=tf.squeeze(certified, 1), nodes=tf.squeeze(last.nodes, 1))

    def _first_state(self, task: SearchTask) -> ExactState:
        """Return the state before bos, with the empty prefix."""
        rows, longest, number = task.batch_size, task.longest, self.num_hypotheses
        return ExactState(
            open=OpenPrefixes(
                lengths=tf.zeros([rows, 1], tf.int32),
                log_probs=tf.zeros([rows, 1]),
                last_ids=tf.fill([rows, 1], BOS_ID),
                slots=tf.expand_dims(tf.range(rows), 1),
                ids=tf.fill([rows, longest], PAD_ID),
                hypotheses=task.state,
            ),
            best=BestOutputs(
                ids=tf.fill([rows, number, longest], PAD_ID),
                log_probs=tf.fill([rows, number], IMPOSSIBLE),
                scores=tf.fill([rows, number], IMPOSSIBLE),
            ),
            pruned=tf.fill([rows, 1], IMPOSSIBLE),
            nodes=tf.zeros([rows, 1], tf.int32),
            diverged=tf.fill([rows, 1], False),
        )

    def _limits(self, task: SearchTask) -> Limits:
        """Compute the numbers of prefixes of a row that fit into `max_bytes`."""
        rows = tf.cast(tf.maximum(task.batch_size, 1), tf.float32)
        # A step copies what it reads of each row once for each group, at least once.
        copies_bytes = rows * task.step.row_bytes
        groups = float(-(-self.nodes_per_step // _GROUP))
        groups = tf.floor(
            tf.clip_by_value(self.max_bytes / 2 / tf.maximum(copies_bytes, 1.0), 1.0, groups)
        )
        bytes_left = self.max_bytes - groups * copies_bytes
        ids_bytes = 4.0 * tf.cast(task.longest, tf.float32)
        prefix_bytes = ids_bytes + row_bytes(task.state, task.batch_size)
        # Three copies exist at once: the old prefixes, old prefixes with children, and the new
        # ones.
        fit = bytes_left / (3.0 * rows * prefix_bytes)
        return Limits(
            open=tf.cast(tf.clip_by_value(fit, 1.0, float(self.max_open)), tf.int32),
            expanded=tf.minimum(tf.cast(groups, tf.int32) * _GROUP, self.nodes_per_step),
        )

    def _expand(
        self, state: ExactState, to_beat: tf.Tensor, limits: Limits, task: SearchTask
    ) -> ExactState:
        """Continue the first open prefixes by every token, and keep those worth expanding."""
        count = tf.minimum(tf.shape(state.open.slots)[1], limits.expanded)
        chosen = state.open.first(count)
        # Drop the prefixes beyond the budget of the row.
        affordable = state.nodes + tf.range(count) < self.max_nodes
        pruned = [state.pruned, largest(chosen.log_probs, tf.logical_not(affordable))]
        chosen = chosen._replace(log_probs=tf.where(affordable, chosen.log_probs, IMPOSSIBLE))
        expanded = tf.cast(chosen.log_probs > POSSIBLE, tf.int32)
        nodes = state.nodes + tf.reduce_sum(expanded, axis=1, keepdims=True)

        children, hypotheses, unseen = self._expand_prefixes(chosen, count, task)
        # If the decoder returned no distribution for a prefix, the row cannot be certified.
        diverged = tf.reduce_any(tf.math.is_nan(children.log_probs), axis=1, keepdims=True)
        diverged |= state.diverged
        best = self._best_outputs(state.best, children, chosen, task)
        worst = tf.maximum(best.scores[:, self.num_hypotheses - 1 :], to_beat)
        waits = _may_beat(state.open, count, children, worst, task)
        log_probs = tf.concat([state.open.log_probs, children.log_probs], axis=1)
        spent = (nodes >= self.max_nodes) | diverged
        pruned += [unseen, largest(log_probs, waits & spent)]
        open_, dropped = merge_open(
            state.open, children, hypotheses, waits & tf.logical_not(spent), limits.open
        )
        pruned = functools.reduce(tf.maximum, [*pruned, dropped])
        return ExactState(open_, best, pruned, nodes, diverged)

    def _expand_prefixes(
        self, chosen: OpenPrefixes, count: tf.Tensor, task: SearchTask
    ) -> tuple[Children, HypothesisState, tf.Tensor]:
        """Return the best continuations, the states of their prefixes, and a bound on the rest."""
        rows, size = tf.shape(chosen.slots)[0], task.step.vocabulary_size
        next_tokens, hypotheses, places = _step_prefixes(chosen, task)
        candidates = next_tokens.best(min(_MAX_CHILDREN, size))
        flat_places = tf.reshape(places, [-1])
        candidates = Candidates(*(tf.gather(part, flat_places) for part in candidates))
        considered = candidates.ids.shape[1]
        log_probs = tf.reshape(chosen.log_probs, [-1, 1])
        log_probs = tf.where(log_probs > POSSIBLE, log_probs + candidates.log_probs, IMPOSSIBLE)
        unseen = tf.fill([rows, 1], IMPOSSIBLE)
        if considered < size:
            # If all these tokens are possible, there may be others, which are not more probable.
            possible = log_probs > POSSIBLE
            least = tf.reduce_min(tf.where(possible, log_probs, 0.0), axis=1)
            more = tf.reduce_sum(tf.cast(possible, tf.int32), axis=1) >= _MAX_CHILDREN
            unseen = largest(tf.reshape(least, [rows, count]), tf.reshape(more, [rows, count]))
        parents = tf.range(count * considered) // considered
        lengths = tf.gather(chosen.lengths, parents, axis=1) + 1
        candidates = Candidates(
            tf.reshape(log_probs, [rows, count * considered]),
            tf.reshape(candidates.ids, [rows, count * considered]),
        )
        if task.min_length is not None:
            candidates = candidates.forbid_eos(lengths < task.min_length)
        children = Children(candidates.ids, lengths, candidates.log_probs, parents, places)
        return children, hypotheses, unseen

    def _best_outputs(
        self, best: BestOutputs, children: Children, chosen: OpenPrefixes, task: SearchTask
    ) -> BestOutputs:
        """Merge the children that end into the best outputs found so far."""
        number = self.num_hypotheses
        ends = tf.equal(children.ids, EOS_ID) & (children.log_probs > POSSIBLE)
        scores = task.score(children.log_probs, children.lengths)
        scores = tf.concat([best.scores, tf.where(ends, scores, IMPOSSIBLE)], axis=1)
        scores, places = tf.math.top_k(scores, number)
        parents = tf.gather(children.parents, tf.maximum(places - number, 0))
        ids = tf.where(
            tf.expand_dims(places < number, 2),
            tf.gather(best.ids, tf.minimum(places, number - 1), batch_dims=1),
            chosen.append(parents, tf.fill(tf.shape(parents), EOS_ID)),
        )
        log_probs = tf.concat([best.log_probs, children.log_probs], axis=1)
        return BestOutputs(ids, tf.gather(log_probs, places, batch_dims=1), scores)


def _step_prefixes(
    chosen: OpenPrefixes, task: SearchTask
) -> tuple[NextTokens, HypothesisState, tf.Tensor]:
    """Run a step for the prefixes that are expanded, in groups of one row each.

    Rows have different numbers of prefixes. Without the groups, the step would compute as many for
    each row as for the row with the most.

    Returns:
        The next tokens and the new states of the prefixes, and the place of each prefix among
        them, int32 `(batch, prefixes)`. Prefixes that are not expanded have any place.
    """
    rows, count = tf.shape(chosen.slots)[0], tf.shape(chosen.slots)[1]
    if not task.step.selects_rows:
        last_ids, slots = (tf.reshape(part, [-1]) for part in (chosen.last_ids, chosen.slots))
        places = tf.reshape(tf.range(rows * count), [rows, count])
        return *task.step(last_ids, gather_state(chosen.hypotheses, slots)), places
    size = tf.minimum(count, _GROUP)
    num_groups = (count + size - 1) // size  # of each row

    def group(values: tf.Tensor) -> tf.Tensor:
        values = tf.pad(values, [[0, 0], [0, num_groups * size - count]])
        return tf.reshape(values, [rows * num_groups, size])

    busy = tf.reduce_any(group(tf.cast(chosen.log_probs > POSSIBLE, tf.int32)) > 0, axis=1)
    busy |= tf.logical_not(tf.reduce_any(busy))  # a step needs a row
    groups = tf.cast(tf.reshape(tf.where(busy), [-1]), tf.int32)
    last_ids, slots = (
        tf.reshape(tf.gather(group(part), groups), [-1]) for part in (chosen.last_ids, chosen.slots)
    )
    step = task.step.for_rows(groups // num_groups)
    next_tokens, hypotheses = step(last_ids, gather_state(chosen.hypotheses, slots))
    starts = tf.maximum(tf.cumsum(tf.cast(busy, tf.int32)) - 1, 0) * size
    places = tf.reshape(tf.expand_dims(starts, 1) + tf.range(size), [rows, num_groups * size])
    return next_tokens, hypotheses, places[:, :count]


def _may_beat(
    open_: OpenPrefixes,
    count: tf.Tensor,
    children: Children,
    worst: tf.Tensor,
    task: SearchTask,
) -> tf.Tensor:
    """Return which prefixes may lead to a better output: bool `(batch, room + children)`."""
    # The first `count` prefixes have just been expanded. Children that have ended, or that leave
    # no space for eos, cannot be expanded.
    left = tf.broadcast_to(tf.range(tf.shape(open_.slots)[1]) >= count, tf.shape(open_.lengths))
    continues = tf.not_equal(children.ids, EOS_ID) & (children.lengths < task.max_length)
    log_probs = tf.concat([open_.log_probs, children.log_probs], axis=1)
    possible = tf.concat([left, continues], axis=1) & (log_probs > POSSIBLE)
    return possible & (task.score_bound(log_probs) > worst)


def _loop_shapes(state: ExactState) -> ExactState:
    """Return the shapes that stay the same in the loop. The room for open prefixes varies."""
    varies = tf.TensorShape([None, None])
    shapes = loop_shapes(state)
    return shapes._replace(
        open=shapes.open._replace(lengths=varies, log_probs=varies, last_ids=varies, slots=varies)
    )
