"""The quickest search: the most probable token at each step."""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from keras_s2s.search.candidates import Candidates, forbid_eos
from keras_s2s.search.result import SearchResult, make_result
from keras_s2s.search.roll_out import roll_out
from keras_s2s.search.search import Search
from keras_s2s.search.search_step import Following
from keras_s2s.search.search_task import SearchTask


@keras.saving.register_keras_serializable(package="keras_s2s")
@dataclasses.dataclass(frozen=True, kw_only=True)
class GreedySearch(Search):
    """Takes the most probable token at each step until eos or `max_length`.

    It finds what a `BeamSearch` of width 1 finds, with less work. Of equally probable tokens the
    one with the lower id is taken.

    Args:
        **settings: `max_length`, `max_length_ratio`, `min_length`, `length_penalty`,
            `length_penalty_formula`, `suppress_ids`, `no_repeat_ngram_size` and `lexicon` of
            every `Search`.

    Raises:
        ValueError: If a setting is out of its range.

    Example:
        >>> import tensorflow as tf
        >>> search = GreedySearch(max_length=3)
        >>> def step(token_ids, state):  # always prefers id 4, whatever went before
        ...     return tf.one_hot(tf.fill(tf.shape(token_ids), 4), 5), state
        >>> search(step, state=(), batch_size=1, vocabulary_size=5).ids.numpy()
        array([[[4, 4, 4]]], dtype=int32)
    """

    def _search(self, task: SearchTask) -> SearchResult:
        limits = task.limits

        def most_probable(following: Following, length: tf.Tensor) -> Candidates:
            # Eos may be the best and yet forbidden, so look one further.
            candidates = following.best(1 if limits.min_length is None else 2)
            if limits.min_length is not None:
                candidates = forbid_eos(candidates, length + 1 < limits.min_length)
            log_probs, positions = tf.math.top_k(candidates.log_probs, 1)
            return Candidates(log_probs, tf.gather(candidates.ids, positions, batch_dims=1))

        ids, log_probs = roll_out(task, most_probable)
        ids = tf.expand_dims(ids, 1)  # (batch, 1, longest)
        return make_result(ids, log_probs, self._score_ids(log_probs, ids, limits))
