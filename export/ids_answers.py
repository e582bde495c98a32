"""Answering texts with an export that takes ids, by tokenizing outside of its graph."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from keras_s2s.errors import InputError
from keras_s2s.export.model_card import TOKENIZERS, VOCABULARIES, read_card, read_part
from keras_s2s.export.parity import Runtime
from keras_s2s.export.questions import Arrays
from keras_s2s.export.text_tokenizer import PAD_ID, TextTokenizer


class IdsAnswers:
    """Runtime for "serving_default" and "score" that calls an export of "ids" and "score_ids".

    Args:
        path: Path of the export, which must have the vocabularies.
        runtime: The runtime of the export.

    Raises:
        FileNotFoundError: If the export has no vocabularies.
        ValueError: If a vocabulary is damaged.
    """

    def __init__(self, path: str, runtime: Runtime) -> None:
        card = read_card(path)
        self._source_length, self._one_row = card["source_length"], "LiteRT" in card["format"]
        self._signatures, self._path, self._runtime = list(card["signatures"]), path, runtime
        rules = json.loads(read_part(path, TOKENIZERS))
        self._source, self._target = (
            TextTokenizer(json.loads(read_part(path, VOCABULARIES[side])), rules[side])
            for side in ("source", "target")
        )

    def __call__(self, signature: str, inputs: dict[str, Any]) -> Arrays:
        """Answer texts.

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
            return self._ask(names[0], given)
        found = self._ask(names[0], given)
        texts = [
            [self._target.detokenize(ids).encode() for ids in hypotheses]
            for hypotheses in found["target_ids"].tolist()
        ]
        shape = found["scores"].shape
        target = np.array(texts, dtype=object).reshape(shape)
        return {"target": target, "scores": found["scores"], "log_probs": found["log_probs"]}

    def _ask(self, name: str, inputs: Arrays) -> Arrays:
        """Run the export, row by row if it takes one row at a time."""
        if self._source_length is None or not self._one_row:
            return self._runtime(name, inputs)
        size = len(inputs["source_ids"])
        rows = [
            self._runtime(name, {key: value[row : row + 1] for key, value in inputs.items()})
            for row in range(size)
        ]
        return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}

    def _rows(self, tokenizer: TextTokenizer, texts: Any, length: int | None) -> Any:
        """Tokenize texts into padded rows."""
        rows = [tokenizer.tokenize(text.decode("utf-8", "replace")) for text in texts]
        longest = max(map(len, rows))
        if length is not None and longest > length:
            raise InputError(
                f"{self._path}: sources must have at most {length} tokens, eos counted. Received: "
                f"{longest} tokens"
            )
        ids = np.full((len(rows), length or longest), PAD_ID, np.int32)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
        return ids
