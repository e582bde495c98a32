"""Outputs drawn at random, as probable as the model says."""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from keras_s2s import checks
from keras_s2s.search.candidates import Candidates, forbid_eos
from keras_s2s.search.counter_random import uniform
from keras_s2s.search.result import POSSIBLE, SearchResult, rank_hypotheses
from keras_s2s.search.roll_out import roll_out
from keras_s2s.search.search import Search
from keras_s2s.search.search_step import Following
from keras_s2s.search.search_task import SearchTask


@keras.saving.register_keras_serializable(package="keras_s2s")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling(Search):
    """Draws each token from the probabilities of the model, until eos or `max_length`.

    What is drawn for a row depends on the row, the seed and the number of the sample alone: the
    same seed gives the same outputs in every run and every runtime, whatever else is in the batch.
    Rows that are to differ by chance get seeds of their own when the search is called. The samples
    of a row are ordered by score, and may be equal.

    Args:
        num_hypotheses: How many samples are drawn for each row.
        temperature: Above 0. Probabilities are raised to `1 / temperature` before a token is drawn:
            below 1 the probable becomes more probable. The reported log_probs are the model's.
        top_k: Draw only from so many most probable tokens; None: from all.
        top_p: Draw only from the most probable tokens that together reach this probability, above 0
            and at most 1; None: from all. Works on what `top_k` leaves.
        seed: Any 32-bit integer.
        **settings: `max_length`, `max_length_ratio`, `min_length`, `length_penalty`,
            `length_penalty_formula`, `suppress_ids`, `no_repeat_ngram_size` and `lexicon` of
            every `Search`.

    Raises:
        ValueError: If a setting is out of its range.

    Example:
        >>> import tensorflow as tf
        >>> search = Sampling(num_hypotheses=3, max_length=2, seed=1)
        >>> def step(token_ids, state):  # id 4 three times as probable as eos (3)
        ...     logits = tf.math.log(tf.constant([[1e-9, 1e-9, 1e-9, 0.25, 0.75]]))
        ...     return tf.repeat(logits, tf.size(token_ids), axis=0), state
        >>> search(step, state=(), batch_size=1, vocabulary_size=5).ids.shape
        TensorShape([1, 3, 2])

    References:
        Fan et al. 2018, "Hierarchical Neural Story Generation" (top-k);
        Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration" (top-p).
    """

    num_hypotheses: int = 1
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        number = checks.check_positive_int("num_hypotheses", self.num_hypotheses)
        self._keep("num_hypotheses", number)
        temperature = checks.check_number("temperature", self.temperature, minimum=0.0)
        if temperature == 0.0:
            raise ValueError(
                "`temperature` must be above 0; `GreedySearch` takes the most probable. "
                "Received: temperature=0"
            )
        self._keep("temperature", temperature)
        if self.top_k is not None:
            self._keep("top_k", checks.check_positive_int("top_k", self.top_k))
        if self.top_p is not None:
            top_p = checks.check_number("top_p", self.top_p, minimum=0.0, maximum=1.0)
            if top_p == 0.0:
                raise ValueError("`top_p` must be above 0. Received: top_p=0")
            self._keep("top_p", top_p)
        self._keep("seed", checks.check_int("seed", self.seed, minimum=tf.int32.min))
        if self.seed > tf.int32.max:
            raise ValueError(f"`seed` must be a 32-bit integer. Received: seed={self.seed}")

    @property
    def _draws(self) -> bool:
        return True

    def _search(self, task: SearchTask) -> SearchResult:
        number = self.num_hypotheses
        samples = task.repeat(number)
        seed = self.seed if samples.seed is None else samples.seed
        sample = tf.expand_dims(tf.range(samples.batch_size) % number, 1)
        min_length = samples.limits.min_length

        def draw(following: Following, length: tf.Tensor) -> Candidates:
            candidates = self._candidates(following, looks_further=min_length is not None)
            if min_length is not None:
                candidates = forbid_eos(candidates, length + 1 < min_length)
            weights = self._weights(candidates.log_probs)
            place = draw_places(weights, uniform(seed, sample, length))
            return Candidates(
                tf.gather(candidates.log_probs, place, batch_dims=1),
                tf.gather(candidates.ids, place, batch_dims=1),
            )

        ids, log_probs = roll_out(samples, draw)
        ids = tf.reshape(ids, [-1, number, tf.shape(ids)[1]])
        log_probs = tf.reshape(log_probs, [-1, number])
        scores = self._score_ids(log_probs, ids, task.limits)
        return rank_hypotheses(ids, log_probs, scores, number)

    def _candidates(self, following: Following, *, looks_further: bool) -> Candidates:
        """Give the tokens to draw from: all by id, or the most probable by their rank."""
        vocabulary_size = following.logits.shape[1]
        if self.top_k is not None:
            # Eos may be among them and yet forbidden.
            return following.best(min(self.top_k + looks_further, vocabulary_size))
        if self.top_p is not None:
            return following.best(vocabulary_size)
        log_probs = following.log_probs()
        ids = tf.expand_dims(tf.range(vocabulary_size), 0)
        return Candidates(log_probs, tf.tile(ids, [tf.shape(log_probs)[0], 1]))

    def _weights(self, log_probs: tf.Tensor) -> tf.Tensor:
        """Give what the tokens' chances are proportional to, 0 for those not to be drawn."""
        drawable = log_probs > POSSIBLE
        if self.top_k is not None:
            ranks = tf.cumsum(tf.cast(drawable, tf.int32), axis=1)
            drawable = tf.logical_and(drawable, ranks <= self.top_k)
        log_weights = (
            log_probs - tf.reduce_max(log_probs, axis=1, keepdims=True)
        ) / self.temperature
        weights = tf.where(drawable, tf.exp(log_weights), 0.0)
        if self.top_p is not None:
            more_probable = tf.cumsum(weights, axis=1, exclusive=True)
            whole = tf.reduce_sum(weights, axis=1, keepdims=True)
            weights = tf.where(more_probable < self.top_p * whole, weights, 0.0)
        return weights


def draw_places(weights: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
    """Draw a place in each row: the first whose cumulative weight is above a share of the whole.

    Args:
        weights: float32 `(n, count)`, what the chances are proportional to.
        shares: float32 `(n, 1)`, drawn evenly from [0, 1).

    Returns:
        int32 `(n, 1)`; the last place where all weights are 0.
    """
    cumulative = tf.cumsum(weights, axis=1)
    below = tf.cast(cumulative <= shares * cumulative[:, -1:], tf.int32)
    place = tf.reduce_sum(below, axis=1, keepdims=True)
    return tf.minimum(place, tf.shape(weights)[1] - 1)
