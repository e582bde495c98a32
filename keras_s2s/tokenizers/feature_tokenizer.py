"""Tokenizer of the characters of a lemma and the features after it."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.texts import FEATURE_SEPARATOR, split_features
from keras_s2s.tokenizers import strings
from keras_s2s.tokenizers.lookup_tokenizer import LookupTokenizer, make_table


@keras.saving.register_keras_serializable(package="keras_s2s")
class FeatureTokenizer(LookupTokenizer):
    """Feature tokenizer: splits a text such as "walk V;PST" into w a l k ;V ;PST.

    If a text has several words, the last one is a list of features, separated by ";". Everything
    before it is split into characters. A text of one word has no features. White space around both
    parts and empty features are ignored. In the vocabulary a feature begins with ";", so that the
    feature V and the letter V are different tokens. Use it for morphological inflection, with
    `read_pairs(path, features_column=2)`.

    Args:
        vocabulary: The token of each id, beginning with the special tokens "[PAD]", "[UNK]",
            "[BOS]", "[EOS]". All other tokens are single characters, or ";" and a feature. May be
            omitted only if `load_assets` is called next.
        **kwargs: The arguments of `keras.layers.Layer`.

    Raises:
        TypeError: If `vocabulary` is not a list of `str`.
        ValueError: If `vocabulary` does not begin with the special tokens or has no other tokens,
            or if a token is repeated or is neither a character nor a feature.

    Example:
        >>> tokenizer = FeatureTokenizer.train(["add V;PST", "add V"])
        >>> tokenizer.vocabulary[4:]
        ['d', ';V', 'a', ';PST']
        >>> tokenizer.tokenize(["dad V;PST"]).numpy().tolist()
        [[4, 6, 4, 5, 7, 3]]
        >>> tokenizer.detokenize([[4, 6, 4, 5, 7, 3]]).numpy().tolist()
        [b'dad V;PST']

    References:
        - [SIGMORPHON–UniMorph 2023 shared task 0 (Goldman et al., 2023)](
          https://aclanthology.org/2023.sigmorphon-1.13), for the form of the features
    """

    @staticmethod
    def split_text(text: str) -> list[str]:
        """Split a text into characters and features in Python."""
        lemma, features = split_features(text)
        return [*lemma, *(FEATURE_SEPARATOR + feature for feature in features if feature)]

    @staticmethod
    def borders(flat: strings.FlatBytes) -> tuple[tf.Tensor, tf.Tensor]:
        """Mark the first and the last byte of each character and each feature.

        Args:
            flat: The bytes of a batch of texts, one text after another.

        Returns:
            Two bool tensors `(bytes,)`: whether a byte is the first, and whether it is the last,
            of its token.
        """
        first, last, _ = _borders(flat)
        return first, last

    @staticmethod
    def feature_bytes(flat: strings.FlatBytes) -> tf.Tensor:
        """Return whether each byte belongs to a feature, bool `(bytes,)`."""
        _, _, in_features = _borders(flat)
        return in_features

    @classmethod
    def is_token(cls, token: str) -> bool:
        """Return whether a token is a single character, or ";" and a feature."""
        if is_feature(token):
            return cls.split_text(f"- {token}") == ["-", token]
        return len(token) == 1

    @property
    def tables(self) -> list[Any]:
        """The lookup tables that a `tf.Module` must reference to be saved with this tokenizer."""
        return [*super().tables, self._feature_table]

    def pieces(self) -> tuple[list[str], list[str]]:
        """Return the text of each id after a character, and its text after a feature."""
        after_character, _ = super().pieces()
        for token_id, token in enumerate(after_character):
            if is_feature(token):
                after_character[token_id] = " " + token[len(FEATURE_SEPARATOR) :]
        return after_character, super().pieces()[0]

    def _split(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Look up characters and features, which may have the same spelling, in separate tables."""
        self._known_tokens()
        flat = strings.to_bytes(texts)
        first, last, in_features = _borders(flat)
        parts, lengths = strings.substrings(texts, flat, first, last)
        ids = tf.where(
            tf.boolean_mask(in_features, first),
            self._feature_table.lookup(parts),
            self._table.lookup(parts),
        )
        return tf.cast(ids, tf.int32), lengths

    def _set_vocabulary(self, tokens: tuple[str, ...]) -> None:
        super()._set_vocabulary(tokens)
        features = {
            token[len(FEATURE_SEPARATOR) :]: token_id
            for token_id, token in enumerate(tokens)
            if is_feature(token)
        }
        self._feature_table = make_table(features)
        self._is_feature = tuple(is_feature(token) for token in tokens)

    def _is_continuation(self, ids: tf.Tensor, read: tf.Tensor) -> tf.Tensor:
        """Mark ids `(batch, length)` that are after a feature."""
        before = tf.pad(ids[:, :-1], [[0, 0], [1, 0]])
        return tf.gather(tf.constant(self._is_feature), before)


def is_feature(token: str) -> bool:
    """Return whether a token of a `FeatureTokenizer` is a feature.

    Args:
        token: The token, as spelled in the vocabulary.

    Returns:
        True if the token is ";" followed by at least one character.
    """
    return len(token) > len(FEATURE_SEPARATOR) and token.startswith(FEATURE_SEPARATOR)


def _borders(flat: strings.FlatBytes) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Mark the first and the last byte of each part, and all bytes of features."""
    begins_word, ends_word = strings.word_borders(flat)
    words = tf.concat([[0], tf.cumsum(tf.cast(begins_word, tf.int32))], 0)
    splits = tf.gather(words, tf.concat([[0], tf.cumsum(flat.lengths)], 0))
    row = tf.cumsum(tf.cast(flat.begins_row, tf.int32)) - 1  # number of the row that is not empty
    before, after = (
        tf.gather(tf.boolean_mask(of_row, flat.lengths > 0), row)
        for of_row in (splits[:-1], splits[1:])
    )
    number, count = words[1:] - before, after - before  # of each byte's word; in its row
    ended = tf.cumsum(tf.cast(ends_word, tf.int32), exclusive=True) - before
    inside = ended < number  # in a word, not between two
    in_features = inside & (count > 1) & tf.equal(number, count)
    lemma_words = tf.maximum(count - 1, 1)
    # white space belongs to the lemma only between two of its words
    in_lemma = (number > 0) & (ended < lemma_words)

    first_of_character, last_of_character = strings.character_borders(flat)
    separator = tf.equal(flat.values, ord(FEATURE_SEPARATOR))
    after_separator = tf.concat([[False], separator[:-1]], 0)
    before_separator = tf.concat([separator[1:], [False]], 0)
    in_features &= ~separator
    first = (in_lemma & first_of_character) | (in_features & (begins_word | after_separator))
    last = (in_lemma & last_of_character) | (in_features & (ends_word | before_separator))
    return first, last, in_features
