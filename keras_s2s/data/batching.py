"""Batches pairs of similar lengths, from ids in memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID
from keras_s2s.tokenizers.strings import row_index

# Maximum noise in the sort key of a pair when batches are shuffled, relative to its length. More
# noise would mix batches more, and pad them more.
_LENGTH_NOISE = 0.05

# A fixed number: see `make_dataset` on autotuning.
_BATCHES_AT_ONCE = 2


class Side(NamedTuple):
    """Ids of the texts of a side: text i is `ids[starts[i] : starts[i] + lengths[i] - 1]` and eos.

    Attributes:
        ids: int32 `(tokens + 1,)`, without eos, and with one pad at the end.
        starts: int64 `(pairs,)`.
        lengths: int64 `(pairs,)`, including eos.
    """

    ids: Any
    starts: Any
    lengths: Any


def make_side(ids: tf.Tensor, lengths: tf.Tensor) -> Side:
    """Convert the result of `Tokenizer.split` to a `Side`.

    Args:
        ids: int32 `(tokens,)`, without eos.
        lengths: int32 `(pairs,)`, not including eos.

    Returns:
        The side.
    """
    lengths = tf.cast(lengths, tf.int64)
    starts = tf.cumsum(lengths, exclusive=True)
    return Side(tf.concat([ids, [PAD_ID]], 0), starts, lengths + 1)


class LengthBatcher(NamedTuple):
    """Splits pairs into batches of similar lengths.

    Attributes:
        batch_size: Number of pairs in a batch; None for batches by tokens.
        batch_tokens: Maximum number of tokens in a batch on the longer side, including padding;
            None for batches by pairs.
        shuffle: Whether each seed has different batches in a different order. Otherwise batches
            are sorted by length.
    """

    batch_size: int | None
    batch_tokens: int | None
    shuffle: bool

    # These functions need no autograph, which would warn on Python 3.13 that it cannot convert.
    @tf.autograph.experimental.do_not_convert
    def batches(self, source: Side, target: Side, seed: tf.Tensor) -> tf.data.Dataset:
        """Make batches of pairs.

        Args:
            source: The sources.
            target: The targets.
            seed: int64 `(2,)`. The order depends on nothing else.

        Returns:
            The batches, as described in `make_dataset`.
        """
        seeds = tf.random.split(seed, 4)
        order = _shuffled_order(source, target, seeds) if self.shuffle else _order(source, target)
        if self.batch_size is not None:
            starts, sizes = self._cut_by_pairs(tf.size(order), seeds[2])
        else:
            starts, sizes = self._cut_by_tokens(source, target, order)
        if self.shuffle:
            mixed = tf.argsort(tf.random.stateless_uniform(tf.shape(starts), seeds[3]))
            starts, sizes = tf.gather(starts, mixed), tf.gather(sizes, mixed)

        @tf.autograph.experimental.do_not_convert
        def batch(start: tf.Tensor, size: tf.Tensor) -> Any:
            return _batch(source, target, order[start : start + size])

        slices = tf.data.Dataset.from_tensor_slices((starts, sizes))
        return slices.map(batch, num_parallel_calls=_BATCHES_AT_ONCE, deterministic=True)

    def _cut_by_pairs(self, pairs: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the start and size of each batch; one is smaller than the others."""
        number = -(-pairs // self.batch_size)
        smaller = number - 1
        if self.shuffle:
            # At a random position, so that it does not always have the longest pairs.
            smaller = tf.random.stateless_uniform((), seed, maxval=number, dtype=tf.int32)
        numbers = tf.range(number)
        missing = number * self.batch_size - pairs
        starts = numbers * self.batch_size - tf.where(numbers > smaller, missing, 0)
        sizes = self.batch_size - tf.where(tf.equal(numbers, smaller), missing, 0)
        return starts, sizes

    def _cut_by_tokens(
        self, source: Side, target: Side, order: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the start and size of each batch, filled up to `batch_tokens`."""
        lengths = tf.gather(tf.maximum(source.lengths, target.lengths), order)
        borders = tf.numpy_function(
            lambda lengths: fill_batches(lengths, int(self.batch_tokens or 0)), [lengths], tf.int32
        )
        borders = tf.ensure_shape(borders, [None])
        return borders[:-1], borders[1:] - borders[:-1]


def fill_batches(lengths: np.ndarray, batch_tokens: int) -> np.ndarray:
    """Split a sequence of pairs into batches of at most `batch_tokens` tokens, including padding.

    Args:
        lengths: `(pairs,)`. Length of the longer side of each pair, at most `batch_tokens`.
        batch_tokens: Maximum number of tokens in a batch.

    Returns:
        The start of each batch, and the end: int32 `(batches + 1,)`.
    """
    borders = [0]
    while borders[-1] < len(lengths):
        window = lengths[borders[-1] :][: batch_tokens // lengths[borders[-1]]]
        sizes = np.maximum.accumulate(window) * np.arange(1, len(window) + 1)
        borders.append(borders[-1] + int(np.searchsorted(sizes, batch_tokens, side="right")))
    return np.array(borders, np.int32)


def _order(source: Side, target: Side) -> tf.Tensor:
    """Sort pairs by source length and then by target length."""
    highest = tf.reduce_max(target.lengths) + 1
    return tf.argsort(source.lengths * highest + target.lengths, stable=True)


def _shuffled_order(source: Side, target: Side, seeds: tf.Tensor) -> tf.Tensor:
    """Sort pairs by source length and then by target length, both with noise.

    Targets alternate between ascending and descending order as sources get longer, so that target
    lengths do not jump in the middle of a batch.
    """
    sources = tf.floor(_add_noise(source.lengths, seeds[0]))
    targets = _add_noise(target.lengths, seeds[1])
    highest = tf.reduce_max(targets) + 1.0
    falling = tf.equal(tf.math.floormod(sources, 2.0), 1.0)
    return tf.argsort(sources * highest + tf.where(falling, highest - targets, targets))


def _add_noise(lengths: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Add noise to lengths: up to 1 shuffles equal lengths, the rest mixes similar ones."""
    lengths = tf.cast(lengths, tf.float64)
    noise = tf.random.stateless_uniform(tf.shape(lengths), seed, dtype=tf.float64)
    return lengths + noise * (1.0 + _LENGTH_NOISE * lengths)


def _batch(source: Side, target: Side, chosen: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Return the batch of the chosen pairs."""
    source_ids = _rows(source, chosen)
    target_labels = _rows(target, chosen)
    first = tf.fill([tf.size(chosen), 1], BOS_ID)
    shifted = tf.concat([first, target_labels[:, :-1]], axis=1)
    # Inputs are padded in the same positions as labels, after eos.
    target_inputs = tf.where(tf.equal(target_labels, PAD_ID), PAD_ID, shifted)
    return {"source_ids": source_ids, "target_inputs": target_inputs}, target_labels


def _rows(side: Side, chosen: tf.Tensor) -> tf.Tensor:
    """Return the ids of texts with eos, `(batch, length)`, padded to the longest text."""
    lengths = tf.gather(side.lengths, chosen)
    width = tf.reduce_max(lengths)
    pad = tf.size(side.ids, out_type=tf.int64) - 1
    ids = tf.gather(side.ids, row_index(tf.gather(side.starts, chosen), lengths - 1, width, pad))
    last = tf.expand_dims(lengths - 1, 1)
    return tf.where(tf.equal(tf.expand_dims(tf.range(width), 0), last), EOS_ID, ids)
