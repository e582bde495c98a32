"""Base class of tokenizers with a lookup table."""

from __future__ import annotations

import collections
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import tensorflow as tf

from keras_s2s.checks import check_int, check_positive_int, check_utf8, count_of, short_repr
from keras_s2s.errors import InputError
from keras_s2s.special_ids import EOS_ID, SPECIAL_TOKENS, UNK_ID
from keras_s2s.tokenizers import strings
from keras_s2s.tokenizers.tokenizer import SPECIAL_PIECES, Tokenizer, check_texts

_VOCABULARY_FILE = "vocabulary.json"

AnyLookupTokenizer = TypeVar("AnyLookupTokenizer", bound="LookupTokenizer")


class LookupTokenizer(Tokenizer):
    """Base class of tokenizers that split a text into tokens and look up each one in a table.

    A subclass defines where tokens begin and end, in the graph (`borders`) and in Python
    (`split_text`); both must agree on every text. Tokens that are not in the vocabulary become unk.
    The spelling of a special token is ordinary text: "[EOS]" in a text is never eos.

    Args:
        vocabulary: The token of each id, beginning with the special tokens "[PAD]", "[UNK]",
            "[BOS]", "[EOS]". May be omitted only if `load_assets` is called next.
        **kwargs: The arguments of `keras.layers.Layer`.

    Raises:
        TypeError: If `vocabulary` is not a list of `str`.
        ValueError: If `vocabulary` does not begin with the special tokens or has no other tokens,
            or if a token is empty, is repeated, or is not a single token of this tokenizer.
    """

    separator = ""

    def __init__(self, vocabulary: Sequence[str] | None = None, **kwargs: Any) -> None:
        tokens = None if vocabulary is None else self._check_vocabulary(vocabulary)
        super().__init__(**kwargs)
        self._tokens: tuple[str, ...] = ()
        self._table: Any = None
        if tokens is not None:
            self._set_vocabulary(tokens)

    @classmethod
    def train(
        cls: type[AnyLookupTokenizer],
        texts: Iterable[str],
        *,
        max_vocabulary_size: int | None = None,
        min_count: int = 1,
    ) -> AnyLookupTokenizer:
        """Create a tokenizer with the most frequent tokens of texts as its vocabulary.

        Tokens with the same frequency are sorted by code points, so the same texts always result
        in the same ids.

        Args:
            texts: The texts; iterated over once.
            max_vocabulary_size: Maximum number of ids, including the four special ones. The rarest
                tokens are dropped. Defaults to `None`, no limit.
            min_count: Minimum number of occurrences of a token. Defaults to 1.

        Returns:
            The tokenizer.

        Raises:
            TypeError: If `texts` is not an iterable of `str`.
            ValueError: If no token occurs `min_count` times, or an argument is out of range.
        """
        if max_vocabulary_size is not None:
            check_int("max_vocabulary_size", max_vocabulary_size, minimum=len(SPECIAL_TOKENS) + 1)
        check_positive_int("min_count", min_count)
        counts: collections.Counter[str] = collections.Counter()
        for text in check_texts(texts):
            counts.update(cls.split_text(text))
        tokens = [
            token
            for token, count in counts.items()
            if count >= min_count and token not in SPECIAL_TOKENS
        ]
        if not tokens:
            raise InputError(
                f"`texts` must contain at least one token that occurs {min_count} times. Received: "
                f"texts with {count_of(len(counts), 'different token')}, none that frequent"
                if counts
                else "`texts` must contain at least one token. Received: none"
            )
        tokens.sort(key=lambda token: (-counts[token], token))
        if max_vocabulary_size is not None:
            tokens = tokens[: max_vocabulary_size - len(SPECIAL_TOKENS)]
        return cls([*SPECIAL_TOKENS, *tokens])

    @staticmethod
    def split_text(text: str) -> list[str]:
        """Split a text into tokens in Python, at the same places as `borders` in the graph."""
        raise NotImplementedError("A subclass must define `split_text`.")

    @classmethod
    def is_token(cls, token: str) -> bool:
        """Return whether a string is a single token of this tokenizer."""
        return cls.split_text(token) == [token]

    @staticmethod
    def borders(flat: strings.FlatBytes) -> tuple[tf.Tensor, tf.Tensor]:
        """Mark the token borders: the bytes at which tokens begin and end.

        Args:
            flat: The bytes of a batch of texts, one text after another.

        Returns:
            Two bool tensors `(bytes,)`: true at the first byte of each token, and true at the last
            byte of each token.
        """
        raise NotImplementedError("A subclass must define `borders`.")

    @property
    def vocabulary(self) -> list[str]:
        """The token of each id; the first four are the special tokens."""
        return list(self._known_tokens())

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, including the four special ones."""
        return len(self._known_tokens())

    @property
    def tables(self) -> list[Any]:
        """The lookup tables that a `tf.Module` must reference to be saved with this tokenizer."""
        self._known_tokens()
        return [self._table]

    def _split(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Look up the tokens of texts."""
        self._known_tokens()
        flat = strings.to_bytes(texts)
        parts, lengths = strings.substrings(texts, flat, *self.borders(flat))
        return tf.cast(self._table.lookup(parts), tf.int32), lengths

    def pieces(self) -> tuple[list[str], list[str]]:
        """The tokens, and the tokens after the separator; see `Tokenizer.pieces`."""
        beginning = [*SPECIAL_PIECES, *self._known_tokens()[len(SPECIAL_TOKENS) :]]
        return beginning, [piece and self.separator + piece for piece in beginning]

    def save_assets(self, dir_path: str) -> None:
        """Write the vocabulary to a folder; called by Keras when it saves a `.keras` file."""
        with open(os.path.join(dir_path, _VOCABULARY_FILE), "w", encoding="utf-8") as file:
            json.dump(self.vocabulary, file, ensure_ascii=False, indent=0)

    def load_assets(self, dir_path: str) -> None:
        """Read the vocabulary that `save_assets` wrote.

        Args:
            dir_path: The folder.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If the file is not JSON in UTF-8, or its vocabulary is invalid.
            TypeError: If the file does not contain a list of `str`.
        """
        path = os.path.join(dir_path, _VOCABULARY_FILE)
        if not os.path.isfile(path):
            raise FileNotFoundError(
                f"The vocabulary of {type(self).__name__} is missing. Expected: {path}"
            )
        try:
            with open(path, encoding="utf-8") as file:
                vocabulary = json.load(file)
        except ValueError as error:
            raise InputError(f"{path}: not a JSON file in UTF-8: {error}") from error
        self._set_vocabulary(self._check_vocabulary(vocabulary))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(vocabulary_size={len(self._tokens)})"

    @classmethod
    def _check_vocabulary(cls, vocabulary: Any) -> tuple[str, ...]:
        """Check a vocabulary and return it as a tuple."""
        if isinstance(vocabulary, str) or not isinstance(vocabulary, Sequence):
            raise TypeError(
                f"`vocabulary` must be a list of str. Received: {type(vocabulary).__name__}"
            )
        tokens = tuple(vocabulary)
        ids: dict[str, int] = {}
        for token_id, token in enumerate(tokens):
            if not isinstance(token, str):
                raise TypeError(
                    "`vocabulary` must be a list of str. "
                    f"Received: {short_repr(token)} as token {token_id}"
                )
            if token in ids:
                raise InputError(
                    "`vocabulary` must not repeat a token. "
                    f"Received: {short_repr(token)} as tokens {ids[token]} and {token_id}"
                )
            ids[token] = token_id
        if tokens[: len(SPECIAL_TOKENS)] != SPECIAL_TOKENS:
            raise InputError(
                f"`vocabulary` must begin with {', '.join(SPECIAL_TOKENS)}. "
                f"Received: {list(tokens[: len(SPECIAL_TOKENS)])}"
            )
        if len(tokens) == len(SPECIAL_TOKENS):
            raise InputError(
                "`vocabulary` must have at least one token after the special tokens. Received: none"
            )
        for token_id, token in enumerate(tokens[len(SPECIAL_TOKENS) :], len(SPECIAL_TOKENS)):
            if not cls.is_token(check_utf8(token)):
                raise InputError(
                    f"`vocabulary` of {cls.__name__} must contain only tokens that it splits texts "
                    f"into. Received: {short_repr(token)} as token {token_id}"
                )
        return tokens

    def _set_vocabulary(self, tokens: tuple[str, ...]) -> None:
        """Set a checked vocabulary and create its table, outside of any graph being built."""
        self._table = make_table(
            {token: token_id for token_id, token in enumerate(tokens) if token_id > EOS_ID}
        )
        self._tokens = tokens
        self._compiled = None

    def _known_tokens(self) -> tuple[str, ...]:
        """The vocabulary. Raises an error if it is not set yet."""
        if not self._tokens:
            raise InputError(
                f"{type(self).__name__} has no vocabulary. Pass `vocabulary`, or create it with "
                f"`{type(self).__name__}.train(texts)`. A config contains no vocabulary: copy a "
                "tokenizer or a translator with `copy.deepcopy`, not with `clone_model`"
            )
        return self._tokens


def make_table(tokens: Mapping[str, int]) -> tf.lookup.StaticHashTable:
    """Create a lookup table of tokens, outside of any graph being built.

    Args:
        tokens: The id of each token.

    Returns:
        A table from string to int64, with unk as its default.
    """
    keys, ids = list(tokens) or [""], list(tokens.values()) or [UNK_ID]
    with tf.init_scope():
        return tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(keys, tf.string), tf.constant(ids, tf.int64)
            ),
            default_value=UNK_ID,
        )
