"""What the tokenizers with a trained vocabulary have in common."""

from __future__ import annotations

import collections
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import tensorflow as tf

from keras_s2s.checks import check_int, check_positive_int
from keras_s2s.errors import InputError
from keras_s2s.special_ids import EOS_ID, SPECIAL_TOKENS, UNK_ID
from keras_s2s.tokenizers import strings
from keras_s2s.tokenizers.tokenizer import SPECIAL_PIECES, Tokenizer, check_texts, check_utf8

_VOCABULARY_FILE = "vocabulary.json"

AnyLookupTokenizer = TypeVar("AnyLookupTokenizer", bound="LookupTokenizer")


class LookupTokenizer(Tokenizer):
    """A tokenizer that cuts a text into parts and looks each of them up in a table.

    A sub-class says where the parts begin and end, in the graph (`borders`) and in Python
    (`split_text`); the two agree on every text. What is not in the vocabulary becomes unk. The
    spelling of a special token is text like any other: "[EOS]" in a text is never eos.

    Args:
        vocabulary: the token of each id, beginning with the special tokens "[PAD]", "[UNK]",
            "[BOS]", "[EOS]". May only be left out if `load_assets` is called next.
        **kwargs: the arguments of `keras.layers.Layer`.

    Raises:
        TypeError: if `vocabulary` is not a list of `str`.
        ValueError: if `vocabulary` does not begin with the special tokens or has nothing else; if
            a token is empty, stands twice, or is none that a text can be cut into.
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
        """Make a tokenizer whose vocabulary is what occurs in texts, the commonest first.

        Tokens of the same frequency stand in the order of their code points, so that the same
        texts always give the same ids.

        Args:
            texts: the texts; gone through once.
            max_vocabulary_size: how many ids there may be, the four special ones among them; the
                rarest tokens are left out.
            min_count: how often a token must occur to be taken.

        Returns:
            The tokenizer.

        Raises:
            TypeError: if `texts` are not an iterable of `str`.
            ValueError: if there are no tokens in them that occur `min_count` times, or an
                argument is out of range.
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
                f"`texts` must hold at least one token that occurs {min_count} times. "
                f"Received: texts with {len(counts)} different tokens, none of them so often"
                if counts
                else "`texts` must hold at least one token. Received: none"
            )
        tokens.sort(key=lambda token: (-counts[token], token))
        if max_vocabulary_size is not None:
            tokens = tokens[: max_vocabulary_size - len(SPECIAL_TOKENS)]
        return cls([*SPECIAL_TOKENS, *tokens])

    @staticmethod
    def split_text(text: str) -> list[str]:
        """Cut a text into parts in Python, as `borders` does in the graph."""
        raise NotImplementedError("A sub-class must define `split_text`.")

    @classmethod
    def is_token(cls, token: str) -> bool:
        """Whether a text can have this token."""
        return cls.split_text(token) == [token]

    @staticmethod
    def borders(flat: strings.FlatBytes) -> tuple[tf.Tensor, tf.Tensor]:
        """Mark the first and the last byte of each part: two bool tensors `(bytes,)`."""
        raise NotImplementedError("A sub-class must define `borders`.")

    @property
    def vocabulary(self) -> list[str]:
        """The token of each id; the first four are the special tokens."""
        return list(self._known_tokens())

    @property
    def vocabulary_size(self) -> int:
        """How many ids there are, the four special ones among them."""
        return len(self._known_tokens())

    @property
    def tables(self) -> list[Any]:
        """The lookup tables that a `tf.Module` must hold when it is saved with this tokenizer."""
        self._known_tokens()
        return [self._table]

    def _split(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Look the parts of texts up."""
        self._known_tokens()
        flat = strings.to_bytes(texts)
        parts, lengths = strings.substrings(texts, flat, *self.borders(flat))
        return tf.cast(self._table.lookup(parts), tf.int32), lengths

    def pieces(self) -> tuple[list[str], list[str]]:
        """The tokens, and the tokens behind the separator; see `Tokenizer.pieces`."""
        beginning = [*SPECIAL_PIECES, *self._known_tokens()[len(SPECIAL_TOKENS) :]]
        return beginning, [piece and self.separator + piece for piece in beginning]

    def save_assets(self, dir_path: str) -> None:
        """Write the vocabulary into a folder; Keras calls it when it saves a `.keras` file."""
        with open(os.path.join(dir_path, _VOCABULARY_FILE), "w", encoding="utf-8") as file:
            json.dump(self.vocabulary, file, ensure_ascii=False, indent=0)

    def load_assets(self, dir_path: str) -> None:
        """Read the vocabulary that `save_assets` wrote.

        Args:
            dir_path: the folder.

        Raises:
            FileNotFoundError: if the file is not there.
            ValueError: if the file is not JSON in UTF-8, or the vocabulary in it is refused.
            TypeError: if it holds something else than a list of `str`.
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
        """Check a vocabulary at the door."""
        if isinstance(vocabulary, str) or not isinstance(vocabulary, Sequence):
            raise TypeError(
                f"`vocabulary` must be a list of str. Received: {type(vocabulary).__name__}"
            )
        tokens = tuple(vocabulary)
        ids: dict[str, int] = {}
        for token_id, token in enumerate(tokens):
            if not isinstance(token, str):
                raise TypeError(
                    f"`vocabulary` must be a list of str. Received: {token!r} as token {token_id}"
                )
            if token in ids:
                raise InputError(
                    "`vocabulary` must not have a token twice. "
                    f"Received: {token!r} as tokens {ids[token]} and {token_id}"
                )
            ids[token] = token_id
        if tokens[: len(SPECIAL_TOKENS)] != SPECIAL_TOKENS:
            raise InputError(
                f"`vocabulary` must begin with {', '.join(SPECIAL_TOKENS)}. "
                f"Received: {list(tokens[: len(SPECIAL_TOKENS)])}"
            )
        if len(tokens) == len(SPECIAL_TOKENS):
            raise InputError(
                "`vocabulary` must have a token behind the special ones. Received: none"
            )
        for token_id, token in enumerate(tokens[len(SPECIAL_TOKENS) :], len(SPECIAL_TOKENS)):
            if not cls.is_token(check_utf8(token)):
                raise InputError(
                    f"`vocabulary` of {cls.__name__} must hold nothing that a text is not cut "
                    f"into. Received: {token!r} as token {token_id}"
                )
        return tokens

    def _set_vocabulary(self, tokens: tuple[str, ...]) -> None:
        """Take a checked vocabulary and make its table, outside of any graph being made."""
        self._table = make_table(
            {token: token_id for token_id, token in enumerate(tokens) if token_id > EOS_ID}
        )
        self._tokens = tokens
        self._compiled = None

    def _known_tokens(self) -> tuple[str, ...]:
        """The vocabulary; an error if there is none yet."""
        if not self._tokens:
            raise InputError(
                f"{type(self).__name__} has no vocabulary yet. Give it one, or make it by "
                f"`{type(self).__name__}.train(texts)`."
            )
        return self._tokens


def make_table(tokens: Mapping[str, int]) -> tf.lookup.StaticHashTable:
    """Make the table that looks up tokens, outside of any graph being made.

    Args:
        tokens: The id of each token.

    Returns:
        A table from string to int64; unk is the id of all else.
    """
    keys, ids = list(tokens) or [""], list(tokens.values()) or [UNK_ID]
    with tf.init_scope():
        return tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(keys, tf.string), tf.constant(ids, tf.int64)
            ),
            default_value=UNK_ID,
        )
