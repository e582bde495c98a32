"""Text outputs from an export that takes ids, and the comparison of two models' outputs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_s2s.checks import count_of
from keras_s2s.errors import InputError
from keras_s2s.export.parts import TOKENIZERS, VOCABULARIES, read_card, read_part
from keras_s2s.export.sessions import Arrays, Runtime, one_by_one, padded
from keras_s2s.export.text_tokenizer import PAD_ID, TextTokenizer


class TextRuntime:
    """Runtime that offers "serving_default" and "score" for an export of "ids" and "score_ids".

    Args:
        path: Path of the export, which must contain the vocabularies.
        runtime: The runtime of the export.

    Raises:
        FileNotFoundError: If the export has no vocabularies.
        ValueError: If a vocabulary is damaged.
    """

    def __init__(self, path: str, runtime: Runtime) -> None:
        card = read_card(path)
        self._signatures, self._path = list(card["signatures"]), path
        self._source_length = card.get("source_length")
        # a LiteRT file with a fixed length takes one row at a time
        rows_alone = self._source_length is not None and "LiteRT" in card["format"]
        self._runtime = (one_by_one if rows_alone else padded)(runtime, self._source_length)
        rules = json.loads(read_part(path, TOKENIZERS))
        self._source, self._target = (
            TextTokenizer(json.loads(read_part(path, VOCABULARIES[side])), rules[side])
            for side in ("source", "target")
        )

    def __call__(self, signature: str, inputs: dict[str, Any]) -> Arrays:
        """Tokenize texts, call the export, and detokenize its outputs.

        Args:
            signature: "serving_default" or "score".
            inputs: The inputs of the signature.

        Returns:
            The outputs of the signature.

        Raises:
            ValueError: If the export lacks the corresponding signature on ids, or a source is
                longer than the fixed length of the export.
        """
        wanted = ("score_ids",) if signature == "score" else ("ids", "greedy_ids")
        names = [name for name in wanted if name in self._signatures]
        if not names:
            raise InputError(
                f"{self._path}: the export must have one of the signatures {', '.join(wanted)}. "
                f"Received: {', '.join(self._signatures)}"
            )
        given = {"source_ids": self._rows(self._source, inputs["source"], self._source_length)}
        if signature == "score":
            given["target_ids"] = self._rows(self._target, inputs["target"], None)
            return self._runtime(names[0], given)
        found = self._runtime(names[0], given)
        texts = [
            [self._target.detokenize(ids).encode() for ids in hypotheses]
            for hypotheses in found["target_ids"].tolist()
        ]
        shape = found["scores"].shape
        target = np.array(texts, dtype=object).reshape(shape)
        figures = {name: found[name] for name in found if name not in ("target_ids", "lengths")}
        return {"target": target, **figures}

    def _rows(self, tokenizer: TextTokenizer, texts: Any, length: int | None) -> Any:
        """Tokenize texts, and pad them to the longest."""
        rows = [tokenizer.tokenize(text.decode("utf-8", "replace")) for text in texts]
        longest = max(map(len, rows))
        if length is not None and longest > length:
            raise InputError(
                f"{self._path}: sources must have at most {length} tokens, including eos. "
                f"Received: {longest} tokens"
            )
        ids = np.full((len(rows), longest), PAD_ID, np.int32)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
        return ids


class Answer(NamedTuple):
    """Best target for a text, and its score: `None` if the model found no target."""

    target: str
    score: float | None


class Change(NamedTuple):
    """Text with different targets from the two models."""

    source: str
    before: Answer
    after: Answer


class ModelComparison(NamedTuple):
    """Differences between two models on the same texts.

    Attributes:
        num_texts: Number of texts compared.
        changes: Texts with different targets, or with a target from one model only. The latter come
            first; the others are sorted by the change in score, largest first.
        num_unanswered: Number of texts without a target, before and after.
        mean_score_difference: Mean absolute difference of the scores of equal targets.
        max_score_difference: Maximum absolute difference of the scores of equal targets.
    """

    num_texts: int
    changes: list[Change]
    num_unanswered: tuple[int, int]
    mean_score_difference: float
    max_score_difference: float

    @property
    def share_changed(self) -> float:
        """Fraction of the texts whose target differs."""
        return len(self.changes) / self.num_texts if self.num_texts else 0.0


def compare_models(
    texts: Sequence[str], before: Sequence[Answer], after: Sequence[Answer]
) -> ModelComparison:
    """Compare the outputs of two models.

    Args:
        texts: The texts that both models translated.
        before: The current model's output for each text.
        after: The new model's output for each text.

    Returns:
        The differences.

    Raises:
        ValueError: If the number of outputs differs from the number of texts.

    Example:
        >>> found = compare_models(["a", "b"], [Answer("A", -1.0), Answer("B", -1.0)],
        ...                        [Answer("A", -1.5), Answer("V", -2.0)])
        >>> found.share_changed, found.max_score_difference
        (0.5, 0.5)
    """
    if not len(texts) == len(before) == len(after):
        raise InputError(
            f"`before` and `after` must contain one output per text. Received: "
            f"{count_of(len(texts), 'text')}, {len(before)} outputs before and {len(after)} after"
        )
    changes, differences = [], []
    for source, first, second in zip(texts, before, after, strict=True):
        if first.target != second.target or (first.score is None) != (second.score is None):
            changes.append(Change(source, first, second))
        elif first.score is not None and second.score is not None:
            differences.append(abs(second.score - first.score))
    changes.sort(key=_score_change, reverse=True)
    before_none, after_none = (
        sum(answer.score is None for answer in answers) for answers in (before, after)
    )
    mean = sum(differences) / len(differences) if differences else 0.0
    return ModelComparison(
        len(texts), changes, (before_none, after_none), mean, max(differences, default=0.0)
    )


def _score_change(change: Change) -> float:
    """Return the absolute change in score; infinite if only one model has a target."""
    before, after = change.before.score, change.after.score
    return math.inf if before is None or after is None else abs(after - before)
