"""Exhaustive search: score every possible output."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from keras_s2s import checks
from keras_s2s.search.base import Search
from keras_s2s.search.result import SearchResult, make_result
from keras_s2s.search.step import IMPOSSIBLE, NEVER_EMITTED, POSSIBLE, gather_state
from keras_s2s.search.task import SearchTask
from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID


@keras.saving.register_keras_serializable(package="keras_s2s")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ExhaustiveSearch(Search):
    """Exhaustive search: scores every output up to `max_length`, and returns the best.

    There are Σ_l m**(l - 1) outputs of l = 1 … max_length tokens, where m is the number of ids
    that may come before eos. It is only for small vocabularies and short outputs; `ExactSearch`
    finds the same outputs without this cost. Only finished hypotheses are returned. Of equals the
    shorter comes first, then the one with the lower ids.

    Args:
        max_length: Maximum number of tokens of an output, including eos. Limits given on a call
            can only be shorter. Defaults to 100.
        num_hypotheses: Number of hypotheses returned per row. Defaults to 1.
        max_outputs: Raise an error if there are more outputs than this. Defaults to 100,000.
        **settings: `max_length_ratio`, `min_length`, `length_penalty`, `length_penalty_formula`,
            `suppress_ids`, `no_repeat_ngram_size` and `lexicon` of every `Search`.

    Raises:
        ValueError: If a setting is out of its range; on a call, if there are too many outputs.

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
            raise ValueError(
                "`max_length` of an exhaustive search must be a positive integer. "
                "Received: max_length=None"
            )
        number = checks.check_positive_int("num_hypotheses", self.num_hypotheses)
        self._keep("num_hypotheses", number)
        self._keep("max_outputs", checks.check_positive_int("max_outputs", self.max_outputs))

    def count_outputs(self, vocabulary_size: int) -> int:
        """Return the number of outputs that the search scores."""
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
        self._refuse_too_many(task.step.vocabulary_size)
        inner_ids = self._inner_ids(task.step.vocabulary_size)
        rows, width = task.batch_size, 1  # prefixes of each row
        last_ids, hypotheses = tf.fill([rows], BOS_ID), task.state
        log_probs = tf.zeros([rows, 1])
        ended = []
        for length in range(1, self._depth + 1):
            next_tokens, hypotheses = task.step(last_ids, hypotheses)
            log_probs = log_probs + next_tokens.log_probs()  # (rows * width, vocabulary)
            ended.append(tf.reshape(log_probs[:, EOS_ID], [-1, width]))
            if length < self._depth:
                log_probs = tf.reshape(tf.gather(log_probs, inner_ids, axis=1), [-1, 1])
                last_ids = tf.tile(tf.constant(inner_ids), [rows * width])
                width *= len(inner_ids)
                parents = tf.range(rows * width) // len(inner_ids)
                hypotheses = gather_state(hypotheses, parents)
        return self._best(ended, inner_ids, task)

    def _best(
        self, ended: list[tf.Tensor], inner_ids: np.ndarray, task: SearchTask
    ) -> SearchResult:
        """Return the best outputs, given the log_probs of each length: `(batch, outputs)`."""
        widths = [log_probs.shape[1] for log_probs in ended]
        # The outputs of a row side by side, and enough empty ones to fill the result.
        log_probs = tf.pad(
            tf.concat(ended, axis=1),
            [[0, 0], [0, self.num_hypotheses]],
            constant_values=IMPOSSIBLE,
        )
        lengths = np.repeat(np.arange(1, len(widths) + 1, dtype=np.int32), widths)
        lengths = np.pad(lengths, (0, self.num_hypotheses), constant_values=1)
        allowed = lengths <= task.max_length
        if task.min_length is not None:
            allowed = tf.logical_and(allowed, lengths >= task.min_length)
        log_probs = tf.where(allowed, log_probs, IMPOSSIBLE)
        scores = task.score(log_probs, tf.constant(lengths))
        scores = tf.where(log_probs > POSSIBLE, scores, IMPOSSIBLE)
        scores, chosen = tf.math.top_k(scores, self.num_hypotheses)
        starts = np.repeat(np.cumsum([0, *widths[:-1]]), widths).astype(np.int32)
        starts = np.pad(starts, (0, self.num_hypotheses))
        ids = _spell(
            chosen - tf.gather(starts, chosen), tf.gather(lengths, chosen), inner_ids, self._depth
        )
        return make_result(ids, tf.gather(log_probs, chosen, batch_dims=1), scores)

    def _refuse_too_many(self, vocabulary_size: int) -> None:
        """Raise `ValueError` if there are too many outputs."""
        count = self.count_outputs(vocabulary_size)
        if count > self.max_outputs:
            shown = f"{count:,}" if count < 10**15 else f"more than 10**{len(str(count)) - 1}"
            raise ValueError(
                f"An exhaustive search must have at most max_outputs={self.max_outputs} outputs. "
                f"Received: {shown} outputs, by max_length={self.max_length} and "
                f"vocabulary_size={vocabulary_size}; `ExactSearch` may serve instead"
            )


def _spell(numbers: tf.Tensor, lengths: tf.Tensor, inner_ids: np.ndarray, depth: int) -> tf.Tensor:
    """Return the ids of outputs, given their numbers among those of equal length.

    The ids before eos are the digits of the number, the last token's last.

    Returns:
        int32 `(batch, outputs, depth)`.
    """
    base = len(inner_ids)
    columns = []
    for place in range(depth):
        # Weight of the digit; outputs too short for it have none.
        weights = np.array([base ** max(0, length - 2 - place) for length in range(depth + 1)])
        digits = numbers // tf.gather(weights.astype(np.int32), lengths) % max(base, 1)
        column = tf.where(place + 1 < lengths, tf.gather(inner_ids, digits), PAD_ID)
        columns.append(tf.where(tf.equal(place + 1, lengths), EOS_ID, column))
    return tf.stack(columns, axis=2)
