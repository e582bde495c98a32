"""Greedy search and sampling: choose one token per hypothesis at each step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_s2s import checks
from keras_s2s.errors import InputError
from keras_s2s.search.base import Search
from keras_s2s.search.result import SearchResult, make_result, rank_hypotheses
from keras_s2s.search.step import Candidates, HypothesisState, NextTokens, loop_shapes
from keras_s2s.search.task import SearchTask
from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID, POSSIBLE

# Below this value, division by the temperature overflows float32.
MIN_TEMPERATURE = 1e-6
MAX_TEMPERATURE = 1e6
MAX_SAMPLES = 1_000_000

ChooseToken = Callable[[NextTokens, tf.Tensor], Candidates]
"""`choose(next_tokens, length) -> Candidates` with one token for each row, `(rows, 1)`."""


class RowState(NamedTuple):
    """Loop state of a search with one hypothesis per row."""

    length: tf.Tensor  # () int32: number of tokens of every hypothesis that is not done
    ids: tf.Tensor  # (rows, longest) int32
    last_ids: tf.Tensor  # (rows,) int32: last token of every hypothesis
    log_probs: tf.Tensor  # (rows, 1) float32
    done: tf.Tensor  # (rows, 1) bool
    hypotheses: HypothesisState  # nest of (rows, ...)


def choose_until_eos(task: SearchTask, choose: ChooseToken) -> tuple[tf.Tensor, tf.Tensor]:
    """Choose one token per row at each step, until eos or the maximum length.

    Args:
        task: Task with the rows to search.
        choose: Function that chooses the next token of each row.

    Returns:
        The ids `(rows, longest)` and their log probabilities `(rows, 1)`.
    """
    rows = task.batch_size
    positions = tf.range(task.longest)

    def advance(state: RowState) -> RowState:
        next_tokens, hypotheses = task.step(state.last_ids, state.hypotheses)
        chosen = choose(next_tokens, state.length)
        ids = tf.where(state.done, PAD_ID, chosen.ids)
        log_probs = state.log_probs + tf.where(state.done, 0.0, chosen.log_probs)
        length = state.length + 1
        ended = tf.equal(ids, EOS_ID) | (length >= task.max_length)
        possible = log_probs > POSSIBLE  # false for NaN too
        return RowState(
            length=length,
            ids=tf.where(tf.equal(positions, state.length), ids, state.ids),
            last_ids=tf.reshape(ids, [-1]),
            log_probs=log_probs,
            done=state.done | ended | tf.logical_not(possible),
            hypotheses=hypotheses,
        )

    first = RowState(
        length=tf.constant(0),
        ids=tf.fill([rows, task.longest], PAD_ID),
        last_ids=tf.fill([rows], BOS_ID),
        log_probs=tf.zeros([rows, 1]),
        done=tf.fill([rows, 1], False),
        hypotheses=task.state,
    )
    (last,) = tf.while_loop(
        lambda state: tf.logical_not(tf.reduce_all(state.done)),
        lambda state: (advance(state),),
        (first,),
        shape_invariants=(loop_shapes(first),),
    )
    return last.ids, last.log_probs


@keras.saving.register_keras_serializable(package="keras_s2s")
@dataclasses.dataclass(frozen=True, kw_only=True)
class GreedySearch(Search):
    """Greedy search: chooses the most probable token at each step, until eos or `max_length`.

    The output is that of `BeamSearch(beam_width=1, stopping="finished")`, with less work. Of
    equally probable tokens, the one with the lower id is chosen.

    Args:
        **settings: `max_length`, `max_length_ratio`, `min_length`, `length_penalty`,
            `length_penalty_formula`, `suppress_ids`, `no_repeat_ngram_size` and `lexicon`:
            see `Search`.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> import tensorflow as tf
        >>> search = GreedySearch(max_length=3)
        >>> def step(token_ids, state):  # id 4 is always the most probable
        ...     return tf.one_hot(tf.fill(tf.shape(token_ids), 4), 5), state
        >>> search(step, state=(), batch_size=1, vocabulary_size=5).ids.numpy()
        array([[[4, 4, 4]]], dtype=int32)
    """

    def _search(self, task: SearchTask) -> SearchResult:
        def most_probable(next_tokens: NextTokens, length: tf.Tensor) -> Candidates:
            # If the best token is an eos that comes too early, use the second best.
            candidates = next_tokens.best(1 if task.min_length is None else 2)
            if task.min_length is not None:
                candidates = candidates.forbid_eos(length + 1 < task.min_length)
            log_probs, positions = tf.math.top_k(candidates.log_probs, 1)
            return Candidates(log_probs, tf.gather(candidates.ids, positions, batch_dims=1))

        ids, log_probs = choose_until_eos(task, most_probable)
        ids = tf.expand_dims(ids, 1)  # (batch, 1, longest)
        return make_result(ids, log_probs, task.score_ids(log_probs, ids))


@keras.saving.register_keras_serializable(package="keras_s2s")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling(Search):
    """Sampling: draws each token from the distribution of the model, until eos or `max_length`.

    The samples of a row depend only on the row, the seed and the index of the sample. The same seed
    gives the same outputs in every run and every runtime, regardless of the rest of the batch. To
    get different outputs for equal rows, pass one seed per row in the call. The samples of a row
    are sorted by score and may contain duplicates.

    Args:
        num_hypotheses: Number of samples drawn for each row, at most 1,000,000. Defaults to 1.
        temperature: Number from 1e-6 to 1e6. Probabilities are raised to `1 / temperature` before a
            token is drawn. Values below 1 favor probable tokens. The log_probs of the result do
            not depend on the temperature. Defaults to 1.
        top_k: Draw only from this number of most probable tokens. `None` draws from all tokens.
            Defaults to `None`.
        top_p: Draw only from the most probable tokens whose total probability reaches this value,
            above 0 and at most 1. `None` draws from all tokens. Applied after `top_k`. Defaults to
            `None`.
        seed: Any 32-bit integer. Defaults to 0.
        **settings: `max_length`, `max_length_ratio`, `min_length`, `length_penalty`,
            `length_penalty_formula`, `suppress_ids`, `no_repeat_ngram_size` and `lexicon`:
            see `Search`.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> import tensorflow as tf
        >>> search = Sampling(num_hypotheses=3, max_length=2, seed=1)
        >>> def step(token_ids, state):  # id 4 is three times as probable as eos (3)
        ...     logits = tf.math.log(tf.constant([[1e-9, 1e-9, 1e-9, 0.25, 0.75]]))
        ...     return tf.repeat(logits, tf.size(token_ids), axis=0), state
        >>> search(step, state=(), batch_size=1, vocabulary_size=5).ids.shape
        TensorShape([1, 3, 2])

    References:
        - [Hierarchical neural story generation (Fan et al., 2018)](
          https://arxiv.org/abs/1805.04833), for top-k
        - [The curious case of neural text degeneration (Holtzman et al., 2020)](
          https://arxiv.org/abs/1904.09751), for top-p
    """

    num_hypotheses: int = 1
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep_count("num_hypotheses", MAX_SAMPLES)
        temperature = checks.check_number(
            "temperature",
            self.temperature,
            minimum=MIN_TEMPERATURE,
            maximum=MAX_TEMPERATURE,
            expected=f"a number between {MIN_TEMPERATURE:g} and {MAX_TEMPERATURE:,.0f}. For the "
            "most probable tokens, use `GreedySearch`",
        )
        self._keep("temperature", temperature)
        if self.top_k is not None:
            self._keep_count("top_k", tf.int32.max - 1)
        if self.top_p is not None:
            self._keep("top_p", checks.check_number("top_p", self.top_p, above=0.0, maximum=1.0))
        seed = checks.check_int(
            "seed", self.seed, minimum=tf.int32.min, expected="a 32-bit integer"
        )
        if seed > tf.int32.max:
            raise InputError(f"`seed` must be a 32-bit integer. Received: seed={seed}")
        self._keep("seed", seed)

    @property
    def hypotheses_per_step(self) -> int:
        """Number of hypotheses of each source that a call of `step` extends."""
        return self.num_hypotheses

    @property
    def _is_random(self) -> bool:
        return True

    def _search(self, task: SearchTask) -> SearchResult:
        number = self.num_hypotheses
        samples = task.repeat(number)
        seed = self.seed if samples.seed is None else samples.seed
        sample = tf.expand_dims(tf.range(samples.batch_size) % number, 1)

        def draw(next_tokens: NextTokens, length: tf.Tensor) -> Candidates:
            candidates = self._candidates(next_tokens, samples)
            if samples.min_length is not None:
                candidates = candidates.forbid_eos(length + 1 < samples.min_length)
            weights = self._weights(candidates.log_probs)
            position = draw_positions(weights, random_uniform(seed, sample, length))
            return Candidates(
                tf.gather(candidates.log_probs, position, batch_dims=1),
                tf.gather(candidates.ids, position, batch_dims=1),
            )

        ids, log_probs = choose_until_eos(samples, draw)
        ids = tf.reshape(ids, [-1, number, tf.shape(ids)[1]])
        log_probs = tf.reshape(log_probs, [-1, number])
        return rank_hypotheses(ids, log_probs, task.score_ids(log_probs, ids), number)

    def _candidates(self, next_tokens: NextTokens, task: SearchTask) -> Candidates:
        """Return the tokens to draw from: all by id, or the most probable by rank."""
        vocabulary_size = task.step.vocabulary_size
        if self.top_k is not None:
            # One more, because one candidate may be an eos that comes too early.
            count = self.top_k if task.min_length is None else self.top_k + 1
            return next_tokens.best(min(count, vocabulary_size))
        if self.top_p is not None:
            return next_tokens.best(vocabulary_size)
        log_probs = next_tokens.log_probs()
        ids = tf.expand_dims(tf.range(vocabulary_size), 0)
        return Candidates(log_probs, tf.tile(ids, [tf.shape(log_probs)[0], 1]))

    def _weights(self, log_probs: tf.Tensor) -> tf.Tensor:
        """Compute the relative probability of each token in the draw, 0 for excluded tokens."""
        drawable = log_probs > POSSIBLE
        if self.top_k is not None:
            ranks = tf.cumsum(tf.cast(drawable, tf.int32), axis=1)
            drawable = tf.logical_and(drawable, ranks <= self.top_k)
        relative = log_probs - tf.reduce_max(log_probs, axis=1, keepdims=True)
        weights = tf.where(drawable, tf.exp(relative / self.temperature), 0.0)
        if self.top_p is not None:
            more_probable = tf.cumsum(weights, axis=1, exclusive=True)
            total = tf.reduce_sum(weights, axis=1, keepdims=True)
            weights = tf.where(more_probable < self.top_p * total, weights, 0.0)
        return weights


def draw_positions(weights: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
    """Draw a position in each row, in proportion to the weights.

    Args:
        weights: float32 `(n, count)`, relative probabilities.
        shares: float32 `(n, 1)`, uniform random numbers in [0, 1).

    Returns:
        int32 `(n, 1)`, the first position whose cumulative weight exceeds this share of the total
        weight. The last position if all weights are 0.
    """
    cumulative = tf.cumsum(weights, axis=1)
    below = tf.cast(cumulative <= shares * cumulative[:, -1:], tf.int32)
    position = tf.reduce_sum(below, axis=1, keepdims=True)
    return tf.minimum(position, tf.shape(weights)[1] - 1)


_PRIME = 2**31 - 1  # products of two numbers below it fit into int64
_FINAL_ROUNDS = 4
# The first nine digits of π, e, √2, …: one constant for each round.
_CONSTANTS = (314159265, 271828182, 141421356, 173205080, 223606797, 264575131, 331662479)


def random_uniform(seed: tf.Tensor, *counters: tf.Tensor) -> tf.Tensor:
    """Compute a pseudorandom number in [0, 1) for each seed and set of counters.

    TensorFlow's generators do not run in LiteRT. This one consists of integer products, gives the
    same numbers in every runtime, and has no state. Each round adds a word and raises the sum to
    the fifth power modulo 2**31 - 1, which is a bijection and mixes the bits well.

    Args:
        seed: Integer tensor.
        *counters: At most three integer tensors that broadcast with `seed`.

    Returns:
        float32 tensor of the broadcast shape, multiples of 2**-24.

    References:
        - [MiMC: efficient encryption and cryptographic hashing with minimal multiplicative
          complexity (Albrecht et al., 2016)](https://eprint.iacr.org/2016/492)
    """
    words = [tf.cast(word, tf.int64) for word in (seed, *counters)]
    words += [tf.zeros([], tf.int64)] * (_FINAL_ROUNDS - 1)
    mixed = tf.zeros([], tf.int64)
    for word, constant in zip(words, _CONSTANTS, strict=False):
        mixed = _fifth_power(tf.math.floormod(mixed + word + constant, _PRIME))
    # Cast to int32, because LiteRT has no int64 division.
    return tf.cast(tf.cast(mixed, tf.int32) // 2**7, tf.float32) * 2.0**-24


def _fifth_power(number: tf.Tensor) -> tf.Tensor:
    """Compute the fifth power modulo `_PRIME`."""
    square = tf.math.floormod(number * number, _PRIME)
    return tf.math.floormod(tf.math.floormod(square * square, _PRIME) * number, _PRIME)
