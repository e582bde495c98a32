"""Task of a search: a batch of rows, their limits, and the scores of their outputs.

`check_row_options` checks all options that may differ between rows. A model calls it before it
compiles a graph, when the values are known, and a search calls it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_s2s.checks import short_repr
from keras_s2s.errors import InputError
from keras_s2s.search.result import count_tokens
from keras_s2s.search.step import HypothesisState, SearchStep, repeat_state
from keras_s2s.search_limits import MAX_LENGTH, MAX_LENGTH_PENALTY
from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID

FORMULAS = ("power", "gnmt")

# Floor for the coverage of a source position, to avoid log(0).
LEAST_COVERAGE = 1e-10

# dtype, minimum and maximum of each option.
_ROW_OPTIONS: dict[str, tuple[tf.DType, float, float]] = {
    "source_lengths": (tf.int32, 0, MAX_LENGTH),
    "max_length": (tf.int32, 1, MAX_LENGTH),
    "min_length": (tf.int32, 0, MAX_LENGTH),
    "length_penalty": (tf.float32, 0.0, MAX_LENGTH_PENALTY),
    "seed": (tf.int32, tf.int32.min, tf.int32.max),
}


class SearchTask(NamedTuple):
    """A batch of rows to search. Limits broadcast with `(batch, hypotheses)`."""

    step: SearchStep
    state: HypothesisState  # nest of (batch, ...): one hypothesis per row, before bos
    batch_size: int | tf.Tensor
    max_length: tf.Tensor  # (batch, 1) int32
    longest: int | tf.Tensor  # at least the largest max_length: the width of the ids
    min_length: tf.Tensor | None  # (batch, 1) int32, up to max_length; None: no minimum in any row
    length_penalty: tf.Tensor | float  # () or (batch, 1) float32
    length_penalty_formula: str
    source_lengths: tf.Tensor | None  # (batch, 1) int32
    seed: tf.Tensor | None  # (batch, 1) int32

    def limit(self, max_length: int | tf.Tensor) -> SearchTask:
        """Return the task with a lower maximum length of all rows."""
        limits = tf.minimum(self.max_length, max_length)
        min_length = None if self.min_length is None else tf.minimum(self.min_length, limits)
        return self._replace(
            max_length=limits, longest=tf.minimum(self.longest, max_length), min_length=min_length
        )

    def divisor(self, lengths: tf.Tensor) -> tf.Tensor:
        """Compute the divisor of the log probability for outputs of these lengths."""
        return length_divisor(lengths, self.length_penalty, self.length_penalty_formula)

    def score(self, log_probs: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Compute the scores of outputs `(batch, hypotheses)` of these lengths."""
        return log_probs / self.divisor(lengths)

    def score_ids(self, log_probs: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Compute the scores of outputs `(batch, hypotheses, length)`."""
        # The length of an empty slot is 0, so use 1 to avoid a division by zero.
        return self.score(log_probs, tf.maximum(count_tokens(ids), 1))

    def score_bound(self, log_probs: tf.Tensor) -> tf.Tensor:
        """Compute an upper bound on the scores of all outputs that begin with each prefix.

        A log probability can only decrease, and the longest output has the largest divisor.

        Args:
            log_probs: float32 `(batch, prefixes)`.

        Returns:
            float32 `(batch, prefixes)`.
        """
        return self.score(log_probs, self.max_length)

    def repeat(self, times: int) -> SearchTask:
        """Repeat every row, with copies adjacent: `batch * times` rows."""
        if times == 1:
            return self

        def repeat(rows: Any) -> Any:
            return None if rows is None else repeat_state(rows, self.batch_size, times)

        penalty = self.length_penalty
        return self._replace(
            state=repeat(self.state),
            batch_size=self.batch_size * times,
            max_length=repeat(self.max_length),
            min_length=repeat(self.min_length),
            length_penalty=penalty if isinstance(penalty, float) else repeat(penalty),
            source_lengths=repeat(self.source_lengths),
            seed=repeat(self.seed),
        )


def length_divisor(lengths: tf.Tensor, length_penalty: tf.Tensor, formula: str) -> tf.Tensor:
    """Compute the divisor of the log probability of an output.

    Args:
        lengths: Integer tensor of any shape. Numbers of tokens, including eos.
        length_penalty: float32. The exponent. Must broadcast with `lengths`.
        formula: "power" for `length ** length_penalty`, "gnmt" for
            `((5 + length) / 6) ** length_penalty`.

    Returns:
        float32 tensor of the broadcast shape, increasing with the length.

    References:
        - [Google's neural machine translation system (Wu et al., 2016), section 7](
          https://arxiv.org/abs/1609.08144), for "gnmt"
    """
    base = tf.cast(lengths, tf.float32)
    if formula == "gnmt":
        base = (5.0 + base) / 6.0
    return tf.pow(base, length_penalty)


def coverage_score(coverage: tf.Tensor, source_lengths: tf.Tensor) -> tf.Tensor:
    """Compute Σ_i log(min(Σ_t attention_ti, 1)) over the source positions i of each row.

    Args:
        coverage: float32 `(batch * hypotheses, source_length)`, the attention summed over the
            tokens of each hypothesis.
        source_lengths: int32 `(batch, 1)`, number of real positions.

    Returns:
        float32 `(batch, hypotheses)`, at most 0.

    References:
        - [Google's neural machine translation system (Wu et al., 2016), section 7](
          https://arxiv.org/abs/1609.08144)
    """
    rows, width = tf.shape(source_lengths)[0], tf.shape(coverage)[1]
    hypotheses = tf.shape(coverage)[0] // tf.maximum(rows, 1)
    log_coverage = tf.math.log(tf.clip_by_value(coverage, LEAST_COVERAGE, 1.0))
    log_coverage = tf.reshape(log_coverage, [rows, hypotheses, width])
    real = tf.expand_dims(tf.range(width) < source_lengths, 1)
    return tf.reduce_sum(tf.where(real, log_coverage, 0.0), axis=2)


def check_row_options(
    options: Mapping[str, Any],
    batch_size: int | tf.Tensor,
    vocabulary_size: int,
    *,
    min_length: int,
    max_length: int | None,
) -> dict[str, tf.Tensor]:
    """Check the options that may differ between rows, and return them as tensors.

    A value out of range raises an error if the value is known before the graph runs. Otherwise it
    is clipped to its range when the graph runs. The same holds for a minimum length above the
    maximum, which a search clips.

    Args:
        options: Dict of "source_lengths", "max_length", "min_length", "length_penalty" and "seed",
            each a number or one number per row, and "prefix", integers `(batch, prefix_length)`.
            `None` means not given.
        batch_size: Number of rows.
        vocabulary_size: Number of ids.
        min_length: Minimum length of a row without this option.
        max_length: Maximum length of a row without this option. `None` if it is not known.

    Returns:
        The given options, each `(batch,)`; `prefix` is int32 `(batch, prefix_length)`.

    Raises:
        TypeError: If an option that must contain integers does not.
        ValueError: If a shape or value is wrong.
    """
    checked = {}
    for name, value in options.items():
        if value is None:
            continue
        if name == "prefix":
            checked[name] = _check_prefix(value, batch_size, vocabulary_size)
        else:
            checked[name] = _check_rows(name, value, batch_size)
    _check_minima(checked.get("min_length", min_length), checked.get("max_length", max_length))
    return checked


def to_ids(name: str, ids: Any) -> tf.Tensor:
    """Convert ids to a tensor, and pad those of a ragged tensor.

    Args:
        name: Name of the argument, for the error message.
        ids: A tensor, a ragged tensor, an array or a nested list.

    Returns:
        The ids in their own dtype; int32 if there are none.

    Raises:
        ValueError: If the ids are a list of rows of different lengths.
    """
    if isinstance(ids, tf.RaggedTensor):
        return ids.to_tensor()
    if not isinstance(ids, list | tuple):
        return tf.convert_to_tensor(ids)
    try:
        tensor = tf.convert_to_tensor(ids)
    except ValueError as error:
        if "non-rectangular" not in str(error):
            raise
        raise InputError(
            f"Every row of `{name}` must have the same length: pad shorter rows with 0. Received: "
            f"rows of different lengths, {name}={short_repr(ids)}"
        ) from error
    # TensorFlow converts empty lists to float32.
    return tf.cast(tensor, tf.int32) if tensor.shape.num_elements() == 0 else tensor


def check_target_ids(name: str, ids: np.ndarray[Any, Any]) -> None:
    """Check that each row of target ids has neither bos nor padding before its last token.

    Ids after the first eos of a row are not checked.

    Args:
        name: Name of the argument, for the error message.
        ids: Integers `(batch, length)`.

    Raises:
        ValueError: If a row contains bos, or a token after padding.
    """
    for row, position in np.argwhere((ids == BOS_ID) & _is_read(ids))[:1]:
        raise InputError(
            f"`{name}` must not contain bos ({BOS_ID}), which every target begins with anyway. "
            f"Received: id {BOS_ID} in row {row} at position {position}"
        )
    check_padding(name, ids)


def check_padding(name: str, ids: np.ndarray[Any, Any]) -> None:
    """Check that rows of ids are padded on the right. Ids after the first eos are not checked.

    Args:
        name: Name of the argument, for the error message.
        ids: Integers `(batch, length)`.

    Raises:
        ValueError: If a row contains a token after padding.
    """
    after_padding = np.cumsum(ids == PAD_ID, axis=1) > 0
    for row, position in np.argwhere(after_padding & (ids != PAD_ID) & _is_read(ids))[:1]:
        raise InputError(
            f"`{name}` must be padded on the right. Received: id {ids[row, position]} in row {row} "
            f"at position {position}, after padding"
        )


def _is_read(ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return which ids are up to the first eos of their row."""
    is_eos = ids == EOS_ID
    return np.cumsum(is_eos, axis=1) - is_eos == 0


def length_limits(
    batch_size: int | tf.Tensor,
    max_length: int | None,
    max_length_ratio: float | None,
    source_lengths: tf.Tensor | None,
) -> tuple[tf.Tensor, int | tf.Tensor]:
    """Compute the maximum length of each row: a constant, a multiple of its source length, or both.

    Args:
        batch_size: Number of rows.
        max_length: Limit of all rows. `None` applies only the ratio.
        max_length_ratio: Limit as a multiple of the source length. `None` applies only
            `max_length`.
        source_lengths: int32 `(batch, 1)`, required with a ratio.

    Returns:
        The limits, int32 `(batch, 1)`, and an upper bound on all limits.

    Raises:
        ValueError: If `max_length_ratio` is given and `source_lengths` is not.
    """
    limit = None if max_length is None else tf.fill([batch_size, 1], max_length)
    if max_length_ratio is not None:
        if source_lengths is None:
            raise InputError(
                "`source_lengths` must be given to a search with `max_length_ratio`. "
                f"Received: source_lengths=None, max_length_ratio={max_length_ratio}"
            )
        by_source = tf.maximum(multiply_and_round_up(max_length_ratio, source_lengths), 1)
        limit = by_source if limit is None else tf.minimum(limit, by_source)
    return limit, largest(limit) if max_length is None else max_length


def multiply_and_round_up(ratio: float, lengths: tf.Tensor) -> tf.Tensor:
    """Compute ratio * length exactly and round up: 0.3 * 50 is 15.

    In float32, 0.3 * 50 is slightly more than 15. The ratio is therefore split into an integer and
    a fraction of small integers, so that only integers are multiplied.

    Args:
        ratio: At most MAX_LENGTH_RATIO. Rounded to the nearest fraction with a denominator of at
            most 10,000.
        lengths: int32 tensor, each at most MAX_LENGTH.

    Returns:
        int32 tensor of the same shape.
    """
    fraction = Fraction(ratio).limit_denominator(10_000)
    whole, numerator = divmod(fraction.numerator, fraction.denominator)
    denominator = fraction.denominator
    quotient, rest = lengths // denominator, lengths % denominator
    rest = (rest * numerator + denominator - 1) // denominator
    return lengths * whole + quotient * numerator + rest


def largest(limit: tf.Tensor) -> tf.Tensor:
    """Return the largest limit, or 1 for an empty batch."""
    return tf.maximum(tf.reduce_max(limit), 1)


def _check_rows(name: str, value: Any, batch_size: int | tf.Tensor) -> tf.Tensor:
    """Check an option, and return one number for each row as a tensor `(batch,)`."""
    dtype, minimum, maximum = _ROW_OPTIONS[name]
    value = value if tf.is_tensor(value) else np.asarray(value)  # integers of any size
    received = tf.as_dtype(value.dtype) if value.dtype != object else tf.string
    if not (received.is_integer or (received.is_floating and dtype.is_floating)):
        raise TypeError(
            f"`{name}` must contain {'numbers' if dtype.is_floating else 'integers'}. "
            f"Received: dtype={getattr(value.dtype, 'name', value.dtype)}"
        )
    tensor = tf.convert_to_tensor(value)
    rows = tf.get_static_value(batch_size)
    if tensor.shape.rank == 0:
        tensor = tf.fill([batch_size], tensor)
    elif not tensor.shape.is_compatible_with([rows]):
        raise InputError(
            f"`{name}` must be one number, or one for each row: ({rows},). "
            f"Received: shape {tensor.shape}"
        )
    known = tf.get_static_value(tensor)
    if known is not None and not np.all(known >= minimum):
        raise InputError(
            f"`{name}` must be at least {minimum:g} in every row. Received: {known.tolist()}"
        )
    if known is not None and not np.all(known <= maximum):
        raise InputError(
            f"`{name}` must be at most {maximum:.10g} in every row. Received: {known.tolist()}"
        )
    if known is None:
        least = tf.cast(minimum, tensor.dtype)
        tensor = tf.where(tensor >= least, tensor, least)  # NaN becomes the minimum too
        tensor = tf.minimum(tensor, tf.cast(maximum, tensor.dtype))
    return tf.cast(tensor, dtype)


def _check_minima(min_length: tf.Tensor | int, max_length: tf.Tensor | int | None) -> None:
    """Check that no minimum length is above the maximum, if both are known."""
    known: list[Any] = [
        tf.get_static_value(limit) if tf.is_tensor(limit) else limit
        for limit in (min_length, max_length)
    ]
    if any(limit is None for limit in known):
        return
    minima, maxima = np.broadcast_arrays(*map(np.atleast_1d, known))
    for row in np.flatnonzero(minima > maxima)[:1]:
        raise InputError(
            "`min_length` must not exceed `max_length` in any row. Received: "
            f"min_length={minima[row]} and max_length={maxima[row]} in row {row}"
        )


def _check_prefix(prefix: Any, batch_size: int | tf.Tensor, vocabulary_size: int) -> tf.Tensor:
    """Check `prefix`, and return it as int32 `(batch, prefix_length)`."""
    prefix = to_ids("prefix", prefix)
    if not prefix.dtype.is_integer:
        raise TypeError(f"`prefix` must contain integers. Received: dtype={prefix.dtype.name}")
    rows = tf.get_static_value(batch_size)
    if not prefix.shape.is_compatible_with([rows, None]):
        raise InputError(
            f"`prefix` must have the shape ({rows}, prefix_length). Received: shape {prefix.shape}"
        )
    known = tf.get_static_value(prefix)
    if known is not None and known.size and not 0 <= known.min() <= known.max() < vocabulary_size:
        raise InputError(
            f"Every id in `prefix` must be at least 0 and below vocabulary_size={vocabulary_size}. "
            f"Received: ids from {known.min()} to {known.max()}"
        )
    if known is not None:
        check_target_ids("prefix", known)
    return tf.cast(prefix, tf.int32)
