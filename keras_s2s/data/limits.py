"""Skipping pairs that are too long for training."""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np

from keras_s2s.checks import check_positive_int
from keras_s2s.errors import InputError

_LOGGER = logging.getLogger("keras_s2s")


class LengthLimits(NamedTuple):
    """Maximum lengths of a pair in tokens, eos counted; None for no limit.

    Attributes:
        max_source_length: Limit of the source.
        max_target_length: Limit of the target.
        batch_tokens: Limit of both sides, because a batch must hold at least one pair.
    """

    max_source_length: int | None
    max_target_length: int | None
    batch_tokens: int | None

    def check(self) -> None:
        """Raise `ValueError` if a limit is not a positive integer."""
        for name, limit in self.given().items():
            check_positive_int(name, limit)

    def given(self) -> dict[str, int]:
        """Return the limits that are not None, by name."""
        return {name: limit for name, limit in self._asdict().items() if limit is not None}

    def keep(self, source_lengths: np.ndarray, target_lengths: np.ndarray) -> np.ndarray:
        """Return which pairs are within the limits.

        Args:
            source_lengths: `(pairs,)`, eos counted.
            target_lengths: `(pairs,)`, eos counted.

        Returns:
            bool `(pairs,)`.
        """
        kept = np.ones(len(source_lengths), bool)
        if self.max_source_length is not None:
            kept &= source_lengths <= self.max_source_length
        if self.max_target_length is not None:
            kept &= target_lengths <= self.max_target_length
        if self.batch_tokens is not None:
            kept &= np.maximum(source_lengths, target_lengths) <= self.batch_tokens
        return kept

    def report(self, left_out: int, pairs: int) -> None:
        """Log how many pairs are skipped, if any.

        Args:
            left_out: Number of skipped pairs.
            pairs: Number of all pairs.

        Raises:
            ValueError: If all pairs are skipped.
        """
        limits = ", ".join(f"{name}={limit}" for name, limit in self.given().items())
        if left_out == pairs:
            raise InputError(
                f"At least one pair must be within {limits} (eos counted). Received: {pairs} "
                "pairs, all of them longer"
            )
        if left_out:
            _LOGGER.warning("Skipped %d of %d pairs: longer than %s.", left_out, pairs, limits)
