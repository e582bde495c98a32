"""What every tokenizer is: text to ids and back, in the graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_s2s.errors import InputError
from keras_s2s.graphs import compile_once
from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from keras_s2s.tokenizers import strings

# What detokenize writes for unk: the sign that SentencePiece uses too.
UNKNOWN_TEXT = "⁇"
# What the special tokens read as.
SPECIAL_PIECES = ("", UNKNOWN_TEXT, "", "")


class Tokenizer(keras.layers.Layer):
    """A layer that turns texts into ids and ids into texts.

    The graph operations are those of TensorFlow and tensorflow-text, and the same ones run in a
    SavedModel and in LiteRT. The base class of all tokenizers: a sub-class says how a text is
    split (`_split`) and what each id reads as (`pieces`).

    Call arguments:
        texts: string `(batch,)`, a list of `str`, or one `str`.

    Returns:
        What `tokenize` returns.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        # Keras would turn lists of str into arrays of its own, and looks for tensors among the
        # arguments.
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
        """How many ids there are, the four special ones among them."""
        return len(self.vocabulary)

    @property
    def tables(self) -> list[Any]:
        """The lookup tables that a `tf.Module` must hold when it is saved with this tokenizer."""
        return []

    def text_rules(self) -> dict[str, Any]:
        """Return what a program needs besides the vocabulary to split and join texts.

        Exports store it, so that clients without tensorflow-text can tokenize.

        Returns:
            A dict that JSON can hold: "class", and what else the class needs.
        """
        return {"class": type(self).__name__}

    def pieces(self) -> tuple[list[str] | list[bytes], list[str] | list[bytes]]:
        """What each id reads as, the special ones included.

        Returns:
            Two lists of a string per id: at the beginning of a text, and behind another token.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `pieces`.")

    @tf.autograph.experimental.do_not_convert
    def tokenize(self, texts: Any) -> tf.Tensor:
        """Turn texts into ids.

        Args:
            texts: string `(batch,)`, a list of `str`, or a single text. Bytes that are not UTF-8
                become unknown tokens.

        Returns:
            int32 `(batch, length)`: each row ends in eos and is padded on the right. For a single
            text `(length,)`.

        Raises:
            TypeError: if `texts` are not strings.
            ValueError: if `texts` have more than one dimension, or hold a `str` that has no UTF-8.
        """
        texts = _as_strings(texts)
        if texts.shape.rank == 0:
            return self.tokenize(tf.expand_dims(texts, 0))[0]
        if tf.executing_eagerly():
            return self._compile().tokenize(texts)
        return self._tokenize(texts)

    @tf.autograph.experimental.do_not_convert
    def split(self, texts: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Turn texts into ids without eos and without padding, one text behind the other.

        Args:
            texts: string `(batch,)` or a list of `str`.

        Returns:
            The ids of all texts, int32 `(tokens,)`, and how many each text has, int32 `(batch,)`.

        Raises:
            TypeError: if `texts` are not strings.
            ValueError: if `texts` have not one dimension, or hold a `str` that has no UTF-8.
        """
        texts = _as_strings(texts)
        if texts.shape.rank == 0:
            raise InputError("`texts` must have one dimension. Received: a single text")
        if tf.executing_eagerly():
            return self._compile().split(texts)
        return self._split(texts)

    @tf.autograph.experimental.do_not_convert
    def detokenize(self, ids: Any) -> tf.Tensor:
        """Turn ids into texts.

        A text ends before the first eos; pad and bos are left out, unk reads "⁇".

        Args:
            ids: int32 `(batch, length)` or `(batch, num_hypotheses, length)`; any number of
                leading dimensions, also none.

        Returns:
            string, of the leading dimensions' shape.

        Raises:
            TypeError: if `ids` are not integers.
            ValueError: if `ids` have no dimension, or (outside of a graph) if one is not in the
                vocabulary; in a graph such an id reads like unk.
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
        """The shape of the ids of texts of a shape."""
        return (*texts_shape, None)

    def compute_output_spec(self, texts: Any) -> keras.KerasTensor:
        """The ids of a symbolic input, for functional models."""
        return keras.KerasTensor(self.compute_output_shape(texts.shape), dtype="int32")

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "trainable": self.trainable}

    def _split(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Turn checked texts `(batch,)` into what `split` returns; graph operations only."""
        raise NotImplementedError(f"{type(self).__name__} must define `_split`.")

    def _tokenize(self, texts: tf.Tensor) -> tf.Tensor:
        """Turn checked texts `(batch,)` into ids."""
        ids, lengths = self._split(texts)
        return strings.to_rows(ids, lengths, end=EOS_ID, fill=PAD_ID)

    def _detokenize(self, ids: tf.Tensor) -> tf.Tensor:
        """Turn checked ids `(batch, length)` into texts."""
        ended = tf.cumsum(tf.cast(tf.equal(ids, EOS_ID), tf.int32), axis=1)
        lengths = tf.reduce_sum(tf.cast(tf.equal(ended, 0), tf.int32), axis=1)
        read = tf.not_equal(ids, PAD_ID) & tf.not_equal(ids, BOS_ID)
        rows = ids + tf.where(self._reads_as_following(ids, read), self.vocabulary_size, 0)
        beginning, following = self.pieces()
        table = tf.constant([*beginning, *following], tf.string)
        # join_rows asks for an empty string at the end.
        pieces = tf.gather(table, tf.concat([tf.reshape(rows, [-1]), [PAD_ID]], 0))
        return strings.join_rows(pieces, lengths, ids.shape[1])

    def _reads_as_following(self, ids: tf.Tensor, read: tf.Tensor) -> tf.Tensor:
        """Mark ids `(batch, length)` that read as the second list of `pieces` says."""
        return tf.cumsum(tf.cast(read, tf.int32), axis=1, exclusive=True) > 0

    def _compile(self) -> _Compiled:
        """The graphs for calls outside of a graph, made at the first one."""
        if self._compiled is None:
            self._compiled = _Compiled(self)
        return self._compiled

    def _as_ids(self, ids: Any) -> tf.Tensor:
        """Check ids at the door."""
        ids = tf.convert_to_tensor(ids)
        if not ids.dtype.is_integer:
            raise TypeError(f"`ids` must be integers. Received: ids of dtype {ids.dtype.name}")
        if ids.shape.rank == 0:
            raise InputError("`ids` must have at least one dimension. Received: a scalar")
        ids = tf.cast(ids, tf.int32)
        outside = (ids < 0) | (ids >= self.vocabulary_size)
        if tf.executing_eagerly() and np.any(outside):
            raise InputError(
                f"`ids` must lie between 0 and {self.vocabulary_size - 1}, the last id of the "
                f"vocabulary. Received: {ids.numpy()[outside.numpy()][0]}"
            )
        return tf.where(outside, UNK_ID, ids)


class _Compiled:
    """Graphs of a tokenizer: hundred operations one by one take fifty times as long.

    It stands outside of what Keras and TensorFlow track, so that no export stores it.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        texts = [tf.TensorSpec([None], tf.string)]
        ids = [tf.TensorSpec([None, None], tf.int32)]
        self.split: Any = compile_once(tokenizer._split, texts)
        self.tokenize: Any = compile_once(tokenizer._tokenize, texts)
        self.detokenize: Any = compile_once(tokenizer._detokenize, ids)


def check_texts(texts: Any) -> Iterator[str]:
    """Give texts one by one, checked.

    Args:
        texts: an iterable of `str`.

    Yields:
        Each text.

    Raises:
        TypeError: if `texts` is a single string or holds something else than `str`.
        ValueError: if a text has no UTF-8 (a lone surrogate).
    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise TypeError(f"`texts` must be an iterable of str. Received: {texts!r}")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(
                f"`texts` must be an iterable of str. Received: {text!r} as text {number}"
            )
        yield check_utf8(text)


def check_utf8(text: str) -> str:
    """Return a text, or refuse it if it has a lone surrogate, which no UTF-8 can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            "A text must consist of Unicode characters that UTF-8 can hold. Received: "
            f"{str(text)!r}, which has a lone surrogate at position {error.start}"
        ) from error
    return text


def _as_strings(texts: Any) -> tf.Tensor:
    """Check texts at the door: string `(batch,)`, or a scalar."""
    try:
        tensor = tf.convert_to_tensor(texts, tf.string)
    except (TypeError, ValueError) as error:
        items = texts.ravel() if isinstance(texts, np.ndarray) else tf.nest.flatten(texts)
        for item in items:
            if isinstance(item, str):
                check_utf8(item)
        raise TypeError(
            f"`texts` must be a string tensor, a list of str, or a str. Received: {texts!r}"
        ) from error
    if tensor.shape.rank is None:
        return tf.reshape(tensor, [-1])
    if tensor.shape.rank > 1:
        raise InputError(
            f"`texts` must have one dimension at most. Received: texts of shape {tensor.shape}"
        )
    return tensor
