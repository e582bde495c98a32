"""What all searches have in common: their settings and their public door."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

import keras
import tensorflow as tf

from keras_s2s import checks
from keras_s2s.search.attention import replay_attention
from keras_s2s.search.length_penalty import FORMULAS, length_divisor
from keras_s2s.search.lexicon import InLexicon, Lexicon
from keras_s2s.search.limits import (
    Limits,
    check_prefix,
    largest,
    length_limits,
    row_integers,
    row_values,
)
from keras_s2s.search.result import SearchResult, count_tokens
from keras_s2s.search.rules import BeginsWith, NoRepeatedNgram, Rule
from keras_s2s.search.search_step import SearchStep
from keras_s2s.search.search_task import SearchTask
from keras_s2s.search.step_function import State, StepFunction, check_state
from keras_s2s.special_ids import EOS_ID

SearchType = TypeVar("SearchType", bound="Search")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """A way to find the best output of a decoder, given as a step function.

    A search knows no model. It is a small value: it cannot be changed, equals another of the same
    settings, and can be stored in a Keras config.

    Args:
        max_length: The most tokens an output may have, eos counted. None only if
            `max_length_ratio` is given.
        max_length_ratio: Limits an output also to so many times the row's own source length
            (rounded up, at least 1). Needs `source_lengths` when the search is called.
        min_length: The fewest tokens an output may have, eos counted: eos is not emitted earlier.
        length_penalty: The exponent α ≥ 0 in `score = log_prob / length**α`; eos is counted.
        length_penalty_formula: "power" for `length**α`, "gnmt" for `((5 + length) / 6)**α`.
        suppress_ids: Ids that are never emitted, besides pad and bos. Not eos.
        no_repeat_ngram_size: So many tokens never follow one another twice; None: they may.
        lexicon: A `Lexicon`, or the sequences of ids to make one of: the only outputs allowed.
    """

    max_length: int | None = 100
    max_length_ratio: float | None = None
    min_length: int = 1
    length_penalty: float = 0.75
    length_penalty_formula: str = "power"
    suppress_ids: tuple[int, ...] = ()
    no_repeat_ngram_size: int | None = None
    lexicon: Lexicon | Sequence[Sequence[int]] | None = None

    def __post_init__(self) -> None:
        self._check_lengths()
        penalty = checks.check_number("length_penalty", self.length_penalty, minimum=0.0)
        self._keep("length_penalty", penalty)
        checks.check_choice("length_penalty_formula", self.length_penalty_formula, FORMULAS)
        suppressed = tuple(
            checks.check_int("suppress_ids", id_, minimum=0) for id_ in self.suppress_ids
        )
        if EOS_ID in suppressed:
            raise ValueError(
                f"`suppress_ids` must not hold eos ({EOS_ID}): no output could end. "
                f"Received: suppress_ids={suppressed}"
            )
        self._keep("suppress_ids", suppressed)
        if self.no_repeat_ngram_size is not None:
            size = checks.check_positive_int("no_repeat_ngram_size", self.no_repeat_ngram_size)
            self._keep("no_repeat_ngram_size", size)
        if self.lexicon is not None and not isinstance(self.lexicon, Lexicon):
            self._keep("lexicon", Lexicon(self.lexicon))

    def __call__(
        self,
        step: StepFunction,
        state: State,
        batch_size: int | tf.Tensor,
        vocabulary_size: int,
        *,
        source_lengths: tf.Tensor | None = None,
        max_length: tf.Tensor | None = None,
        min_length: tf.Tensor | None = None,
        length_penalty: tf.Tensor | None = None,
        prefix: tf.Tensor | None = None,
        seed: tf.Tensor | None = None,
        return_attention: bool = False,
    ) -> SearchResult:
        """Search for the best outputs of every row.

        The answer to a row depends on nothing but that row. Every hypothesis begins with bos,
        which is fed to `step` first and is not part of the output.

        Args:
            step: `step(token_ids (n,), state) -> (logits (n, vocabulary_size), state)`, with
                n = batch_size times the hypotheses that the search looks at together for a row,
                laid out row by row: all of row 0 first. May give attention, float
                `(n, source_length)`, as a third.
            state: Nest of tensors `(batch_size, ...)`, the decoder's state before bos. The search
                repeats it for each hypothesis, and reorders what `step` gives. None, or (), for a
                step without a state.
            batch_size: Number of rows, an integer or a scalar tensor. May be 0.
            vocabulary_size: Number of ids, the four special ones included.
            source_lengths: int32 `(batch,)`, tokens in each source, for `max_length_ratio` and a
                coverage penalty.
            max_length: int32 `(batch,)` or scalar, in place of the search's own limits.
            min_length: int32 `(batch,)` or scalar, in place of the search's own.
            length_penalty: float32 `(batch,)` or scalar, in place of the search's own.
            prefix: int32 `(batch, prefix_length)`: what the outputs of each row begin with, up to
                its first pad. The other rules hold for it too.
            seed: int32 `(batch,)` or scalar, in place of a `Sampling`'s own.
            return_attention: Whether the result has the attention, for which `step` must give it.

        Returns:
            A `SearchResult`.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If an argument has a wrong value or shape, or `step` gives wrong shapes.
        """
        if not callable(step):
            raise TypeError(f"`step` must be callable. Received: step={step!r}")
        self._check_seed(seed)
        rows = _check_batch_size(batch_size)
        size = checks.check_int("vocabulary_size", vocabulary_size, minimum=EOS_ID + 1)
        state = check_state(state, rows)
        source_lengths = row_integers("source_lengths", source_lengths, rows, minimum=0)
        limits = self._limits(rows, source_lengths, max_length, min_length, length_penalty)
        search_step = SearchStep(
            step,
            size,
            suppress_ids=self._suppress_ids(size),
            rules=self._rules(prefix, rows, size, limits),
            tracks_coverage=self.needs_attention,
        )
        seed = row_integers("seed", seed, rows, minimum=tf.int32.min)

        def run() -> SearchResult:
            carried = search_step.first(state, rows)
            found = self._search(
                SearchTask(search_step, carried, rows, limits, source_lengths, seed)
            )
            if not return_attention:
                return found
            attention = replay_attention(step, state, rows, size, found.ids)
            return found._replace(attention=attention)

        # There is no Python control flow over tensors in it: converting would only take time.
        return tf.autograph.experimental.do_not_convert(run)()

    @property
    def needs_attention(self) -> bool:
        """Whether `step` must give attention, for a coverage penalty."""
        return False

    def get_config(self) -> dict[str, Any]:
        """Give the settings, for `from_config`."""
        config = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if isinstance(self.lexicon, Lexicon):
            config["lexicon"] = keras.saving.serialize_keras_object(self.lexicon)
        return config

    @classmethod
    def from_config(cls: type[SearchType], config: dict[str, Any]) -> SearchType:
        """Make the search whose `get_config` gave `config`."""
        config = dict(config)
        if isinstance(config.get("lexicon"), dict):
            config["lexicon"] = keras.saving.deserialize_keras_object(config["lexicon"])
        return cls(**config)

    @property
    def _draws(self) -> bool:
        """Whether the search draws at random, and so takes a seed."""
        return False

    def _keep(self, name: str, value: Any) -> None:
        """Keep a checked setting as a plain Python value, so that the config can be stored."""
        object.__setattr__(self, name, value)

    def _search(self, task: SearchTask) -> SearchResult:
        """Search."""
        raise NotImplementedError

    def _score(self, log_probs: tf.Tensor, lengths: tf.Tensor, limits: Limits) -> tf.Tensor:
        """Score outputs `(batch, hypotheses)` of so many tokens."""
        divisor = length_divisor(lengths, limits.length_penalty, self.length_penalty_formula)
        return log_probs / divisor

    def _score_ids(self, log_probs: tf.Tensor, ids: tf.Tensor, limits: Limits) -> tf.Tensor:
        """Score outputs `(batch, hypotheses, length)`."""
        # A slot without tokens is not an output: count one, for the sake of the division.
        return self._score(log_probs, tf.maximum(count_tokens(ids), 1), limits)

    def _limits(
        self,
        rows: int | tf.Tensor,
        source_lengths: tf.Tensor | None,
        max_length: Any,
        min_length: Any,
        length_penalty: Any,
    ) -> Limits:
        """Hold each row to what was given with it, else to the search's own settings."""
        if max_length is None:
            ratio = self.max_length_ratio
            limit, longest = length_limits(rows, self.max_length, ratio, source_lengths)
        else:
            limit = row_integers("max_length", max_length, rows, minimum=1)
            longest = largest(limit)
        if min_length is None and self.min_length > 1:
            min_length = self.min_length
        if length_penalty is None:
            exponent = self.length_penalty
        else:
            exponent = row_values(
                "length_penalty", length_penalty, rows, dtype=tf.float32, minimum=0.0
            )
        return Limits(
            max_length=limit,
            longest=longest,
            min_length=row_integers("min_length", min_length, rows, minimum=0),
            length_penalty=exponent,
        )

    def _rules(
        self, prefix: Any, rows: int | tf.Tensor, vocabulary_size: int, limits: Limits
    ) -> list[Rule]:
        """Make the rules that were asked for."""
        rules: list[Rule] = []
        if prefix is not None:
            rules.append(BeginsWith(check_prefix(prefix, rows, vocabulary_size), vocabulary_size))
        if self.no_repeat_ngram_size is not None:
            size = self.no_repeat_ngram_size
            rules.append(NoRepeatedNgram(size, limits.longest, vocabulary_size))
        if isinstance(self.lexicon, Lexicon):
            rules.append(InLexicon(self.lexicon, vocabulary_size))
        return rules

    def _suppress_ids(self, vocabulary_size: int) -> tuple[int, ...]:
        """Give the ids never emitted; all must be in the vocabulary."""
        if max(self.suppress_ids, default=0) >= vocabulary_size:
            raise ValueError(
                f"Every id in `suppress_ids` must be below vocabulary_size={vocabulary_size}. "
                f"Received: suppress_ids={self.suppress_ids}"
            )
        return self.suppress_ids

    def _check_seed(self, seed: Any) -> None:
        """Refuse a seed where nothing is drawn."""
        if seed is not None and not self._draws:
            raise ValueError(
                "`seed` must be given only to a search that draws, such as `Sampling`. "
                f"Received: a seed for {type(self).__name__}"
            )

    def _check_lengths(self) -> None:
        """Check the settings that limit the length."""
        if self.max_length is not None:
            self._keep("max_length", checks.check_positive_int("max_length", self.max_length))
        elif self.max_length_ratio is None:
            raise ValueError(
                "`max_length` may be None only where `max_length_ratio` is given. "
                "Received: max_length=None, max_length_ratio=None"
            )
        if self.max_length_ratio is not None:
            ratio = checks.check_number("max_length_ratio", self.max_length_ratio, minimum=0.0)
            if ratio == 0.0:
                raise ValueError("`max_length_ratio` must be above 0. Received: max_length_ratio=0")
            self._keep("max_length_ratio", ratio)
        self._keep("min_length", checks.check_positive_int("min_length", self.min_length))
        if self.max_length is not None and self.min_length > self.max_length:
            raise ValueError(
                "`min_length` must not be above `max_length`. "
                f"Received: min_length={self.min_length}, max_length={self.max_length}"
            )


def _check_batch_size(batch_size: Any) -> int | tf.Tensor:
    """Give `batch_size` as an int or an int32 scalar tensor."""
    known = batch_size if not tf.is_tensor(batch_size) else tf.get_static_value(batch_size)
    if known is not None:
        return checks.check_int("batch_size", known, minimum=0)
    if batch_size.shape.rank != 0 or not batch_size.dtype.is_integer:
        raise ValueError(
            "`batch_size` must be an integer or a scalar integer tensor. "
            f"Received: {batch_size.dtype.name} of shape {batch_size.shape}"
        )
    return tf.cast(batch_size, tf.int32)
