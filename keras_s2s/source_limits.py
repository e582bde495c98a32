"""Limits of the lengths of sources, for texts in Python and for ids in the graph."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from keras_s2s.checks import count_of
from keras_s2s.errors import InputError
from keras_s2s.evaluation import group_references
from keras_s2s.search.result import set_impossible
from keras_s2s.special_ids import EOS_ID, PAD_ID
from keras_s2s.text_inputs import encode_texts
from keras_s2s.tokenizers import Tokenizer

# Upper bound on tokens per byte. Compatibility composition expands the 3 bytes of U+FDFA to 18
# letters.
_TOKENS_PER_BYTE = 8
_CHUNK = 256  # texts that are tokenized at once, each of more than a hundred bytes


def count_excess(
    encoded: list[bytes], tokenizer: Tokenizer, max_length: int | None
) -> dict[int, int]:
    """Count the tokens of texts that are longer than a limit.

    Only the texts that may be too long are tokenized, a few at a time.

    Args:
        encoded: Texts in UTF-8.
        tokenizer: Their `Tokenizer`.
        max_length: Maximum number of tokens, including eos. `None` means no limit.

    Returns:
        Dict of numbers of tokens, including eos, by the positions of the texts that are too long.
    """
    if max_length is None:
        return {}
    least = max_length / _TOKENS_PER_BYTE  # bytes of a text that may be too long
    waiting = iter([number for number, text in enumerate(encoded) if len(text) >= least])
    excess: dict[int, int] = {}
    while chunk := list(itertools.islice(waiting, _CHUNK)):
        lengths = tokenizer.split(tf.constant([encoded[number] for number in chunk]))[1].numpy() + 1
        for place in np.flatnonzero(lengths > max_length):
            excess[chunk[place]] = int(lengths[place])
    return excess


def check_token_counts(
    encoded: list[bytes], tokenizer: Tokenizer, max_length: int | None, *, truncate: bool
) -> None:
    """Check that texts have at most `max_length` tokens, or warn that they are truncated.

    Args:
        encoded: Texts in UTF-8.
        tokenizer: Their `Tokenizer`.
        max_length: Maximum number of tokens, including eos. `None` means no limit.
        truncate: Whether longer texts are truncated.

    Raises:
        ValueError: If a text is longer and `truncate` is false.
    """
    excess = count_excess(encoded, tokenizer, max_length)
    if not excess:
        return
    number, length = next(iter(excess.items()))
    if not truncate:
        raise InputError(
            f"`texts` must have at most `max_source_length`={max_length} tokens each, including "
            f"eos. Received: {length} tokens at position {number}"
        )
    warnings.warn(
        f"Texts with more than `max_source_length`={max_length} tokens were truncated: "
        f"{len(excess)} of {len(encoded)}. The first is at position {number} and has {length} "
        "tokens.",
        stacklevel=4,  # the caller of `Translator.translate`
    )


def group_translatable(
    pairs: Iterable[tuple[str, str]], tokenizer: Tokenizer, max_length: int | None
) -> dict[str, list[str]]:
    """Group the targets of each source, and drop sources that are too long to translate.

    Args:
        pairs: Checked source texts and target texts.
        tokenizer: Tokenizer of the sources.
        max_length: Maximum number of tokens in a source, including eos. `None` means no limit.

    Returns:
        The distinct targets of each source.

    Raises:
        ValueError: If there are no pairs, or all sources are too long.
    """
    references = group_references(pairs)
    if not references:
        raise InputError("`pairs` must contain at least one pair. Received: none")
    sources = list(references)
    for number in count_excess(encode_texts(sources), tokenizer, max_length):
        del references[sources[number]]
    if not references:
        raise InputError(
            f"`pairs` must contain a source of at most `max_source_length`={max_length} tokens, "
            f"including eos. Received: {count_of(len(sources), 'longer source')}"
        )
    return references


def limit_length(
    ids: tf.Tensor, max_length: int | None, *, truncate: bool = False
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Limit the length of rows of ids, so that a long row does not slow down its batch.

    A row ends with its first eos, which counts as a token. A row without eos is as long as the
    tensor.

    Args:
        ids: int32 `(batch, length)`.
        max_length: Maximum number of tokens of a row. `None` for no limit.
        truncate: Whether to truncate longer rows and end them in eos. Otherwise, longer rows are
            rejected: they are replaced by a single eos. Defaults to `False`.

    Returns:
        The ids, no longer than `max_length`, and a bool tensor `(batch,)` that is true for rejected
        rows, or `None` if no row can be rejected.
    """
    if max_length is None or (ids.shape[1] is not None and ids.shape[1] <= max_length):
        return ids, None
    is_end = tf.cast(tf.equal(ids, EOS_ID), tf.int32)
    inside = tf.equal(tf.cumsum(is_end, axis=1, exclusive=True), 0)
    lengths = tf.reduce_sum(tf.cast(inside, tf.int32), axis=1)
    too_long = lengths > max_length
    marked = tf.expand_dims(too_long, 1)
    if truncate:
        ids = ids[:, :max_length]
        is_last = tf.expand_dims(tf.equal(tf.range(tf.shape(ids)[1]), max_length - 1), 0)
        return tf.where(marked & is_last, EOS_ID, ids), None
    ids = empty_rows(ids, too_long)
    longest = tf.reduce_max(tf.concat([[1], tf.where(too_long, 1, lengths)], 0))
    return ids[:, :longest], too_long


def limit_sources(
    ids: tf.Tensor, max_length: int | None, *, truncate: bool = False
) -> tuple[tf.Tensor, tf.Tensor]:
    """Reject sources that are too long or have no tokens.

    Args:
        ids: int32 `(batch, length)`.
        max_length: Maximum number of tokens of a source. `None` for no limit.
        truncate: Whether to truncate longer sources instead. Defaults to `False`.

    Returns:
        The ids, as `limit_length` returns them, and a bool tensor `(batch,)` that is true for
        rejected sources.
    """
    ids, _ = limit_length(ids, max_length, truncate=truncate)  # a long source becomes an empty one
    first = ids[:, :1]
    return ids, tf.reduce_all(tf.equal(first, EOS_ID) | tf.equal(first, PAD_ID), axis=1)


def empty_rows(ids: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Replace rows of ids by a single eos.

    Args:
        ids: int32 `(batch, length)`.
        where: bool `(batch,)`. True for the rows to replace.

    Returns:
        int32 `(batch, length)`.
    """
    positions = tf.expand_dims(tf.range(tf.shape(ids)[1]), 0)
    return tf.where(tf.expand_dims(where, 1), tf.where(tf.equal(positions, 0), EOS_ID, PAD_ID), ids)


def clear_rejected(
    outputs: dict[str, tf.Tensor], rejected: tf.Tensor | None
) -> dict[str, tf.Tensor]:
    """Replace the outputs of rejected rows by empty slots.

    Args:
        outputs: Dict of tensors `(batch, ...)`: ids and lengths int32, scores float32.
        rejected: bool `(batch,)`, or `None` if no row is rejected.

    Returns:
        The dict with new tensors. In rejected rows, scores and log probabilities are -1e9, and all
        other values are 0.
    """
    if rejected is None:
        return outputs
    cleared = {}
    for name, value in outputs.items():
        where = tf.reshape(rejected, [-1] + [1] * (value.shape.rank - 1))
        if name in ("scores", "log_probs"):
            cleared[name] = set_impossible(value, where)
        else:  # ids pad, lengths and confidences 0
            cleared[name] = tf.where(where, tf.zeros((), value.dtype), value)
    return cleared
