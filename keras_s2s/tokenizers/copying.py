"""Copying source tokens to a target: as ids by a model, or as text in place of unknown tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_s2s.checks import short_repr
from keras_s2s.errors import InputError
from keras_s2s.special_ids import BOS_ID, PAD_ID, SPECIAL_TOKENS, UNK_ID
from keras_s2s.tokenizers import strings
from keras_s2s.tokenizers.decomposed_char_tokenizer import DecomposedCharTokenizer
from keras_s2s.tokenizers.feature_tokenizer import FeatureTokenizer, is_feature
from keras_s2s.tokenizers.lookup_tokenizer import LookupTokenizer
from keras_s2s.tokenizers.tokenizer import UNKNOWN_TEXT, Tokenizer

_NO_BYTE = 256
# Weight of a source token that is in the target vocabulary, relative to an unknown one.
_KNOWN_WEIGHT = 1e-6


class _Spans(NamedTuple):
    """Positions and lengths of strings in a sequence of bytes."""

    starts: tf.Tensor  # int32
    lengths: tf.Tensor  # int32


def copy_ids(source: Tokenizer, target: Tokenizer) -> list[int]:
    """Map source ids to target ids, for a decoder with `copy=True`.

    A source token is copied as the target token with the same spelling. If the target vocabulary
    has no such token, it is copied as unk, and `Translator(..., replace_unknown=True)` writes the
    text of the source token instead of unk. These source tokens are never copied: pad, bos,
    features of a `FeatureTokenizer`, and pieces of a `SentencePieceTokenizer` that the target
    vocabulary lacks.

    To copy whole words, such as names, use one `WordTokenizer` for both sides, with a vocabulary
    that lacks the names. All unknown words have the same id, unk, so the model cannot distinguish
    two of them in a source.

    Args:
        source: Tokenizer of the sources.
        target: Tokenizer of the targets.

    Returns:
        The target id for each source id, or -1 if the source id cannot be copied.

    Raises:
        TypeError: If `source` or `target` is not a tokenizer.

    Example:
        >>> source, target = CharTokenizer.train(["abc"]), CharTokenizer.train(["bcd"])
        >>> source.vocabulary[4:], target.vocabulary[4:]
        (['a', 'b', 'c'], ['b', 'c', 'd'])
        >>> copy_ids(source, target)
        [-1, 1, -1, 3, 1, 4, 5]
    """
    for name, tokenizer in (("source", source), ("target", target)):
        if not isinstance(tokenizer, Tokenizer):
            raise TypeError(
                f"`{name}` must be a Tokenizer. Received: {name}={short_repr(tokenizer)}"
            )
    found = {token: token_id for token_id, token in enumerate(target.vocabulary)}
    lacking = UNK_ID if isinstance(source, LookupTokenizer) else -1
    ids = []
    for token_id, token in enumerate(source.vocabulary):
        if token_id < len(SPECIAL_TOKENS):
            ids.append(-1 if token_id in (PAD_ID, BOS_ID) else token_id)
        elif isinstance(source, FeatureTokenizer) and is_feature(token):
            ids.append(-1)
        else:
            ids.append(found.get(token, lacking))
    return ids


def ids_to_copy(source: Tokenizer, target: Tokenizer) -> list[int]:
    """Return `copy_ids` of tokenizers that must have a token in common.

    Args:
        source: Tokenizer of the sources.
        target: Tokenizer of the targets.

    Returns:
        The target id for each source id, or -1 if the source id cannot be copied.

    Raises:
        ValueError: If no source token is spelled like a target token.
    """
    ids = copy_ids(source, target)
    if max(ids) < len(SPECIAL_TOKENS):
        raise InputError(
            "`copy` needs source tokens that are spelled like target tokens: the tokenizers have "
            "none in common. Use copy=False (`--no-copy`) or other tokenizers"
        )
    return ids


def has_substrings(source: Tokenizer) -> bool:
    """Return whether each token is a substring of its text, so that `replace_unknown` can copy it.

    Args:
        source: Tokenizer of the source.

    Returns:
        False for bytes, pieces and parts of decomposed characters.
    """
    return isinstance(source, LookupTokenizer) and not isinstance(source, DecomposedCharTokenizer)


def replace_unknown(
    target: Tokenizer,
    target_ids: tf.Tensor,
    source: LookupTokenizer,
    texts: tf.Tensor,
    attention: tf.Tensor,
) -> tf.Tensor:
    """Detokenize, and replace each unk with the source token that has the most attention.

    The token is copied as spelled in the source text, even if the source vocabulary lacks it, as
    with a name. Features of a `FeatureTokenizer` are not copied. If the text is empty, unk becomes
    "⁇".

    LiteRT has no operation that joins strings of two tensors. The tokens and the texts are
    therefore handled as numeric bytes until the output is joined.

    Args:
        target: Tokenizer of the target.
        target_ids: int32 `(batch, num_hypotheses, length)`.
        source: Tokenizer of the source.
        texts: String `(batch,)`, the sources.
        attention: float32 `(batch, num_hypotheses, length, source_length)`.

    Returns:
        String `(batch, num_hypotheses)`.

    References:
        - [Addressing the rare word problem in neural machine translation (Luong et al., 2015)](
          https://arxiv.org/abs/1410.8206)
    """
    flat = strings.to_bytes(texts)
    tokens, splits, is_text = _find_tokens(source, flat)
    counts = tf.reshape(splits[1:] - splits[:-1], [-1, 1, 1])
    places = tf.range(tf.shape(attention)[3])
    exists = tf.expand_dims(counts, 3) > places  # not eos or padding
    numbers = tf.minimum(tf.expand_dims(splits[:-1], 1) + places, tf.size(is_text) - 1)
    exists &= tf.expand_dims(tf.expand_dims(tf.gather(is_text, numbers), 1), 1)
    looks_at = tf.argmax(tf.where(exists, attention, -1.0), axis=3, output_type=tf.int32)
    copied = tf.equal(target_ids, UNK_ID) & (counts > 0)
    nothing = tf.size(tokens.starts) - 1
    looks_at = tf.where(copied, looks_at + tf.reshape(splits[:-1], [-1, 1, 1]), nothing)

    table, pieces = _piece_table(target)
    shape = tf.shape(target_ids)
    follows, ends = target.find_pieces(tf.reshape(target_ids, [shape[0] * shape[1], shape[2]]))
    numbers = tf.where(copied, target.vocabulary_size, target_ids)
    numbers += tf.reshape(tf.where(follows, target.vocabulary_size + 1, 0), shape)
    # (batch, num_hypotheses, length, 2): the target's piece, and the copied token
    starts = [
        tf.gather(pieces.starts, numbers),
        tf.gather(tokens.starts, looks_at) + tf.size(table),
    ]
    lengths = [tf.gather(pieces.lengths, numbers), tf.gather(tokens.lengths, looks_at)]
    read = tf.range(shape[2]) < tf.reshape(ends, [shape[0], shape[1], 1])  # before eos
    lengths = tf.where(tf.expand_dims(read, 3), tf.stack(lengths, axis=3), 0)
    spans = _Spans(tf.stack(starts, axis=3), lengths)
    return _write(tf.concat([table, flat.values], 0), spans)


def prefer_unknown(
    attention: tf.Tensor, source_ids: tf.Tensor, copy_ids: Sequence[int]
) -> tf.Tensor:
    """Weight attention so that `replace_unknown` prefers tokens that a model copies as unk.

    Args:
        attention: float32 `(batch, num_hypotheses, length, source_length)`.
        source_ids: int32 `(batch, source_length)`.
        copy_ids: Target id as which the model copies each source id.

    Returns:
        The weighted attention, of the same shape.
    """
    copied_as = tf.gather(tf.constant(list(copy_ids)), source_ids)
    weights = tf.where(tf.equal(copied_as, UNK_ID), 1.0, _KNOWN_WEIGHT)
    return attention * tf.reshape(weights, [tf.shape(source_ids)[0], 1, 1, -1])


def _find_tokens(
    source: LookupTokenizer, flat: strings.FlatBytes
) -> tuple[_Spans, tf.Tensor, tf.Tensor]:
    """Return the spans of the tokens and an empty span, and the number of tokens before each text.

    The number of tokens before each text is int32 `(batch + 1,)`. The third tensor is true for
    spans of text, and false for features.
    """
    first, last = source.borders(flat)
    in_text = (
        ~source.feature_bytes(flat) if isinstance(source, FeatureTokenizer) else tf.ones_like(first)
    )
    positions = tf.range(tf.size(flat.values))
    starts = tf.boolean_mask(positions, first)
    lengths = tf.boolean_mask(positions, last) + 1 - starts
    before = tf.concat([[0], tf.cumsum(tf.cast(first, tf.int32))], 0)
    splits = tf.gather(before, tf.concat([[0], tf.cumsum(flat.lengths)], 0))
    is_text = tf.concat([tf.boolean_mask(in_text, first), [True]], 0)
    return _Spans(tf.concat([starts, [0]], 0), tf.concat([lengths, [0]], 0)), splits, is_text


def _piece_table(target: Tokenizer) -> tuple[tf.Tensor, _Spans]:
    """Return the bytes of all pieces, and their spans.

    Each of the two lists of `Tokenizer.pieces` ends with the string before a copied token: nothing,
    or the separator between two tokens.
    """
    beginning, following = (
        [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
        for pieces in target.pieces()
    )
    separator = following[UNK_ID].removesuffix(UNKNOWN_TEXT.encode())
    pieces = [*beginning, b"", *following, separator]
    lengths = np.array([len(piece) for piece in pieces], np.int32)
    table = np.frombuffer(b"".join(pieces), np.uint8).astype(np.int32)
    starts = np.cumsum(lengths) - lengths
    return tf.constant(table), _Spans(tf.constant(starts, tf.int32), tf.constant(lengths))


def _write(table: tf.Tensor, spans: _Spans) -> tf.Tensor:
    """Join spans `(batch, num_hypotheses, length, 2)` of bytes to one string per hypothesis."""
    lengths = tf.reshape(spans.lengths, [-1])
    offsets = tf.cumsum(lengths, exclusive=True)
    total = tf.reduce_sum(lengths)
    # A span without bytes begins at the same place as the next one, and is skipped.
    begun = tf.scatter_nd(
        tf.expand_dims(offsets, 1), tf.ones_like(offsets), tf.expand_dims(total + 1, 0)
    )
    span = tf.cumsum(begun)[:-1] - 1  # the span of each byte
    inside = tf.range(total) - tf.gather(offsets, span)
    values = tf.gather(table, tf.gather(tf.reshape(spans.starts, [-1]), span) + inside)
    shape = tf.shape(spans.lengths)[:2]
    row_lengths = tf.reshape(tf.reduce_sum(spans.lengths, axis=[2, 3]), [-1])
    rows = strings.to_rows(values, row_lengths, fill=_NO_BYTE)
    letters = tf.constant([*(bytes([byte]) for byte in range(_NO_BYTE)), b""], tf.string)
    # `join_rows` needs an empty string at the end
    written = tf.gather(letters, tf.concat([tf.reshape(rows, [-1]), [_NO_BYTE]], 0))
    return tf.reshape(strings.join_rows(written, row_lengths, None), shape)
