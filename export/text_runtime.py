"""Text outputs from an export that takes ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_s2s.errors import InputError
from keras_s2s.export.parts import CARD, TOKENIZERS, VOCABULARIES, parse_part
from keras_s2s.export.sessions import Arrays, Runtime, one_by_one, padded
from keras_s2s.export.text_tokenizer import EOS_ID, PAD_ID, TextTokenizer
from keras_s2s.texts import is_empty


class TextRuntime:
    """Runtime that offers "serving_default" and "score" for an export of "ids" and "score_ids".

    A source that is empty or longer than the fixed length of the export is sent without tokens, so
    its scores are -1e9.

    Args:
        path: Path of the export.
        parts: Its parts, from `read_parts`, which must include the vocabularies.
        runtime: The runtime of the export.

    Raises:
        FileNotFoundError: If the export has no vocabularies.
        ValueError: If a vocabulary is damaged.
    """

    def __init__(self, path: str, parts: dict[str, bytes], runtime: Runtime) -> None:
        card = parse_part(parts, CARD, path)
        self._signatures, self._path = list(card["signatures"]), path
        self._source_length = card.get("source_length")
        # a LiteRT file with a fixed length takes one row at a time
        rows_alone = self._source_length is not None and "LiteRT" in card["format"]
        self._runtime = (one_by_one if rows_alone else padded)(runtime, self._source_length)
        rules = parse_part(parts, TOKENIZERS, path)
        self._source, self._target = (
            TextTokenizer(parse_part(parts, VOCABULARIES[side], path), rules[side])
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
            ValueError: If the export lacks the corresponding signature on ids.
        """
        wanted = ("score_ids",) if signature == "score" else ("ids", "greedy_ids")
        names = [name for name in wanted if name in self._signatures]
        if not names:
            raise InputError(
                f"{self._path}: the export must have one of the signatures {', '.join(wanted)}. "
                f"Received: {', '.join(self._signatures)}"
            )
        sources = _tokenize(self._source, inputs["source"])
        limit = self._source_length
        kept = [
            [EOS_ID] if is_empty(text) or (limit is not None and len(row) > limit) else row
            for text, row in zip(inputs["source"], sources, strict=True)
        ]
        given = {"source_ids": _pad(kept)}
        if signature == "score":
            given["target_ids"] = _pad(_tokenize(self._target, inputs["target"]))
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


def _tokenize(tokenizer: TextTokenizer, texts: Any) -> list[list[int]]:
    """Tokenize texts in UTF-8."""
    return [tokenizer.tokenize(text.decode("utf-8", "replace")) for text in texts]


def _pad(rows: Sequence[Sequence[int]]) -> Any:
    """Pad rows of ids to the longest."""
    ids = np.full((len(rows), max(map(len, rows))), PAD_ID, np.int32)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
    return ids
