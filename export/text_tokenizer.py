"""Tokenize and detokenize texts without TensorFlow or NumPy.

This is the reference implementation for clients of an export that takes ids.
docs/how-to/ids.md describes the rules, and `examples/tokenizers` implements them in C++ and
JavaScript. The module is also a command, for a folder written by `keras_s2s.export.vocabularies`:

    python text_tokenizer.py FOLDER source "a text"
"""

from __future__ import annotations

import array
import base64
import importlib
import json
import struct
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

# A copy of this file outside the package raises the built-in type.
_errors = importlib.import_module("keras_s2s.errors") if __package__ == "keras_s2s.export" else None
InputError: type[ValueError] = _errors.InputError if _errors else ValueError

PAD_ID, UNK_ID, BOS_ID, EOS_ID = 0, 1, 2, 3
_NUM_SPECIAL = 4
_UNKNOWN_TEXT = "⁇"
_SPACE_SIGN = "▁"
# Difference between the log probabilities of the least probable piece and an unknown byte.
_UNKNOWN_PENALTY = 10.0


class TextTokenizer:
    """Tokenizer that splits and joins texts like the graph of an export.

    Args:
        tokens: The vocabulary: the token of each id.
        rules: Class of the tokenizer and its settings; see `Tokenizer.text_rules`.

    Raises:
        ValueError: If the class is unknown.
    """

    def __init__(self, tokens: Sequence[str], rules: dict[str, Any]) -> None:
        kind = rules["class"]
        if kind not in _SPLIT:
            raise InputError(
                f"The tokenizer class must be one of {', '.join(_SPLIT)}. Received: {kind!r}"
            )
        self.tokens, self.rules = list(tokens), rules
        self._kind = kind
        self.ids = {token: number for number, token in enumerate(tokens) if number >= _NUM_SPECIAL}
        self._pieces = _Pieces(self.tokens, rules) if kind == "SentencePieceTokenizer" else None

    def tokenize(self, text: str) -> list[int]:
        """Return the ids of a text, which end with eos."""
        if self._pieces is not None:
            return [*self._pieces.split(text), EOS_ID]
        if self._kind == "ByteTokenizer":
            return [*(byte + _NUM_SPECIAL for byte in text.encode()), EOS_ID]
        if self._kind == "DecomposedCharTokenizer":
            parts: Iterable[str] = self._decompose(text)
        else:
            parts = _SPLIT[self._kind](text)
        return [*(self.ids.get(part, UNK_ID) for part in parts), EOS_ID]

    def detokenize(self, ids: Iterable[int]) -> str:
        """Return the text of ids, up to the first eos. Ids that do not exist are written as unk."""
        kept: list[int] = []
        for number in ids:
            if number == EOS_ID:
                break
            kept.append(number if 0 <= number < len(self.tokens) else UNK_ID)
        if self._kind == "FeatureTokenizer":
            return self._join_features(kept)
        kept = [number for number in kept if number not in (PAD_ID, BOS_ID)]
        if self._kind == "ByteTokenizer":
            unknown = _UNKNOWN_TEXT.encode()
            pieces = (unknown if id_ == UNK_ID else bytes([id_ - _NUM_SPECIAL]) for id_ in kept)
            return b"".join(pieces).decode("utf-8", "replace")
        parts = [_UNKNOWN_TEXT if number == UNK_ID else self.tokens[number] for number in kept]
        return _JOIN[self._kind](parts, self.rules)

    def _decompose(self, text: str) -> Iterator[str]:
        """Yield the parts of each character, or the character if none of its parts is known."""
        for character in text:
            parts = unicodedata.normalize("NFD", character)
            yield from parts if any(part in self.ids for part in parts) else character

    def _join_features(self, ids: list[int]) -> str:
        """Join characters and features: a space before the first feature, ";" before the others."""
        text, before = "", ""
        for number in ids:
            token = self.tokens[number]
            if number >= _NUM_SPECIAL:
                text += " " + token[1:] if _is_feature(token) > _is_feature(before) else token
            elif number == UNK_ID:
                text += _UNKNOWN_TEXT
            before = token
        return text


def load_tokenizers(folder: str | Path) -> tuple[TextTokenizer, TextTokenizer]:
    """Load both tokenizers of an export.

    Args:
        folder: A folder written by `keras_s2s.export.vocabularies`, or "assets.extra" of a
            SavedModel.

    Returns:
        The tokenizers of source and target.
    """

    def read(name: str) -> Any:
        return json.loads((Path(folder) / name).read_text(encoding="utf-8"))

    rules = read("tokenizers.json")
    return (
        TextTokenizer(read("source_vocabulary.json"), rules["source"]),
        TextTokenizer(read("target_vocabulary.json"), rules["target"]),
    )


def _split_features(text: str) -> list[str]:
    """Split a text into the characters of its first words and the features in its last word."""
    word, *features = text.strip().rsplit(maxsplit=1) or [""]
    listed = features[0].split(";") if features else []
    return [*word, *(";" + feature for feature in listed if feature)]


def _is_feature(token: str) -> bool:
    """Return whether a token of a FeatureTokenizer is a feature."""
    return len(token) > 1 and token.startswith(";")


def _join_pieces(parts: list[str], rules: dict[str, Any]) -> str:
    """Join pieces of words; remove a leading space that the model added itself."""
    text = "".join(parts).replace(_SPACE_SIGN, " ")
    first = parts[0].replace(_SPACE_SIGN, " ") if parts else ""
    if first.startswith(" ") and (rules["add_dummy_prefix"] or rules["remove_extra_whitespaces"]):
        return text[1:]
    return text


_SPLIT: dict[str, Any] = {
    "CharTokenizer": list,
    "DecomposedCharTokenizer": None,
    "WordTokenizer": str.split,
    "FeatureTokenizer": _split_features,
    "ByteTokenizer": None,
    "SentencePieceTokenizer": None,
}
_JOIN: dict[str, Any] = {
    "CharTokenizer": lambda parts, rules: "".join(parts),
    "DecomposedCharTokenizer": lambda parts, rules: "".join(parts),
    "WordTokenizer": lambda parts, rules: " ".join(parts),
    "SentencePieceTokenizer": _join_pieces,
}


class _Pieces:
    """Unigram model of a SentencePieceTokenizer, which splits a text into its likeliest pieces."""

    def __init__(self, tokens: list[str], rules: dict[str, Any]) -> None:
        self._rules = rules
        self._scores = rules["scores"]
        known = range(_NUM_SPECIAL, len(tokens))
        self._ids = {tokens[number].encode(): number for number in known}
        self._longest = max(map(len, self._ids))
        self._unknown = _float32(min(self._scores[_NUM_SPECIAL:]) - _UNKNOWN_PENALTY)
        content = base64.b64decode(rules["character_map"])
        (size,) = struct.unpack_from("<I", content)
        self._trie = array.array("I", struct.unpack_from(f"<{size // 4}I", content, 4))
        self._replacements = content[4 + size :]

    def split(self, text: str) -> list[int]:
        """Return the ids of a text without eos."""
        return self._search(self._normalize(text.encode()))

    def _normalize(self, text: bytes) -> bytes:
        """Replace characters by the model's map, and spaces by U+2581."""
        if self._rules["add_dummy_prefix"]:
            text = b" " + text
        text = self._replace(text)
        if self._rules["remove_extra_whitespaces"]:
            for space in b"\t\n\r":
                text = text.replace(bytes([space]), b" ")
            begins = text.startswith(b" ") and self._rules["add_dummy_prefix"]
            text = b" ".join(word for word in text.split(b" ") if word)
            text = b" " + text if begins and text else text
        for space in b" \t\n\r":
            text = text.replace(bytes([space]), _SPACE_SIGN.encode())
        return text

    def _replace(self, text: bytes) -> bytes:
        """Replace the longest prefix found in the map, repeatedly."""
        found, place = [], 0
        while place < len(text):
            length, start = self._longest_prefix(text, place)
            if length:
                end = self._replacements.index(0, start)
                found.append(self._replacements[start:end])
            else:
                length = 1
                found.append(text[place : place + 1])
            place += length
        return b"".join(found)

    def _longest_prefix(self, text: bytes, place: int) -> tuple[int, int]:
        """Return the length and replacement of the longest prefix in the darts-clone trie."""
        if not self._trie:
            return 0, 0
        found = (0, 0)
        node = _children(self._trie[0])
        for number in range(place, len(text)):
            node ^= text[number]
            unit = self._trie[node]
            if unit & 0x800000FF != text[number]:
                break
            node ^= _children(unit)
            if unit & 0x100:
                found = number + 1 - place, self._trie[node] & 0x7FFFFFFF
        return found

    def _search(self, text: bytes) -> list[int]:
        """Find the pieces with the highest sum of scores: Viterbi's algorithm over bytes."""
        # for each position: the score, the id of the piece that ends there, and its start
        best: list[Any] = [None] * (len(text) + 1)
        best[0] = (0.0, -1, -1)
        for start in range(len(text)):
            here = best[start]
            if here is None:
                continue
            for end in range(start + 1, min(len(text), start + self._longest) + 1):
                number = self._ids.get(text[start:end])
                if number is not None:
                    _update(best, end, here[0] + self._scores[number], number, start)
            begin = here[2] if here[1] == UNK_ID else start  # a run of unknown bytes is one token
            _update(best, start + 1, here[0] + self._unknown, UNK_ID, begin)
        ids: list[int] = []
        end = len(text)
        while end > 0:
            _, number, end = best[end]
            ids.append(number)
        return ids[::-1]


def _children(unit: int) -> int:
    """Return the offset of the children of a trie unit."""
    return (unit >> 10) << ((unit & 0x200) >> 6)


def _update(best: list[Any], place: int, score: float, number: int, start: int) -> None:
    """Keep the better path to a position; sums are rounded to float32, as in the graph."""
    score = _float32(score)
    if best[place] is None or best[place][0] < score:
        best[place] = (score, number, start)


def _float32(value: float) -> float:
    """Round a number to float32."""
    rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return rounded


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[2] not in ("source", "target"):
        sys.exit("usage: text_tokenizer.py FOLDER source|target TEXT")
    try:
        loaded = load_tokenizers(sys.argv[1])
    except FileNotFoundError as error:
        sys.exit(f"{error.filename}: no such file. keras_s2s.export.vocabularies writes it")
    sides = dict(zip(("source", "target"), loaded, strict=True))
    ids = sides[sys.argv[2]].tokenize(sys.argv[3])
    sys.stdout.write(f"{ids}\n")
