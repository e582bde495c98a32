"""What changes for users when one model replaces another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from keras_s2s.errors import InputError


class Answer(NamedTuple):
    """The best target for a text, and its score."""

    target: str
    score: float


class Change(NamedTuple):
    """A text that gets another target."""

    source: str
    before: Answer
    after: Answer


class Comparison(NamedTuple):
    """The differences between two models on the same texts.

    Attributes:
        num_texts: How many texts were compared.
        changes: Those with another target, the greatest change of the score first.
        mean_score_difference: Mean absolute difference of the scores of equal targets.
        max_score_difference: The greatest such difference.
    """

    num_texts: int
    changes: list[Change]
    mean_score_difference: float
    max_score_difference: float

    @property
    def share_changed(self) -> float:
        """The share of the texts that get another target."""
        return len(self.changes) / self.num_texts if self.num_texts else 0.0


def compare(texts: Sequence[str], before: Sequence[Answer], after: Sequence[Answer]) -> Comparison:
    """Compare the answers of two models.

    Args:
        texts: The texts that both were asked.
        before: An answer for each text by the model in use.
        after: An answer for each text by the model to come.

    Returns:
        The differences.

    Raises:
        ValueError: If there is not an answer for each text.

    Example:
        >>> found = compare(["a", "b"], [Answer("A", -1.0), Answer("B", -1.0)],
        ...                 [Answer("A", -1.5), Answer("V", -2.0)])
        >>> found.share_changed, found.max_score_difference
        (0.5, 0.5)
    """
    if not len(texts) == len(before) == len(after):
        raise InputError(
            "There must be an answer for each text. Received: "
            f"{len(texts)} texts, {len(before)} and {len(after)} answers"
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
