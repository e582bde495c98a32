"""Checks that a model has not diverged. They do not need TensorFlow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_s2s.errors import InputError


class DivergedError(InputError):
    """Raised if the logits of a model contain NaN or +inf, or are all -inf.

    Args:
        row: Integer. Index of the first row with such logits.
    """

    def __init__(self, row: int) -> None:
        super().__init__(
            "The model has diverged: its logits are NaN, infinite or all -inf "
            f"(in row {row}). Use an earlier checkpoint, or train again with a lower learning rate "
            "or with gradient clipping."
        )
        self.row = row


def check_converged(scores: Any) -> None:
    """Raise an error if a model has diverged.

    Args:
        scores: float32 array `(batch, num_hypotheses)`. Scores of a `SearchResult`.

    Raises:
        DivergedError: If a score is NaN.
    """
    diverged = np.isnan(np.asarray(scores)).any(axis=1)
    if diverged.any():
        raise DivergedError(int(diverged.argmax()))


@contextlib.contextmanager
def renumber_rows(rows: Sequence[int]) -> Iterator[None]:
    """Replace the row of a `DivergedError`, an index in the batch, by the element of `rows`."""
    try:
        yield
    except DivergedError as error:
        raise DivergedError(rows[error.row]) from None
