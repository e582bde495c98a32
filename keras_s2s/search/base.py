"""`Search`: base class with the settings and the call of all searches."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

import keras
import tensorflow as tf

from keras_s2s import checks
from keras_s2s.checks import short_repr
from keras_s2s.errors import InputError
from keras_s2s.search.result import SearchResult, replay_attention
from keras_s2s.search.rules import BeginsWith, InLexicon, Lexicon, NoRepeatedNgram
from keras_s2s.search.step import Rule, SearchStep, State, StepFunction, check_state
from keras_s2s.search.task import (
    FORMULAS,
    SearchTask,
    check_row_options,
    largest,
    length_limits,
)
from keras_s2s.search_limits import (
    MAX_LENGTH,
    MAX_LENGTH_PENALTY,
    MAX_LENGTH_RATIO,
    MAX_NGRAM_SIZE,
)
from keras_s2s.special_ids import EOS_ID

SearchType = TypeVar("SearchType", bound="Search")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """Base class of searches for the best outputs of a decoder, which is passed as a step function.

    A search does not refer to a model. It is immutable, equals any search with the same settings,
    and can be stored in a Keras config.

    Args:
        max_length: Maximum number of tokens in an output, including eos, at most 1,000,000. `None`
            requires `max_length_ratio`. Defaults to 100.
        max_length_ratio: Also limit an output to this multiple of its source length (rounded up, at
            least 1). The call of the search then requires `source_lengths`. Defaults to `None`.
        min_length: Minimum number of tokens in an output, including eos. For sources that
            `max_length_ratio` limits to fewer tokens, this limit is the minimum. Defaults to 1.
        length_penalty: Exponent α, from 0 to 5, in `score = log_prob / length**α`. The length
            includes eos. Defaults to 0.75.
        length_penalty_formula: "power" for `length**α`, "gnmt" for `((5 + length) / 6)**α`.
            Defaults to "power".
        suppress_ids: Ids that are never emitted, besides pad and bos. Must not contain eos.
        no_repeat_ngram_size: Forbid repeated n-grams of this size, at most 100. `None` disables
            the rule. Defaults to `None`.
        lexicon: A `Lexicon`, or the sequences of ids to create one from. The search returns only
            those of these outputs that have at most the maximum length. `None` allows all outputs.
            Defaults to `None`.
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
        penalty = checks.check_number(
            "length_penalty", self.length_penalty, minimum=0.0, maximum=MAX_LENGTH_PENALTY
        )
        self._keep("length_penalty", penalty)
        checks.check_choice("length_penalty_formula", self.length_penalty_formula, FORMULAS)
        suppressed = checks.check_ints("suppress_ids", self.suppress_ids, minimum=0)
        if EOS_ID in suppressed:
            raise InputError(
                f"`suppress_ids` must not contain eos ({EOS_ID}), because no output could end. "
                f"Received: suppress_ids={suppressed}"
            )
        self._keep("suppress_ids", suppressed)
        if self.no_repeat_ngram_size is not None:
            size = checks.check_positive_int("no_repeat_ngram_size", self.no_repeat_ngram_size)
            checks.check_at_most("no_repeat_ngram_size", size, MAX_NGRAM_SIZE)
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

        The result for a row depends only on that row. Every hypothesis begins with bos, which is
        fed to `step` first and is not part of the output.

        Args:
            step: `step(token_ids (n,), state) -> (logits (n, vocabulary_size), state)`. n is
                `batch_size` times the number of hypotheses per row. Hypotheses of a row are
                adjacent. May return attention, float `(n, source_length)`, as a third output.
            state: Nested structure of tensors `(batch_size, ...)`, the decoder's state before bos.
                The search repeats it for each hypothesis, and reorders the states that `step`
                returns. `None` or `()` for a step without a state.
            batch_size: Number of rows, an integer or a scalar tensor. May be 0.
            vocabulary_size: Number of ids, including the four special ones.
            source_lengths: int32 `(batch,)`, number of tokens of each source. Required with
                `max_length_ratio` and a coverage penalty.
            max_length: int32 `(batch,)` or scalar. Overrides `max_length` and `max_length_ratio` of
                the search.
            min_length: int32 `(batch,)` or scalar. Overrides the setting of the search. A minimum
                above the maximum of its row raises an error if both are known before the graph
                runs. Otherwise it counts as the maximum.
            length_penalty: float32 `(batch,)` or scalar. Overrides the setting of the search.
            prefix: int32 `(batch, prefix_length)`. The outputs of a row begin with its prefix,
                which has no bos, and ends before its first pad or eos. The other rules apply to it
                too.
            seed: int32 `(batch,)` or scalar. Overrides the seed of a `Sampling`.
            return_attention: Whether to return the attention. Requires a `step` that returns it.
                Defaults to `False`.

        Returns:
            A `SearchResult`.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If an argument has a wrong value or shape, or `step` returns wrong shapes.
        """
        if not callable(step):
            raise TypeError(f"`step` must be callable. Received: step={short_repr(step)}")
        if seed is not None and not self._is_random:
            raise InputError(
                "`seed` must be None for a search without randomness. Only `Sampling` accepts one. "
                f"Received: a seed for {type(self).__name__}"
            )
        rows = _check_batch_size(batch_size)
        size = checks.check_int("vocabulary_size", vocabulary_size, minimum=EOS_ID + 1)
        state = check_state(state, rows)
        options = check_row_options(
            {
                "source_lengths": source_lengths,
                "max_length": max_length,
                "min_length": min_length,
                "length_penalty": length_penalty,
                "prefix": prefix,
                "seed": seed,
            },
            rows,
            size,
            min_length=self.min_length,
            max_length=self.max_length,
        )

        def run() -> SearchResult:
            found = self._search(self._task(step, state, rows, size, options))
            if return_attention:
                attention = replay_attention(step, state, rows, size, found.ids)
                found = found._replace(attention=attention)
            return found

        # Without Python control flow over tensors, autograph would only cost time.
        return tf.autograph.experimental.do_not_convert(run)()

    @property
    def num_hypotheses(self) -> int:
        """Number of hypotheses returned for each source."""
        return 1

    @property
    def hypotheses_per_step(self) -> int:
        """Number of hypotheses of each source that a call of `step` extends, at most.

        An `ExhaustiveSearch` extends all prefixes of a length, whose number depends on the
        vocabulary, and counts as 1.
        """
        return 1

    @property
    def needs_attention(self) -> bool:
        """True if `step` must return attention, for a coverage penalty."""
        return False

    def get_config(self) -> dict[str, Any]:
        """Return the settings, for `from_config`."""
        config = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if isinstance(self.lexicon, Lexicon):
            config["lexicon"] = keras.saving.serialize_keras_object(self.lexicon)
        return config

    @classmethod
    def from_config(cls: type[SearchType], config: dict[str, Any]) -> SearchType:
        """Create a search from its config."""
        config = dict(config)
        if isinstance(config.get("lexicon"), dict):
            config["lexicon"] = keras.saving.deserialize_keras_object(config["lexicon"])
        return cls(**config)

    @property
    def _is_random(self) -> bool:
        """True if the search is random and accepts a seed."""
        return False

    def _search(self, task: SearchTask) -> SearchResult:
        """Search for the best outputs of all rows of a task."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `_search`. Use a search such as `BeamSearch`."
        )

    def _task(
        self,
        step: StepFunction,
        state: State,
        rows: int | tf.Tensor,
        vocabulary_size: int,
        options: dict[str, tf.Tensor],
    ) -> SearchTask:
        """Combine the settings of the search with the options of the rows in a task."""
        columns = {
            name: tf.expand_dims(value, 1) for name, value in options.items() if name != "prefix"
        }
        source_lengths = columns.get("source_lengths")
        if "max_length" in columns:
            max_length = columns["max_length"]
            longest = largest(max_length)
        else:
            max_length, longest = length_limits(
                rows, self.max_length, self.max_length_ratio, source_lengths
            )
        min_length = columns.get("min_length")
        if min_length is None and self.min_length > 1:
            min_length = tf.fill([rows, 1], self.min_length)
        if min_length is not None:
            min_length = tf.minimum(min_length, max_length)
        search_step = SearchStep(
            step,
            vocabulary_size,
            suppress_ids=self._checked_suppress_ids(vocabulary_size),
            rules=self._rules(options.get("prefix"), vocabulary_size, max_length, longest),
            tracks_coverage=self.needs_attention,
        )
        return SearchTask(
            step=search_step,
            state=search_step.initial_state(state, rows),
            batch_size=rows,
            max_length=max_length,
            longest=longest,
            min_length=min_length,
            length_penalty=columns.get("length_penalty", self.length_penalty),
            length_penalty_formula=self.length_penalty_formula,
            source_lengths=source_lengths,
            seed=columns.get("seed"),
        )

    def _rules(
        self,
        prefix: tf.Tensor | None,
        vocabulary_size: int,
        max_length: int | tf.Tensor,
        longest: int | tf.Tensor,
    ) -> list[Rule]:
        """Create the rules for the prefix and the settings."""
        rules: list[Rule] = []
        if prefix is not None:
            rules.append(BeginsWith(prefix, vocabulary_size))
        if self.no_repeat_ngram_size is not None:
            rules.append(NoRepeatedNgram(self.no_repeat_ngram_size, longest, vocabulary_size))
        if isinstance(self.lexicon, Lexicon):
            rules.append(InLexicon(self.lexicon, vocabulary_size, max_length))
        return rules

    def _checked_suppress_ids(self, vocabulary_size: int) -> tuple[int, ...]:
        """Return the ids that are never emitted. Raise an error if one is not in the vocabulary."""
        if max(self.suppress_ids, default=0) >= vocabulary_size:
            raise InputError(
                f"Every id in `suppress_ids` must be below vocabulary_size={vocabulary_size}. "
                f"Received: suppress_ids={self.suppress_ids}"
            )
        return self.suppress_ids

    def _keep(self, name: str, value: Any) -> None:
        """Set a checked setting as a plain Python value, so that the config can be stored."""
        object.__setattr__(self, name, value)

    def _keep_count(self, name: str, maximum: int) -> None:
        """Check a setting that is a positive integer, and set it."""
        value = checks.check_positive_int(name, getattr(self, name))
        self._keep(name, checks.check_at_most(name, value, maximum))

    def _check_lengths(self) -> None:
        """Check the settings that limit the length."""
        if self.max_length is not None:
            self._keep_count("max_length", MAX_LENGTH)
        elif self.max_length_ratio is None:
            raise InputError(
                "`max_length` must not be None unless `max_length_ratio` is given. Received: "
                "max_length=None, max_length_ratio=None"
            )
        if self.max_length_ratio is not None:
            ratio = checks.check_number(
                "max_length_ratio", self.max_length_ratio, above=0.0, maximum=MAX_LENGTH_RATIO
            )
            self._keep("max_length_ratio", ratio)
        self._keep_count("min_length", MAX_LENGTH)
        if self.max_length is not None and self.min_length > self.max_length:
            raise InputError(
                "`min_length` must not exceed `max_length`. "
                f"Received: min_length={self.min_length}, max_length={self.max_length}"
            )


def _check_batch_size(batch_size: Any) -> int | tf.Tensor:
    """Return `batch_size` as an int or an int32 scalar tensor."""
    is_tensor = tf.is_tensor(batch_size)
    known = tf.get_static_value(batch_size) if is_tensor else batch_size
    if known is not None or not is_tensor:
        return checks.check_int("batch_size", known, minimum=0)
    if batch_size.shape.rank != 0 or not batch_size.dtype.is_integer:
        raise InputError(
            "`batch_size` must be an integer or a scalar integer tensor. "
            f"Received: {batch_size.dtype.name} of shape {batch_size.shape}"
        )
    return tf.cast(batch_size, tf.int32)
