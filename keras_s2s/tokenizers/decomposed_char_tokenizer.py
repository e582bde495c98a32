"""Tokenizer that splits accents off characters, and Korean syllables into letters."""

from __future__ import annotations

import functools
import unicodedata
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_s2s.special_ids import EOS_ID, PAD_ID, UNK_ID
from keras_s2s.tokenizers import strings
from keras_s2s.tokenizers.char_tokenizer import CharTokenizer
from keras_s2s.tokenizers.lookup_tokenizer import make_table

# Korean syllables are composed of letters by a formula: chapter 3.12 of the Unicode standard.
_SYLLABLES = range(0xAC00, 0xD7A4)
_FIRST_LETTERS = range(0x1100, 0x1113)
_VOWELS = range(0x1161, 0x1176)
_LAST_LETTERS = range(0x11A8, 0x11C3)
# All other characters with a decomposition have code points in these ranges.
_COMPOSED = (range(0xC0, 0x3400), range(0xF900, 0xFB50), range(0x10000, 0x30000))


@keras.saving.register_keras_serializable(package="keras_s2s")
class DecomposedCharTokenizer(CharTokenizer):
    """Character-level tokenizer that splits accents off letters, and Korean syllables into letters.

    Each character is replaced by its canonical decomposition (Unicode NFD), and each part is a
    token: "é" becomes the letter e and an accent, and a Korean syllable becomes its two or three
    letters (jamo). The vocabulary is smaller, and rare characters share their parts with frequent
    ones: 8,000 Korean words have more than 1,000 different syllables, but fewer than 70 letters. A
    character with no part in the vocabulary becomes one unk. All other characters have the same ids
    whether they are composed (NFC) or decomposed. Only the order of the ids may differ, if a letter
    has several marks: the marks are not sorted.

    `detokenize` joins the parts without composing them, so use this tokenizer for sources. Use it
    for targets only if decomposed text is acceptable there. It does not work with
    `replace_unknown`.

    Args:
        vocabulary: The token of each id, beginning with the special tokens "[PAD]", "[UNK]",
            "[BOS]", "[EOS]". All other tokens are single characters without a decomposition. May be
            omitted only if `load_assets` is called next.
        **kwargs: The arguments of `keras.layers.Layer`.

    Raises:
        TypeError: If `vocabulary` is not a list of `str`.
        ValueError: If `vocabulary` does not begin with the special tokens or has no other tokens,
            or if a token is repeated or is not a single character without a decomposition.

    Example:
        >>> tokenizer = DecomposedCharTokenizer.train(["각"])
        >>> tokenizer.vocabulary_size  # the special tokens and three letters
        7
        >>> tokenizer.tokenize(["각가"]).numpy().tolist()
        [[4, 5, 6, 4, 5, 3]]

    References:
        - [Unicode Normalization Forms](https://unicode.org/reports/tr15/)
    """

    @staticmethod
    def split_text(text: str) -> list[str]:
        """Split a text into characters in Python, and decompose each of them."""
        return [part for character in text for part in unicodedata.normalize("NFD", character)]

    def text_rules(self) -> dict[str, Any]:
        """Return the class and the decompositions, except for Korean syllables.

        See `Tokenizer.text_rules`.
        """
        return {**super().text_rules(), "decompositions": self._known_decompositions()}

    def _split(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Look up the characters of texts, and replace each with the ids of its parts."""
        self._known_tokens()
        flat = strings.to_bytes(texts)
        first, last = self.borders(flat)
        characters, lengths = strings.substrings(texts, flat, first, last)
        parts = tf.gather(tf.constant(self._parts), self._table.lookup(characters))
        syllable = _syllables(flat, first, last)
        parts = tf.where(
            tf.expand_dims(syllable >= 0, 1), self._syllable_parts(tf.maximum(syllable, 0)), parts
        )
        exists = tf.not_equal(parts, PAD_ID)
        # the number of parts before each character, and before each text
        before = tf.concat([[0], tf.cumsum(tf.reduce_sum(tf.cast(exists, tf.int32), 1))], 0)
        splits = tf.gather(before, tf.concat([[0], tf.cumsum(lengths)], 0))
        ids = tf.boolean_mask(tf.reshape(parts, [-1]), tf.reshape(exists, [-1]))
        return ids, splits[1:] - splits[:-1]

    def _syllable_parts(self, syllable: tf.Tensor) -> tf.Tensor:
        """Return the ids of the letters of syllables, padded to the number of parts."""
        vowels, lasts = len(_VOWELS), len(_LAST_LETTERS) + 1
        letters = [
            tf.gather(tf.constant(self._first_ids), syllable // (vowels * lasts)),
            tf.gather(tf.constant(self._vowel_ids), syllable // lasts % vowels),
            tf.gather(tf.constant(self._last_ids), syllable % lasts),
        ]
        known = tf.reduce_any(tf.stack(letters) > UNK_ID, axis=0)
        letters = [
            tf.where(known, ids, otherwise)
            for ids, otherwise in zip(letters, (UNK_ID, PAD_ID, PAD_ID), strict=True)
        ]
        nothing = tf.zeros_like(syllable)
        return tf.stack([*letters, *[nothing] * (self._parts.shape[1] - len(letters))], axis=1)

    def _set_vocabulary(self, tokens: tuple[str, ...]) -> None:
        """Set a checked vocabulary, and the ids of the parts of all characters."""
        super()._set_vocabulary(tokens)
        ids = {token: number for number, token in enumerate(tokens) if number > EOS_ID}
        composed = self._known_decompositions()
        rows = [[number] for number in range(len(tokens))]
        rows += [[ids.get(part, UNK_ID) for part in found] for found in composed.values()]
        self._parts = np.full((len(rows), max(3, *map(len, rows))), PAD_ID, np.int32)
        for number, parts in enumerate(rows):
            self._parts[number, : len(parts)] = parts
        row_of = {character: len(tokens) + number for number, character in enumerate(composed)}
        self._table = make_table(ids | row_of)
        letters = [
            [ids.get(chr(point), UNK_ID) for point in points]
            for points in (_FIRST_LETTERS, _VOWELS, _LAST_LETTERS)
        ]
        self._first_ids, self._vowel_ids, self._last_ids = (*letters[:2], [PAD_ID, *letters[2]])

    def _known_decompositions(self) -> dict[str, str]:
        """Return the decompositions with at least one part in the vocabulary."""
        known = set(self._known_tokens())
        return {
            character: parts for character, parts in _decompositions().items() if known & set(parts)
        }


@functools.cache
def _decompositions() -> dict[str, str]:
    """Return the decomposition of each character that has one, except for Korean syllables."""
    characters = (chr(point) for points in _COMPOSED for point in points)
    parts = ((character, unicodedata.normalize("NFD", character)) for character in characters)
    return {character: found for character, found in parts if found != character}


def _syllables(flat: strings.FlatBytes, first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    """Return the number of each character among the Korean syllables, or -1."""
    places = tf.range(tf.size(flat.values))
    begin, end = tf.boolean_mask(places, first), tf.boolean_mask(places, last)
    # bytes of the form 1110xxxx 10xxxxxx 10xxxxxx
    byte = [tf.gather(flat.values, tf.minimum(begin + place, end)) for place in range(3)]
    number = (byte[0] - 0xE0) * 4096 + (byte[1] - 0x80) * 64 + (byte[2] - 0x80) - _SYLLABLES.start
    inside = tf.equal(end - begin, 2) & (number >= 0) & (number < len(_SYLLABLES))
    return tf.where(inside, number, -1)
