"""`Hypothesis`: a text that a search found, with its score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from keras_s2s.special_ids import POSSIBLE


class Hypothesis(NamedTuple):
    """Target text with its score, its log probability and its confidence."""

    text: str
    score: float  # by which the search ranks: log_prob with the length penalty
    log_prob: float  # log P(target | source), in nats
    confidence: float | None = None  # probability that the text is correct, for the best one


def hypotheses_of_rows(outputs: Mapping[str, Any]) -> list[list[Hypothesis]]:
    """Convert the outputs of a search to hypotheses.

    Args:
        outputs: Arrays "target" of bytes, "scores", "log_probs" and optionally "confidences", each
            of shape `(batch, num_hypotheses)`.

    Returns:
        The hypotheses of each row, best first, without empty slots.
    """
    names = [name for name in ("scores", "log_probs", "confidences") if name in outputs]
    rows = zip(outputs["target"], *(outputs[name].tolist() for name in names), strict=True)
    return [
        [
            Hypothesis(text.decode("utf-8", "replace"), score, *others)
            for text, score, *others in zip(*row, strict=True)
            if score > POSSIBLE
        ]
        for row in rows
    ]
