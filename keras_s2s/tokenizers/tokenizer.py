"""Base class of all tokenizers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_s2s.checks import check_utf8, short_repr
from keras_s2s.errors import InputError
from keras_s2s.graphs import compile_once
from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from keras_s2s.tokenizers import strings

# The output of `detokenize` for unk, the same as SentencePiece's.
UNKNOWN_TEXT = "⁇"
# The output of `detokenize` for the special tokens.
SPECIAL_PIECES = ("", UNKNOWN_TEXT, "", "")


class Tokenizer(keras.layers.Layer):
    """Base class of tokenizers, Keras layers that convert texts to ids and ids to texts.

    Tokenizers use only operations of TensorFlow and tensorflow-text, so they also run inside a
    SavedModel and a LiteRT file. A subclass defines how to split a text (`_split`) and the text of
    each id (`pieces`).

    Call arguments:
        texts: String `(batch,)`, a list of `str`, or one `str`.

    Returns:
        The ids of the texts, int32 `(batch, length)`; see `tokenize`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        # Keras would convert lists of str to its own arrays, and search the arguments for
        # tensors.
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        self.built = True
        self._compiled: _Compiled | None = None

    def call(self, texts: Any) -> tf.Tensor:
        return self.tokenize(texts)

    @property
    def vocabulary(self) -> list[str]:
        """The token of each id; the first four are the special tokens."""
        raise NotImplementedError(f"{type(self).__name__} must define `vocabulary`.")

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, including the four special ones."""
        return len(self.vocabulary)

    @property
    def tables(self) -> list[Any]:
        """The lookup tables that a `tf.Module` must reference to be saved with this tokenizer."""
        return []

    def text_rules(self) -> dict[str, Any]:
        """Return the tokenization rules: everything that a client needs besides the vocabulary.

        Exports store the rules, so that clients without tensorflow-text can split and join texts
        in the same way.

        Returns:
            A JSON-compatible dict: "class", the name of the class, and the settings of that class.
        """
        return {"class": type(self).__name__}

    def pieces(self) -> tuple[list[str] | list[bytes], list[str] | list[bytes]]:
        """Return the text that `detokenize` writes for each id.

        Returns:
            Two lists with a string for each id, including the special ids: its text at the
            beginning of an output, and its text after another token. In a `WordTokenizer`, for
            example, the second list has a space before each word.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `pieces`.")

    @tf.autograph.experimental.do_not_convert
    def tokenize(self, texts: Any) -> tf.Tensor:
        """Convert texts to ids.

        Args:
            texts: String `(batch,)`, a list of `str`, or a single text. Bytes that are not UTF-8
                become unknown tokens.

        Returns:
            int32 `(batch, length)`: each row ends with eos and is padded on the right. For a single
            text `(length,)`.

        Raises:
            TypeError: If `texts` are not strings.
            ValueError: If `texts` have more than one dimension, or a `str` cannot be encoded in
                UTF-8.
        """
        texts = _as_strings(texts)
        if texts.shape.rank == 0:
            return self.tokenize(tf.expand_dims(texts, 0))[0]
        if tf.executing_eagerly():
            return self._compile().tokenize(texts)
        return self._tokenize(texts)

    @tf.autograph.experimental.do_not_convert
    def split(self, texts: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Convert texts to ids without eos and padding, and concatenate the ids.

        Args:
            texts: String `(batch,)` or a list of `str`.

        Returns:
            The ids of all texts, int32 `(tokens,)`, and the number of ids of each text, int32
            `(batch,)`.

        Raises:
            TypeError: If `texts` are not strings.
            ValueError: If `texts` do not have one dimension, or a `str` cannot be encoded in UTF-8.
        """
        texts = _as_strings(texts)
        if texts.shape.rank == 0:
            raise InputError("`texts` must have one dimension. Received: a single text")
        if tf.executing_eagerly():
            return self._compile().split(texts)
        return self._split(texts)

    @tf.autograph.experimental.do_not_convert
    def detokenize(self, ids: Any) -> tf.Tensor:
        """Convert ids to texts.

        A text ends before the first eos. pad and bos are skipped, and unk becomes "⁇".

        Args:
            ids: int32 `(batch, length)` or `(batch, num_hypotheses, length)`; any number of
                leading dimensions, including none.

        Returns:
            String, with the shape of the leading dimensions.

        Raises:
            TypeError: If `ids` are not integers.
            ValueError: If `ids` have no dimension, or (outside of a graph) if an id is not in the
                vocabulary. In a graph such an id becomes "⁇", like unk.
        """
        ids = self._as_ids(ids)
        if ids.shape.rank != 2:
            leading, length = tf.shape(ids)[:-1], tf.shape(ids)[-1]
            rows = tf.reshape(ids, tf.stack([tf.reduce_prod(leading), length]))
            rows = tf.ensure_shape(rows, (None, ids.shape[-1]))
            return tf.reshape(self.detokenize(rows), leading)
        if tf.executing_eagerly():
            return self._compile().detokenize(ids)
        return self._detokenize(ids)

    def compute_output_shape(self, texts_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return the shape of the ids for texts of the given shape."""
        return (*texts_shape, None)

    def compute_output_spec(self, texts: Any) -> keras.KerasTensor:
        """Return the spec of the ids of a symbolic input, for functional models."""
        return keras.KerasTensor(self.compute_output_shape(texts.shape), dtype="int32")

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "trainable": self.trainable}

    def _split(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Convert checked texts `(batch,)` as `split` does, with graph operations only."""
        raise NotImplementedError(f"{type(self).__name__} must define `_split`.")

    def _tokenize(self, texts: tf.Tensor) -> tf.Tensor:
        """Convert checked texts `(batch,)` to ids."""
        ids, lengths = self._split(texts)
        return strings.to_rows(ids, lengths, end=EOS_ID, fill=PAD_ID)

    def _detokenize(self, ids: tf.Tensor) -> tf.Tensor:
        """Convert checked ids `(batch, length)` to texts."""
        follows, lengths = self.find_pieces(ids)
        rows = ids + tf.where(follows, self.vocabulary_size, 0)
        beginning, following = self.pieces()
        table = tf.constant([*beginning, *following], tf.string)
        # join_rows needs an empty string at the end.
        pieces = tf.gather(table, tf.concat([tf.reshape(rows, [-1]), [PAD_ID]], 0))
        return strings.join_rows(pieces, lengths, ids.shape[1])

    def find_pieces(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return which text of `pieces` each id has, and where each row ends.

        Args:
            ids: int32 `(batch, length)`.

        Returns:
            bool `(batch, length)`, true where the text is in the second list of `pieces`, and the
            number of ids before the first eos, int32 `(batch,)`.
        """
        ended = tf.cumsum(tf.cast(tf.equal(ids, EOS_ID), tf.int32), axis=1)
        lengths = tf.reduce_sum(tf.cast(tf.equal(ended, 0), tf.int32), axis=1)
        read = tf.not_equal(ids, PAD_ID) & tf.not_equal(ids, BOS_ID)
        return self._is_continuation(ids, read), lengths

    def _is_continuation(self, ids: tf.Tensor, read: tf.Tensor) -> tf.Tensor:
        """Mark ids `(batch, length)` whose text is in the second list of `pieces`."""
        return tf.cumsum(tf.cast(read, tf.int32), axis=1, exclusive=True) > 0

    def _compile(self) -> _Compiled:
        """Return the graphs for eager calls, created in the first call."""
        if self._compiled is None:
            self._compiled = _Compiled(self)
        return self._compiled

    def _as_ids(self, ids: Any) -> tf.Tensor:
        """Check ids and return them as a tensor."""
        ids = tf.convert_to_tensor(ids)
        if not ids.dtype.is_integer:
            raise TypeError(f"`ids` must be integers. Received: ids of dtype {ids.dtype.name}")
        if ids.shape.rank == 0:
            raise InputError("`ids` must have at least one dimension. Received: a scalar")
        if ids.dtype != tf.int32:
            ids = tf.cast(ids, tf.int64)  # as int32, a large id would become another one
        outside = (ids < 0) | (ids >= self.vocabulary_size)
        if tf.executing_eagerly() and np.any(outside):
            raise InputError(
                f"`ids` must lie between 0 and {self.vocabulary_size - 1}, the last id of the "
                f"vocabulary. Received: {ids.numpy()[outside.numpy()][0]}"
            )
        return tf.where(outside, UNK_ID, tf.cast(ids, tf.int32))


class _Compiled:
    """Graphs of a tokenizer, because a hundred separate operations take fifty times as long.

    Keras and TensorFlow do not track this object, so that no export stores it.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        texts = [tf.TensorSpec([None], tf.string)]
        ids = [tf.TensorSpec([None, None], tf.int32)]
        self.split: Any = compile_once(tokenizer._split, texts)
        self.tokenize: Any = compile_once(tokenizer._tokenize, texts)
        self.detokenize: Any = compile_once(tokenizer._detokenize, ids)


def check_texts(texts: Any) -> Iterator[str]:
    """Check texts and yield them one by one.

    Args:
        texts: An iterable of `str`.

    Yields:
        Each text.

    Raises:
        TypeError: If `texts` is a single string or contains anything other than `str`.
        ValueError: If a text cannot be encoded in UTF-8 (a lone surrogate).
    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise TypeError(f"`texts` must be an iterable of str. Received: {short_repr(texts)}")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(
                f"`texts` must be an iterable of str. Received: {short_repr(text)} as text {number}"
            )
        yield check_utf8(text)


def have_same_ids(first: Tokenizer, second: Tokenizer) -> bool:
    """Return whether two tokenizers have the same ids for every text.

    Args:
        first: A tokenizer.
        second: A tokenizer.

    Returns:
        `True` if their vocabularies and their rules are the same.
    """
    return first.vocabulary == second.vocabulary and first.text_rules() == second.text_rules()


def _as_strings(texts: Any) -> tf.Tensor:
    """Check texts and return them as a string tensor `(batch,)` or a scalar."""
    try:
        tensor = tf.convert_to_tensor(texts, tf.string)
    except (TypeError, ValueError) as error:
        items = texts.ravel() if isinstance(texts, np.ndarray) else tf.nest.flatten(texts)
        for item in items:
            if isinstance(item, str):
                check_utf8(item)
        raise TypeError(
            "`texts` must be a string tensor, a list of str, or a str. "
            f"Received: {short_repr(texts)}"
        ) from error
    if tensor.shape.rank is None:
        return tf.reshape(tensor, [-1])
    if tensor.shape.rank > 1:
        raise InputError(
            f"`texts` must have one dimension at most. Received: texts of shape {tensor.shape}"
        )
    return tensor
