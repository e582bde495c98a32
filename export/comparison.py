"""Comparing the answers of two models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from keras_s2s.errors import InputError


class Answer(NamedTuple):
    """The best target for a text, and its score."""

    target: str
    score: float


class Change(NamedTuple):
    """A text whose target differs."""

    source: str
    before: Answer
    after: Answer


class Comparison(NamedTuple):
    """Differences between two models on the same texts.

    Attributes:
        num_texts: Number of texts compared.
        changes: Texts with a different target, sorted by the change of the score, largest first.
        mean_score_difference: Mean absolute difference of the scores of equal targets.
        max_score_difference: Maximum absolute difference of the scores of equal targets.
    """

    num_texts: int
    changes: list[Change]
    mean_score_difference: float
    max_score_difference: float

    @property
    def share_changed(self) -> float:
        """Share of the texts whose target differs."""
        return len(self.changes) / self.num_texts if self.num_texts else 0.0


def compare(texts: Sequence[str], before: Sequence[Answer], after: Sequence[Answer]) -> Comparison:
    """Compare the answers of two models.

    Args:
        texts: The texts that both models answered.
        before: The answer of the current model to each text.
        after: The answer of the new model to each text.

    Returns:
        The differences.

    Raises:
        ValueError: If the number of answers differs from the number of texts.

    Example:
        >>> found = compare(["a", "b"], [Answer("A", -1.0), Answer("B", -1.0)],
        ...                 [Answer("A", -1.5), Answer("V", -2.0)])
        >>> found.share_changed, found.max_score_difference
        (0.5, 0.5)
    """
    if not len(texts) == len(before) == len(after):
        raise InputError(
            f"`before` and `after` must hold one answer for each text. Received: {len(texts)} "
            f"texts, {len(before)} and {len(after)} answers"
        )
    changes, differences = [], []
    for source, first, second in zip(texts, before, after, strict=True):
        if first.target != second.target:
            changes.append(Change(source, first, second))
        else:
            differences.append(abs(second.score - first.score))
    changes.sort(key=lambda change: -abs(change.after.score - change.before.score))
    mean = sum(differences) / len(differences) if differences else 0.0
    return Comparison(len(texts), changes, mean, max(differences, default=0.0))
