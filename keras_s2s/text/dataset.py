"""Datasets of ids for `model.fit`, batched by length."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_s2s.checks import check_int, check_positive_int
from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID
from keras_s2s.text.strings import row_index
from keras_s2s.text.tokenizer import Tokenizer, check_utf8

_LOGGER = logging.getLogger("keras_s2s")

# Texts that are tokenized at once.
_CHUNK = 4096
# By how much of its length a pair may be sorted too high when batches are shuffled. More would mix
# batches more, and pad them more.
_LENGTH_NOISE = 0.05


class _Side(NamedTuple):
    """All texts of one side as ids: text i is `ids[starts[i] : starts[i] + lengths[i]]`.

    Attributes:
        ids: int32 `(tokens + 1,)`, with one pad at the end.
        starts: int64 `(pairs,)`.
        lengths: int64 `(pairs,)`, eos counted.
    """

    ids: Any
    starts: Any
    lengths: Any


def make_dataset(
    pairs: Iterable[tuple[str, str]],
    source: Tokenizer,
    target: Tokenizer,
    *,
    batch_size: int = 64,
    shuffle: bool = False,
    seed: int | None = None,
    max_source_length: int | None = None,
    max_target_length: int | None = None,
) -> tf.data.Dataset:
    """Make batches of ids out of pairs of texts.

    Texts are tokenized once, here. Pairs of like source length and like target length share a
    batch, so that little is padding; each batch is as wide as its longest text. All pairs are seen
    exactly once an epoch, in `ceil(pairs / batch_size)` batches, one of them smaller if they do
    not come out even.

    With `shuffle`, every epoch (every time the dataset is iterated over) has batches of other
    pairs in another order. The order of epoch 0, 1, 2, … depends on the seed and on that number
    alone. Without it, every epoch has the same batches, from short to long.

    Args:
        pairs: source texts and target texts.
        source: the tokenizer of the sources.
        target: the tokenizer of the targets.
        batch_size: how many pairs a batch has.
        shuffle: whether each epoch has another order.
        seed: the seed of the orders; by default drawn from Python's random numbers, which
            `keras.utils.set_random_seed` seeds.
        max_source_length: pairs with more source tokens, eos counted, are left out; how many, is
            logged as a warning of the logger "keras_s2s".
        max_target_length: the same for target tokens.

    Returns:
        A `tf.data.Dataset` of known length, its elements `({"source_ids": …, "target_inputs": …},
        target_labels)`, int32 `(batch, source_length)`, `(batch, target_length)` and
        `(batch, target_length)`, padded on the right with 0. `target_labels` end in eos;
        `target_inputs` are the same tokens behind bos, without eos.

    Raises:
        TypeError: if `pairs` are not pairs of `str`, or a tokenizer is not one.
        ValueError: if there are no pairs, none is left, or an argument is out of range.

    Example:
    >>> pairs = [("ab", "A B"), ("b", "B")]
    >>> source = CharTokenizer.train(source for source, _ in pairs)
    >>> target = WordTokenizer.train(target for _, target in pairs)
    >>> for inputs, target_labels in make_dataset(pairs, source, target, batch_size=2):
    ...     for ids in (inputs["source_ids"], inputs["target_inputs"], target_labels):
    ...         print(ids.numpy().tolist())
    [[4, 3, 0], [5, 4, 3]]
    [[2, 4, 0], [2, 5, 4]]
    [[4, 3, 0], [5, 4, 3]]
    """
    check_positive_int("batch_size", batch_size)
    if seed is None:
        seed = random.randrange(2**31)  # noqa: S311
    check_int("seed", seed, minimum=0)
    sources, targets = _check_pairs(pairs)
    source_side = _tokenize("source", sources, source)
    target_side = _tokenize("target", targets, target)
    kept = _kept(source_side.lengths, target_side.lengths, max_source_length, max_target_length)
    batches = _Batches(source_side, target_side, kept, batch_size, seed)
    dataset = batches.shuffled() if shuffle else batches.in_order()
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches.number))
    return dataset.prefetch(tf.data.AUTOTUNE)


class _Batches:
    """The batches of an epoch, out of ids that stand in memory."""

    def __init__(
        self, source: _Side, target: _Side, kept: np.ndarray, batch_size: int, seed: int
    ) -> None:
        with tf.device("CPU:0"):
            self._source, self._target = (
                _Side(*map(tf.constant, (side.ids, side.starts[kept], side.lengths[kept])))
                for side in (source, target)
            )
        self._by_length = np.lexsort((target.lengths[kept], source.lengths[kept]))
        self._batch_size = batch_size
        self._seed = seed % 2**63
        self._pairs = len(kept)
        self.number = -(-self._pairs // batch_size)

    def in_order(self) -> tf.data.Dataset:
        """The batches from short to long."""
        starts, sizes = self._borders(self.number - 1)
        return self._dataset(tf.constant(self._by_length), starts, sizes)

    def shuffled(self) -> tf.data.Dataset:
        """The batches of the next epoch each time it is iterated over."""
        with tf.init_scope(), tf.device("CPU:0"):
            epochs = tf.Variable(0, dtype=tf.int64, trainable=False, name="epochs")
        epoch = tf.data.Dataset.from_tensors(0).map(lambda _: epochs.assign_add(1) - 1)
        return epoch.flat_map(self.epoch)

    def epoch(self, epoch: tf.Tensor) -> tf.data.Dataset:
        """The shuffled batches of the epoch with a number, which depend on nothing else."""
        seeds = tf.random.split(tf.stack([tf.constant(self._seed, tf.int64), epoch]), 4)
        order = self._order(seeds[0], seeds[1])
        # Not always the longest pairs are in the smaller batch.
        smaller = tf.random.stateless_uniform((), seeds[2], maxval=self.number, dtype=tf.int32)
        starts, sizes = self._borders(smaller)
        shuffled = tf.argsort(tf.random.stateless_uniform([self.number], seeds[3]))
        return self._dataset(order, tf.gather(starts, shuffled), tf.gather(sizes, shuffled))

    def _order(self, source_seed: tf.Tensor, target_seed: tf.Tensor) -> tf.Tensor:
        """Sort pairs by source length and then by target length, both of them blurred.

        Targets run from short to long and back again as sources get longer, so that they do not
        jump in the middle of a batch.
        """
        sources = tf.floor(self._blurred(self._source.lengths, source_seed))
        targets = self._blurred(self._target.lengths, target_seed)
        highest = tf.reduce_max(targets) + 1.0
        falling = tf.equal(tf.math.floormod(sources, 2.0), 1.0)
        return tf.argsort(sources * highest + tf.where(falling, highest - targets, targets))

    def _blurred(self, lengths: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Add noise to lengths: up to 1 it parts equals, what is more mixes neighbours."""
        lengths = tf.cast(lengths, tf.float64)
        noise = tf.random.stateless_uniform([self._pairs], seed, dtype=tf.float64)
        return lengths + noise * (1.0 + _LENGTH_NOISE * lengths)

    def _borders(self, smaller: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor]:
        """Where each batch begins in the order and its size, if one number is the smaller one."""
        numbers = tf.range(self.number)
        missing = self.number * self._batch_size - self._pairs
        starts = numbers * self._batch_size - tf.where(numbers > smaller, missing, 0)
        sizes = self._batch_size - tf.where(tf.equal(numbers, smaller), missing, 0)
        return starts, sizes

    def _dataset(self, order: tf.Tensor, starts: tf.Tensor, sizes: tf.Tensor) -> tf.data.Dataset:
        """A batch for each slice of an order."""
        slices = tf.data.Dataset.from_tensor_slices((starts, sizes))
        return slices.map(
            lambda start, size: self._batch(order[start : start + size]),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def _batch(self, chosen: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """The batch of some pairs."""
        source_ids = _rows(self._source, chosen)
        target_labels = _rows(self._target, chosen)
        first = tf.fill([tf.size(chosen), 1], BOS_ID)
        shifted = tf.concat([first, target_labels[:, :-1]], axis=1)
        # What stands behind eos in the labels is pad, and so is what stands behind it here.
        target_inputs = tf.where(tf.equal(target_labels, PAD_ID), PAD_ID, shifted)
        return {"source_ids": source_ids, "target_inputs": target_inputs}, target_labels


def _rows(side: _Side, chosen: tf.Tensor) -> tf.Tensor:
    """The ids of some texts, `(batch, length)`, padded to the longest of them."""
    lengths = tf.gather(side.lengths, chosen)
    pad = tf.size(side.ids, out_type=tf.int64) - 1
    index = row_index(tf.gather(side.starts, chosen), lengths, tf.reduce_max(lengths), pad)
    return tf.gather(side.ids, index)


def _check_pairs(pairs: Iterable[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Check pairs at the door and part them into sources and targets."""
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Iterable):
        raise TypeError(f"`pairs` must be an iterable of (source, target). Received: {pairs!r}")
    sources, targets = [], []
    for number, pair in enumerate(pairs):
        if (
            not isinstance(pair, tuple | list)
            or len(pair) != 2
            or not all(isinstance(text, str) for text in pair)
        ):
            raise TypeError(
                f"`pairs` must be an iterable of (source, target), both of them str. "
                f"Received: {pair!r} as pair {number}"
            )
        sources.append(check_utf8(pair[0]))
        targets.append(check_utf8(pair[1]))
    if not sources:
        raise ValueError("`pairs` must hold at least one pair. Received: none")
    return sources, targets


def _tokenize(name: str, texts: Sequence[str], tokenizer: Any) -> _Side:
    """Turn all texts of one side into ids."""
    if not isinstance(tokenizer, Tokenizer):
        raise TypeError(f"`{name}` must be a Tokenizer. Received: {tokenizer!r}")
    ids, lengths = [], []
    for start in range(0, len(texts), _CHUNK):
        chunk_ids, chunk_lengths = tokenizer.split(texts[start : start + _CHUNK])
        lengths.append(chunk_lengths.numpy().astype(np.int64))
        ids.append(np.insert(chunk_ids.numpy(), np.cumsum(lengths[-1]), EOS_ID))
        lengths[-1] += 1
    all_lengths = np.concatenate(lengths)
    starts = np.cumsum(all_lengths) - all_lengths
    return _Side(np.concatenate([*ids, np.array([PAD_ID], np.int32)]), starts, all_lengths)


def _kept(
    source_lengths: np.ndarray,
    target_lengths: np.ndarray,
    max_source_length: int | None,
    max_target_length: int | None,
) -> np.ndarray:
    """The numbers of the pairs that are not too long."""
    kept = np.ones(len(source_lengths), dtype=bool)
    limits = []
    for name, limit, lengths in (
        ("max_source_length", max_source_length, source_lengths),
        ("max_target_length", max_target_length, target_lengths),
    ):
        if limit is not None:
            kept &= lengths <= check_positive_int(name, limit)
            limits.append(f"{name}={limit}")
    left_out = np.count_nonzero(~kept)
    if left_out == len(kept):
        raise ValueError(
            f"At least one pair must keep to {', '.join(limits)} (eos counted). "
            f"Received: {len(kept)} pairs, all of them longer"
        )
    if left_out:
        _LOGGER.warning(
            "Left out %d of %d pairs: longer than %s.", left_out, len(kept), ", ".join(limits)
        )
    return np.flatnonzero(kept)
