"""What all searches have in common: their settings and their public door."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import tensorflow as tf

from keras_s2s import checks
from keras_s2s.search.length_penalty import FORMULAS, length_divisor
from keras_s2s.search.limits import Limits, row_values
from keras_s2s.search.result import SearchResult
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
    """

    max_length: int | None = 100
    max_length_ratio: float | None = None
    min_length: int = 1
    length_penalty: float = 0.75
    length_penalty_formula: str = "power"

    def __post_init__(self) -> None:
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
        penalty = checks.check_number("length_penalty", self.length_penalty, minimum=0.0)
        self._keep("length_penalty", penalty)
        checks.check_choice("length_penalty_formula", self.length_penalty_formula, FORMULAS)

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
    ) -> SearchResult:
        """Search for the best outputs of every row.

        The answer to a row depends on nothing but that row. Every hypothesis begins with bos,
        which is fed to `step` first and is not part of the output.

        Args:
            step: `step(token_ids (n,), state) -> (logits (n, vocabulary_size), state)`, with
                n = batch_size times the hypotheses that the search keeps for a row, laid out row
                by row: all of row 0 first.
            state: Nest of tensors `(batch_size, ...)`, the decoder's state before bos. The search
                repeats it for each hypothesis, and reorders what `step` gives.
            batch_size: Number of rows, an integer or a scalar tensor. May be 0.
            vocabulary_size: Number of ids, the four special ones included.
            source_lengths: int32 `(batch,)`, tokens in each source, for `max_length_ratio`.
            max_length: int32 `(batch,)` or scalar, in place of the search's own limits.
            min_length: int32 `(batch,)` or scalar, in place of the search's own.
            length_penalty: float32 `(batch,)` or scalar, in place of the search's own.

        Returns:
            A `SearchResult`.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If an argument has a wrong value or shape, or `step` gives wrong shapes.
        """
        if not callable(step):
            raise TypeError(f"`step` must be callable. Received: step={step!r}")
        batch_size = _check_batch_size(batch_size)
        checks.check_int("vocabulary_size", vocabulary_size, minimum=EOS_ID + 1)
        limits = Limits(
            *self._length_limit(batch_size, source_lengths, max_length),
            self._min_length(batch_size, min_length),
            self._length_penalty(batch_size, length_penalty),
        )
        # There is no Python control flow over tensors below: converting it would only take time.
        search = tf.autograph.experimental.do_not_convert(self._search)
        return search(
            step, check_state(state, batch_size), batch_size, int(vocabulary_size), limits
        )

    def get_config(self) -> dict[str, Any]:
        """Give the settings, for `from_config`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls: type[SearchType], config: dict[str, Any]) -> SearchType:
        """Make the search whose `get_config` gave `config`."""
        return cls(**config)

    def _keep(self, name: str, value: Any) -> None:
        """Keep a checked setting as a plain Python value, so that the config can be stored."""
        object.__setattr__(self, name, value)

    def _search(
        self,
        step: StepFunction,
        state: State,
        batch_size: int | tf.Tensor,
        vocabulary_size: int,
        limits: Limits,
    ) -> SearchResult:
        """Search; all arguments have been checked."""
        raise NotImplementedError

    def _score(self, log_probs: tf.Tensor, lengths: tf.Tensor, limits: Limits) -> tf.Tensor:
        """Score outputs of so many tokens: `(batch, hypotheses)`."""
        divisor = length_divisor(lengths, limits.length_penalty, self.length_penalty_formula)
        return log_probs / divisor

    def _length_limit(
        self,
        batch_size: int | tf.Tensor,
        source_lengths: tf.Tensor | None,
        max_length: tf.Tensor | None,
    ) -> tuple[tf.Tensor, int | tf.Tensor]:
        """Give each row's largest length `(batch, 1)`, and the largest of them all."""
        if max_length is not None:
            limit = row_values("max_length", max_length, batch_size, dtype=tf.int32, minimum=1)
            return limit, _largest(limit)
        limit = None
        if self.max_length is not None:
            limit = tf.fill([batch_size, 1], int(self.max_length))
        if self.max_length_ratio is not None:
            if source_lengths is None:
                raise ValueError(
                    "`source_lengths` must be given to a search with `max_length_ratio`. "
                    f"Received: source_lengths=None, max_length_ratio={self.max_length_ratio}"
                )
            lengths = row_values(
                "source_lengths", source_lengths, batch_size, dtype=tf.int32, minimum=0
            )
            by_source = tf.math.ceil(self.max_length_ratio * tf.cast(lengths, tf.float32))
            by_source = tf.maximum(tf.cast(by_source, tf.int32), 1)
            limit = by_source if limit is None else tf.minimum(limit, by_source)
        return limit, _largest(limit) if self.max_length is None else int(self.max_length)

    def _min_length(
        self, batch_size: int | tf.Tensor, min_length: tf.Tensor | None
    ) -> tf.Tensor | None:
        """Give each row's smallest length `(batch, 1)`, None where no row is held to one."""
        if min_length is None and self.min_length == 1:
            return None
        value = self.min_length if min_length is None else min_length
        return row_values("min_length", value, batch_size, dtype=tf.int32, minimum=0)

    def _length_penalty(
        self, batch_size: int | tf.Tensor, length_penalty: tf.Tensor | None
    ) -> tf.Tensor | float:
        """Give the exponent, one for all or one for each row: `(batch, 1)`."""
        if length_penalty is None:
            return float(self.length_penalty)
        return row_values(
            "length_penalty", length_penalty, batch_size, dtype=tf.float32, minimum=0.0
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


def _largest(limit: tf.Tensor) -> tf.Tensor:
    """Give the largest limit, 1 in an empty batch."""
    return tf.maximum(tf.reduce_max(limit), 1)
