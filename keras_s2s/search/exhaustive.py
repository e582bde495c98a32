"""Exhaustive search: score every possible output."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from keras_s2s import checks
from keras_s2s.errors import InputError
from keras_s2s.search.base import Search
from keras_s2s.search.beam import beam_search_like
from keras_s2s.search.result import SearchResult, rank_hypotheses, spread_nan
from keras_s2s.search.step import NEVER_EMITTED, gather_state
from keras_s2s.search.task import SearchTask
from keras_s2s.search_limits import MAX_HYPOTHESES
from keras_s2s.special_ids import BOS_ID, EOS_ID, IMPOSSIBLE, PAD_ID, POSSIBLE


@keras.saving.register_keras_serializable(package="keras_s2s")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ExhaustiveSearch(Search):
    """Exhaustive search: scores every output of up to `max_length` tokens, and returns the best.

    There are Σ_l m**(l - 1) outputs of l = 1 … max_length tokens, where m is the number of ids that
    may come before eos. This search is only for small vocabularies and short outputs; `ExactSearch`
    finds the same outputs without this cost. Of equal scores, the shorter output comes first, then
    the one with the lower ids. Only finished hypotheses are returned. If no output can end, the
    unfinished hypotheses of a beam search of width 5 are returned, as in `ExactSearch`.

    Args:
        max_length: Maximum number of tokens in an output, including eos. A larger limit in a call
            has no effect. Defaults to 100.
        num_hypotheses: Number of hypotheses returned per row. Defaults to 1.
        max_outputs: Maximum number of outputs to score. Defaults to 100,000.
        **settings: `max_length_ratio`, `min_length`, `length_penalty`, `length_penalty_formula`,
            `suppress_ids`, `no_repeat_ngram_size` and `lexicon`: see `Search`.

    Raises:
        ValueError: If a setting is out of range or, in a call, there are too many outputs.

    Example:
        >>> import tensorflow as tf
        >>> search = ExhaustiveSearch(max_length=3, num_hypotheses=3)
        >>> def step(token_ids, state):  # id 4 and eos (3) are always equally probable
        ...     logits = tf.constant([[-9.0, -9.0, -9.0, 0.0, 0.0]])
        ...     return tf.repeat(logits, tf.size(token_ids), axis=0), state
        >>> search(step, state=(), batch_size=1, vocabulary_size=5).ids.numpy()
        array([[[3, 0, 0],
                [4, 3, 0],
                [4, 4, 3]]], dtype=int32)
    """

    num_hypotheses: int = 1
    max_outputs: int = 100_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_length is None:
            raise InputError(
                "`max_length` of an exhaustive search must be a positive integer. "
                "Received: max_length=None"
            )
        self._keep_count("num_hypotheses", MAX_HYPOTHESES)
        self._keep("max_outputs", checks.check_positive_int("max_outputs", self.max_outputs))

    def count_outputs(self, vocabulary_size: int) -> int:
        """Return the number of outputs that the search scores for a vocabulary of this size."""
        choices = len(self._inner_ids(vocabulary_size))
        return sum(choices**place for place in range(self._depth))

    @property
    def _depth(self) -> int:
        """Number of tokens of the longest output."""
        return int(self.max_length or 0)

    def _inner_ids(self, vocabulary_size: int) -> np.ndarray:
        """Return the ids that may come before eos."""
        outside = (*NEVER_EMITTED, EOS_ID, *self.suppress_ids)
        return np.setdiff1d(np.arange(vocabulary_size, dtype=np.int32), outside)

    def _search(self, task: SearchTask) -> SearchResult:
        self._check_num_outputs(task.step.vocabulary_size)
        task = task.limit(self._depth)
        ids, log_probs, scores = self._best(self._log_probs_by_length(task), task)
        known = beam_search_like(self, 5, self.num_hypotheses)._search(task)
        any_finished = tf.reduce_any(log_probs > POSSIBLE, axis=1, keepdims=True)
        unfinished = tf.where(any_finished, IMPOSSIBLE, known.log_probs)
        return rank_hypotheses(
            tf.concat([ids, known.ids], axis=1),
            tf.concat([log_probs, unfinished], axis=1),
            tf.concat([scores, known.scores], axis=1),
            self.num_hypotheses,
        )

    def _log_probs_by_length(self, task: SearchTask) -> list[tf.Tensor]:
        """Compute the log_probs of all outputs of each length: `(batch, outputs)`.

        All log_probs of a row that has diverged are NaN.
        """
        inner_ids = self._inner_ids(task.step.vocabulary_size)
        rows, width = task.batch_size, 1  # width: prefixes of each row
        last_ids, hypotheses = tf.fill([rows], BOS_ID), task.state
        prefix_log_probs = tf.zeros([rows, 1])
        ended = []
        for length in range(1, self._longest_possible(inner_ids) + 1):
            next_tokens, hypotheses = task.step(last_ids, hypotheses)
            possible = (prefix_log_probs > POSSIBLE) & _repeat_for_prefixes(
                length <= task.max_length, width
            )
            log_probs = prefix_log_probs + next_tokens.log_probs()  # (rows * width, vocabulary)
            log_probs = tf.where(possible, log_probs, IMPOSSIBLE)
            log_probs = tf.where(log_probs < IMPOSSIBLE, IMPOSSIBLE, log_probs)  # -inf; NaN stays
            nan = tf.reduce_sum(tf.reshape(log_probs, [rows, -1]), axis=1, keepdims=True) * 0.0
            ended.append(tf.reshape(log_probs[:, EOS_ID], [-1, width]) + nan)
            if length < self._depth:
                prefix_log_probs = tf.reshape(tf.gather(log_probs, inner_ids, axis=1), [-1, 1])
                last_ids = tf.tile(tf.constant(inner_ids), [rows * width])
                width *= len(inner_ids)
                parents = tf.range(rows * width) // max(len(inner_ids), 1)
                hypotheses = gather_state(hypotheses, parents)
        return ended

    def _best(
        self, ended: list[tf.Tensor], task: SearchTask
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return the best outputs: ids, log_probs and scores."""
        widths = [log_probs.shape[1] for log_probs in ended]
        # Concatenate the outputs of a row, and pad with empty slots to fill the result.
        log_probs = tf.pad(
            tf.concat(ended, axis=1),
            [[0, 0], [0, self.num_hypotheses]],
            constant_values=IMPOSSIBLE,
        )
        log_probs = spread_nan(log_probs)
        lengths = np.repeat(np.arange(1, len(widths) + 1, dtype=np.int32), widths)
        lengths = np.pad(lengths, (0, self.num_hypotheses), constant_values=1)
        if task.min_length is not None:
            too_short = (lengths < task.min_length) & (log_probs > POSSIBLE)
            log_probs = tf.where(too_short, IMPOSSIBLE, log_probs)
        scores = task.score(log_probs, tf.constant(lengths))
        scores = tf.where(log_probs > POSSIBLE, scores, IMPOSSIBLE)
        scores, chosen = tf.math.top_k(scores, self.num_hypotheses)
        starts = np.repeat(np.cumsum([0, *widths[:-1]]), widths).astype(np.int32)
        starts = np.pad(starts, (0, self.num_hypotheses))
        inner_ids = self._inner_ids(task.step.vocabulary_size)
        ids = _decode_outputs(
            chosen - tf.gather(starts, chosen), tf.gather(lengths, chosen), inner_ids, self._depth
        )
        return ids[:, :, : task.longest], tf.gather(log_probs, chosen, batch_dims=1), scores

    def _longest_possible(self, inner_ids: np.ndarray) -> int:
        """Return the number of tokens of the longest possible output."""
        return self._depth if len(inner_ids) else 1

    def _check_num_outputs(self, vocabulary_size: int) -> None:
        """Raise `ValueError` if there are too many outputs."""
        count = self.count_outputs(vocabulary_size)
        if count > self.max_outputs:
            shown = f"{count:,}" if count < 10**15 else f"more than 10**{len(str(count)) - 1}"
            raise InputError(
                f"An exhaustive search must have at most max_outputs={self.max_outputs} outputs. "
                f"Received: {shown} outputs, from max_length={self.max_length} and "
                f"vocabulary_size={vocabulary_size}. Use `ExactSearch` instead"
            )


def _repeat_for_prefixes(values: tf.Tensor, width: int) -> tf.Tensor:
    """Repeat values `(batch, 1)` for the prefixes of each row: `(batch * width, 1)`."""
    return tf.reshape(tf.tile(values, [1, width]), [-1, 1])


def _decode_outputs(
    numbers: tf.Tensor, lengths: tf.Tensor, inner_ids: np.ndarray, depth: int
) -> tf.Tensor:
    """Return the ids of outputs, given their indices among the outputs of the same length.

    An index is a number whose base is the number of ids. Its digits are the ids before eos.

    Returns:
        int32 `(batch, outputs, depth)`.
    """
    base = len(inner_ids)
    inner_ids = inner_ids if base else np.array([PAD_ID], np.int32)
    columns = []
    for place in range(depth):
        # Place value of the digit. It is not used for outputs without this token.
        weights = np.array([base ** max(0, length - 2 - place) for length in range(depth + 1)])
        digits = numbers // tf.gather(weights.astype(np.int32), lengths) % max(base, 1)
        column = tf.where(place + 1 < lengths, tf.gather(inner_ids, digits), PAD_ID)
        columns.append(tf.where(tf.equal(place + 1, lengths), EOS_ID, column))
    return tf.stack(columns, axis=2)
