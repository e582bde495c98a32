"""Trace of a beam search: the candidates of each step, and which were kept, ended or pruned."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_s2s.checks import check_int, short_repr
from keras_s2s.convergence import check_converged
from keras_s2s.errors import InputError
from keras_s2s.search import BeamSearch, GreedySearch, Search
from keras_s2s.search.beam import BeamState, LoopConstants
from keras_s2s.search.result import SearchResult
from keras_s2s.search.step import State, StepFunction
from keras_s2s.search.task import SearchTask
from keras_s2s.special_ids import EOS_ID, IMPOSSIBLE, PAD_ID, POSSIBLE


class Candidate(NamedTuple):
    """Hypothesis that a search considered."""

    ids: tuple[int, ...]  # all tokens of the hypothesis
    log_prob: float  # of all tokens
    fate: str  # "live", "finished" (it ended) or "pruned" (it was not kept)
    score: float | None = None  # of a hypothesis that ended or is in the result


class BeamTrace(NamedTuple):
    """Steps and result of a beam search over one row."""

    steps: tuple[tuple[Candidate, ...], ...]  # candidates of each step, most probable first
    outputs: tuple[Candidate, ...]  # the result, best first

    @property
    def winner(self) -> Candidate:
        """The best hypothesis."""
        return self.outputs[0]


def trace_beam_search(
    step: StepFunction,
    state: State,
    vocabulary_size: int,
    search: Search,
    *,
    pruned: int = 3,
    **row_options: Any,
) -> BeamTrace:
    """Search one row, and record the candidates of each step.

    The search runs eagerly. Its result is the same as in a graph.

    Args:
        step: Step function; see `keras_s2s.BeamSearch`.
        state: Nested structure of tensors `(1, ...)`, the decoder's state before bos.
        vocabulary_size: Number of ids.
        search: A `BeamSearch`, or a `GreedySearch`, which is a beam search of width 1.
        pruned: Number of pruned continuations to record per step, the most probable ones. Defaults
            to 3.
        **row_options: `source_lengths`, `max_length`, `min_length`, `length_penalty` and `prefix`,
            as for the search.

    Returns:
        The `BeamTrace`.

    Raises:
        TypeError: If `search` is another search, or an argument has a wrong type.
        ValueError: If an argument is out of range, there is no output, or the model has diverged.

    Example:
        >>> def step(token_ids, state):  # id 4 twice as probable as eos (3)
        ...     logits = tf.math.log([[0.0, 0.0, 0.0, 1 / 3, 2 / 3]])
        ...     return tf.repeat(logits, tf.size(token_ids), axis=0), state
        >>> trace = s2s.plots.trace_beam_search(step, (), 5, s2s.BeamSearch(beam_width=1))
        >>> [(candidate.ids, candidate.fate) for candidate in trace.steps[0]]
        [((4,), 'live'), ((3,), 'pruned')]
    """
    check_int("pruned", pruned, minimum=0)
    traced = _TracedBeamSearch(pruned=pruned, **_settings(search))
    found = traced(step, state, 1, vocabulary_size, **row_options)
    check_converged(found.scores)
    outputs = _outputs(found)
    if not outputs:
        raise InputError(
            "The search found no output, so there is nothing to draw: its rules, such as `lexicon` "
            "and `suppress_ids`, and the step function allow none."
        )
    return BeamTrace(tuple(traced.steps), outputs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _TracedBeamSearch(BeamSearch):
    """Beam search that records its steps. It runs eagerly, for one row."""

    pruned: int
    steps: list[tuple[Candidate, ...]] = dataclasses.field(default_factory=list)

    def _advance(self, state: BeamState, task: SearchTask, constants: LoopConstants) -> BeamState:
        after = super()._advance(state, task, constants)
        length = int(after.length)
        chosen = [*_finished(after, length, self._width), *_live(after, length, self._width)]
        log_probs = self._continuations(state, task)
        candidates = [*chosen, *self._pruned(state, log_probs, {one.ids for one in chosen})]
        # `sorted` is stable, so of equal candidates the chosen ones come first.
        self.steps.append(tuple(sorted(candidates, key=lambda one: -one.log_prob)))
        return after

    def _continuations(self, state: BeamState, task: SearchTask) -> np.ndarray:
        """Compute the log probability of every continuation: `(beam, vocabulary)`."""
        next_tokens, _ = task.step(state.last_ids, state.hypotheses)
        log_probs = np.array(state.live_log_probs[0][:, tf.newaxis] + next_tokens.log_probs())
        shortest = task.min_length
        if shortest is not None and int(state.length) + 1 < int(tf.reshape(shortest, [-1])[0]):
            log_probs[:, EOS_ID] = IMPOSSIBLE
        return log_probs

    def _pruned(
        self, state: BeamState, log_probs: np.ndarray, chosen: set[tuple[int, ...]]
    ) -> list[Candidate]:
        """Return the most probable continuations that were not chosen."""
        live = state.ids.numpy()[0, : self._width, : int(state.length)]
        best = np.argsort(-log_probs, axis=None, kind="stable")[: self.pruned + len(chosen)]
        pruned = []
        for parent, id_ in zip(*np.unravel_index(best, log_probs.shape), strict=True):
            ids = (*live[parent].tolist(), int(id_))
            if log_probs[parent, id_] > POSSIBLE and ids not in chosen:
                pruned.append(Candidate(ids, float(log_probs[parent, id_]), "pruned"))
        return pruned[: self.pruned]


def _live(after: BeamState, length: int, beam: int) -> list[Candidate]:
    """Return the live hypotheses after a step."""
    ids = after.ids.numpy()[0, :beam, :length].tolist()
    log_probs = after.live_log_probs.numpy()[0].tolist()
    return [
        Candidate(tuple(tokens), log_prob, "live")
        for tokens, log_prob in zip(ids, log_probs, strict=True)
        if log_prob > POSSIBLE
    ]


def _finished(after: BeamState, length: int, beam: int) -> list[Candidate]:
    """Return the finished hypotheses that ended in a step."""
    ids = after.ids.numpy()[0, beam:, : length - 1].tolist()  # without eos
    log_probs = after.finished_log_probs.numpy()[0].tolist()
    scores = after.finished_scores.numpy()[0].tolist()
    return [
        Candidate((*tokens, EOS_ID), log_prob, "finished", score)
        for tokens, log_prob, score in zip(ids, log_probs, scores, strict=True)
        if score > IMPOSSIBLE and PAD_ID not in tokens
    ]


def _outputs(found: SearchResult) -> tuple[Candidate, ...]:
    """Return the hypotheses of the result."""
    outputs = []
    for ids, length, log_prob, score, finished in zip(
        *(tensor.numpy()[0].tolist() for tensor in found[:5]), strict=True
    ):
        if length:
            fate = "finished" if finished else "live"
            outputs.append(Candidate(tuple(ids[:length]), log_prob, fate, score))
    return tuple(outputs)


def _settings(search: Any) -> dict[str, Any]:
    """Return the settings of a beam search. A greedy search is a beam search of width 1."""
    if type(search) not in (BeamSearch, GreedySearch):
        raise TypeError(
            "`search` must be a `BeamSearch` or a `GreedySearch`. Other searches cannot be drawn. "
            f"Received: search={short_repr(search)}"
        )
    settings = {field.name: getattr(search, field.name) for field in dataclasses.fields(search)}
    if isinstance(search, BeamSearch):
        return settings
    return {**settings, "beam_width": 1, "stopping": "finished"}
