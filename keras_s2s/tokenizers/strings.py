"""String operations that run the same in TensorFlow, in a SavedModel and in LiteRT.

All functions work on flat tensors with a number of elements per row, so that a long text in a
batch adds only its own length. No function reads across the boundary between two rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from keras_s2s.errors import MissingPackageError

# Number of pieces that one n-gram operation joins. If the length is not known when the graph is
# built, the operation is applied four times: 32**4 pieces are more than a million.
_JOIN_WIDTH = 32
_JOIN_LEVELS = 4


class FlatBytes(NamedTuple):
    """The bytes of a batch of strings, concatenated.

    Attributes:
        values: int32 `(bytes,)`.
        lengths: int32 `(batch,)`. Number of bytes of each string.
        begins_row: bool `(bytes,)`. True at the first byte of each string that is not empty.
        offsets: int32 `(bytes,)`. Position of each byte in its own string.
    """

    values: tf.Tensor
    lengths: tf.Tensor
    begins_row: tf.Tensor
    offsets: tf.Tensor


class TextOps(NamedTuple):
    """The generated operations of tensorflow-text.

    Its public wrappers check the row splits with an assertion for each property. This turns a graph
    of 150 nodes into one of 4000, which is slow to save and slow to load.

    Attributes:
        bytes: The operations that split strings.
        ngrams: The operation that joins strings.
        pieces: The operation that splits strings with a SentencePiece model.
        converter: The function that converts a SentencePiece model for the operation.
    """

    bytes: Any
    ngrams: Any
    pieces: Any
    converter: Any


def import_text_ops() -> TextOps:
    """Import tensorflow-text; called only when text is first split or joined.

    Returns:
        Its operations.

    Raises:
        ImportError: If it is not installed. The message explains how to install it.
    """
    try:
        from tensorflow_text.core.pybinds import pywrap_model_converter
        from tensorflow_text.python.ops import (
            byte_splitter,
            fast_sentencepiece_tokenizer,
            ngrams_op,
        )
    except (ImportError, tf.errors.NotFoundError) as error:
        absent = (getattr(error, "name", None) or "").startswith("tensorflow_text")
        minor = ".".join(tf.__version__.split(".")[:2])
        raise MissingPackageError(
            "Tokenizers need tensorflow-text, which "
            f"{'is not installed' if absent else f'cannot be imported ({error})'}: pip install "
            f"'tensorflow-text=={minor}.*', for Linux and for macOS on arm64; on Windows, use WSL. "
            "Without it, a `Seq2Seq` is trained and searched on ids"
        ) from error
    return TextOps(
        bytes=byte_splitter.gen_byte_splitter,
        ngrams=ngrams_op.gen_ngrams_op,
        pieces=fast_sentencepiece_tokenizer.gen_fast_sentencepiece_tokenizer,
        converter=pywrap_model_converter,
    )


def to_bytes(texts: tf.Tensor) -> FlatBytes:
    """Split strings into bytes.

    Args:
        texts: String `(batch,)`.

    Returns:
        Their `FlatBytes`.
    """
    values, row_splits, offsets, _ = import_text_ops().bytes.tf_text_byte_split_with_offsets(
        input_values=texts
    )
    splits = tf.cast(row_splits, tf.int32)
    total = tf.size(values)
    # A row without bytes begins at the same place as the next one; the end has no byte to mark.
    marks = tf.scatter_nd(
        tf.expand_dims(splits[:-1], 1), tf.ones_like(splits[:-1]), tf.expand_dims(total + 1, 0)
    )
    return FlatBytes(
        values=tf.cast(values, tf.int32),
        lengths=splits[1:] - splits[:-1],
        begins_row=marks[:-1] > 0,
        offsets=offsets,
    )


def character_borders(flat: FlatBytes) -> tuple[tf.Tensor, tf.Tensor]:
    """Find the first and the last byte of each character (code point).

    A byte of the form 10xxxxxx continues a character. Bytes that are not UTF-8 therefore form
    characters too, but no vocabulary contains them.

    Args:
        flat: The bytes.

    Returns:
        Two bool tensors `(bytes,)`.
    """
    continues = (flat.values >= 0x80) & (flat.values < 0xC0)
    first = flat.begins_row | ~continues
    return first, _followed_by(first)


def word_borders(flat: FlatBytes) -> tuple[tf.Tensor, tf.Tensor]:
    """Find the first and the last byte of each word, as `str.split()` does in Python.

    Args:
        flat: The bytes.

    Returns:
        Two bool tensors `(bytes,)`.
    """
    space = _white_space(flat)
    first = ~space & (flat.begins_row | _shift_right(space))
    last = ~space & (_followed_by(flat.begins_row) | _followed_by(space))
    return first, last


def count_words(texts: tf.Tensor) -> tf.Tensor:
    """Count the words of strings, which white space separates, as `str.split()` does in Python.

    Args:
        texts: String `(batch,)`.

    Returns:
        int32 `(batch,)`.
    """
    flat = to_bytes(texts)
    splits = _count_by_row(flat, word_borders(flat)[0])
    return splits[1:] - splits[:-1]


def substrings(
    texts: tf.Tensor, flat: FlatBytes, first: tf.Tensor, last: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Split strings at the borders found in their bytes.

    Args:
        texts: String `(batch,)`.
        flat: The bytes of `texts`.
        first: bool `(bytes,)`. True at the first byte of each part.
        last: bool `(bytes,)`. True at the last byte of each part.

    Returns:
        The parts, string `(parts,)`, and the number of parts of each text, int32 `(batch,)`.
    """
    part_splits = _count_by_row(flat, first)
    parts, _ = import_text_ops().bytes.tf_text_byte_split_by_offsets(
        texts,
        tf.boolean_mask(flat.offsets, first),
        tf.boolean_mask(flat.offsets, last) + 1,
        tf.cast(part_splits, tf.int64),
    )
    return parts, part_splits[1:] - part_splits[:-1]


def _count_by_row(flat: FlatBytes, marks: tf.Tensor) -> tf.Tensor:
    """Return the number of marked bytes before each string and in all, int32 `(batch + 1,)`."""
    numbers = tf.concat([[0], tf.cumsum(tf.cast(marks, tf.int32))], 0)
    byte_splits = tf.concat([[0], tf.cumsum(flat.lengths)], 0)
    return tf.gather(numbers, byte_splits)


def to_rows(
    values: tf.Tensor, lengths: tf.Tensor, *, end: int | None = None, fill: int = 0
) -> tf.Tensor:
    """Arrange flat values in rows, padded on the right.

    Args:
        values: int32 `(values,)`.
        lengths: int32 `(batch,)`. Number of values in each row.
        end: Value to append to each row, if any.
        fill: Padding value.

    Returns:
        int32 `(batch, length)`, with a length of at least 1.
    """
    starts = tf.cumsum(lengths, exclusive=True)
    extra = 0 if end is None else 1
    width = tf.reduce_max(tf.concat([[1], lengths + extra], 0))
    last = tf.size(values)
    rows = tf.gather(tf.concat([values, [fill]], 0), row_index(starts, lengths, width, last))
    if end is None:
        return rows
    positions = tf.expand_dims(tf.range(width), 0)
    return tf.where(tf.equal(positions, tf.expand_dims(lengths, 1)), end, rows)


def join_rows(pieces: tf.Tensor, lengths: tf.Tensor, length: int | None) -> tf.Tensor:
    """Join the first pieces of each row to one string.

    LiteRT has no operation that joins a number of strings known only at run time, but it has
    n-grams of a fixed width. They join 32 pieces to one, repeatedly. (The n-grams are computed on
    ragged rows: those of a dense tensor write beyond their memory in tensorflow-text 2.21.)

    Args:
        pieces: String `(batch * length + 1,)`, row by row, with an empty string at the end.
        lengths: int32 `(batch,)`. Number of pieces of each row to join.
        length: Number of pieces in a row, if known.

    Returns:
        String `(batch,)`.
    """
    rows = tf.size(lengths)
    row_length = length if length is not None else (tf.size(pieces) - 1) // tf.maximum(rows, 1)
    starts = tf.range(rows) * row_length
    for _ in range(_levels(length) - 1):
        joined_lengths = (lengths + _JOIN_WIDTH - 1) // _JOIN_WIDTH
        groups = tf.reduce_max(tf.concat([[1], joined_lengths], 0))
        pieces = _join_groups(pieces, starts, lengths, groups)
        starts, lengths = tf.range(rows) * groups, joined_lengths
    return _join_groups(pieces, starts, lengths, 1)[:-1]


def _levels(length: int | None) -> int:
    """Return the number of n-gram rounds that join rows of `length` pieces."""
    if length is None:
        return _JOIN_LEVELS
    levels = 1
    while _JOIN_WIDTH**levels < length:
        levels += 1
    return levels


def _join_groups(
    pieces: tf.Tensor, starts: tf.Tensor, lengths: tf.Tensor, groups: tf.Tensor | int
) -> tf.Tensor:
    """Join groups of 32 pieces of each row: `(batch * groups + 1,)`, an empty string at the end."""
    nothing = tf.size(pieces) - 1
    index = row_index(starts, lengths, groups * _JOIN_WIDTH, nothing)
    index = tf.concat([tf.reshape(index, [-1]), tf.fill([_JOIN_WIDTH], nothing)], 0)
    groups = tf.size(index) // _JOIN_WIDTH
    joined, _ = import_text_ops().ngrams.tf_text_ngrams_string_join(
        input_values=tf.gather(pieces, index),
        input_row_splits=[tf.cast(tf.range(groups + 1) * _JOIN_WIDTH, tf.int64)],
        width=_JOIN_WIDTH,
        axis=-1,
        string_separator="",
    )
    return joined


def row_index(
    starts: tf.Tensor, lengths: tf.Tensor, width: tf.Tensor | int, otherwise: tf.Tensor
) -> tf.Tensor:
    """Return indices of flat values as rows `(batch, width)`, padded with `otherwise`."""
    positions = tf.expand_dims(tf.range(width), 0)
    inside = positions < tf.expand_dims(lengths, 1)
    return tf.where(inside, tf.expand_dims(starts, 1) + positions, otherwise)


def _followed_by(marks: tf.Tensor) -> tf.Tensor:
    """Mark each element whose next element is marked, and the last element."""
    return tf.concat([marks[1:], tf.ones_like(marks[:1])], 0)


def _shift_right(marks: tf.Tensor) -> tf.Tensor:
    """Mark each element whose previous element is marked."""
    return tf.concat([tf.zeros_like(marks[:1]), marks[:-1]], 0)


def _next_in_row(values: tf.Tensor, begins_row: tf.Tensor) -> tf.Tensor:
    """Return the next byte of the same string for each byte, or 0."""
    following = tf.concat([values[1:], tf.zeros_like(values[:1])], 0)
    return tf.where(_followed_by(begins_row), 0, following)


def _white_space(flat: FlatBytes) -> tf.Tensor:
    """Mark all bytes of the characters that `str.isspace()` is true for."""
    byte = flat.values
    second = _next_in_row(byte, flat.begins_row)
    third = _next_in_row(second, flat.begins_row)
    # U+0009..U+000D, U+001C..U+0020
    one = ((byte >= 0x09) & (byte <= 0x0D)) | ((byte >= 0x1C) & (byte <= 0x20))
    # U+0085, U+00A0
    two = tf.equal(byte, 0xC2) & (tf.equal(second, 0x85) | tf.equal(second, 0xA0))
    # U+1680; U+2000..U+200A, U+2028, U+2029, U+202F; U+205F; U+3000
    ogham = tf.equal(byte, 0xE1) & tf.equal(second, 0x9A) & tf.equal(third, 0x80)
    general = (
        tf.equal(byte, 0xE2)
        & tf.equal(second, 0x80)
        & (
            ((third >= 0x80) & (third <= 0x8A))
            | tf.equal(third, 0xA8)
            | tf.equal(third, 0xA9)
            | tf.equal(third, 0xAF)
        )
    )
    mathematical = tf.equal(byte, 0xE2) & tf.equal(second, 0x81) & tf.equal(third, 0x9F)
    ideographic = tf.equal(byte, 0xE3) & tf.equal(second, 0x80) & tf.equal(third, 0x80)
    three = ogham | general | mathematical | ideographic
    second_of_any = _shift_right(two | three)
    return one | two | three | second_of_any | _shift_right(_shift_right(three))
