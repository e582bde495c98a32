"""Makes datasets of ids for `model.fit`, batched by length."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_s2s.checks import check_bool, check_int, check_positive_int, count_of
from keras_s2s.data.batching import LengthBatcher, Side, make_side
from keras_s2s.data.pairs import as_paths_or_pairs, check_features_column, check_pairs
from keras_s2s.data.stream import PairStream
from keras_s2s.epochs import EpochCounter
from keras_s2s.errors import InputError
from keras_s2s.special_ids import PAD_ID, UNK_ID
from keras_s2s.tokenizers.tokenizer import Tokenizer

# Number of texts tokenized at once.
_CHUNK = 4096
_BATCH_SIZE = 64
_BATCHES_AHEAD = 8
_LOGGER = logging.getLogger("keras_s2s")


def make_dataset(
    pairs: Iterable[tuple[str, str]] | str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    source: Tokenizer,
    target: Tokenizer,
    *,
    batch_size: int | None = None,
    batch_tokens: int | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    initial_epoch: int = 0,
    max_source_length: int | None = None,
    max_target_length: int | None = None,
    buffer_size: int = 100_000,
    features_column: int | None = None,
) -> tf.data.Dataset:
    """Make batches of ids from pairs of texts, or from files of pairs.

    Pairs with similar source and target lengths share a batch, so that there is little padding.
    Each batch is as wide as its longest text. Each epoch contains each pair exactly once.

    With `shuffle`, every epoch has different batches in a different order. The order depends only
    on the seed and the epoch number. `Seq2Seq.fit` uses the number of the epoch being trained, so
    iterating over the dataset elsewhere does not change the order, and a resumed training run
    has the same order as an uninterrupted one. Another `fit` continues with the next epoch number,
    unless it has an `initial_epoch` or a `Resume`. Outside of `fit`, or with `steps_per_epoch`,
    each iteration over the dataset is an epoch. Without `shuffle`, every epoch has the same
    batches, from short to long.

    **In memory.** Pairs are tokenized once, in this call, and kept as ids.

    **Larger than memory.** Files (tab-separated, see `read_pairs`, or TFRecords, see
    `write_records`) are checked once, in this call, so that errors are raised before training
    begins. Every epoch then reads them again. At most `buffer_size` pairs (or two batches) are
    buffered as text, and 1.5 times that number as ids. Shuffling reads up to eight files in
    turn, in random order, and draws pairs from the buffer. Pairs of similar lengths are batched
    within half a buffer, so do not sort a single large file.

    Args:
        pairs: Source texts and target texts, or the path of a file of pairs, or several paths.
        source: Tokenizer of the sources, the one that the model was built for. If it lacks most of
            the tokens of pairs in memory, as swapped tokenizers do, the logger "keras_s2s" warns.
        target: Tokenizer of the targets.
        batch_size: Number of pairs in a batch. One batch of an epoch is smaller if the number of
            pairs is not divisible by it. Defaults to 64.
        batch_tokens: Alternative to `batch_size`: maximum number of tokens in a batch on either
            side, including padding (rows times the length of the longest text). Longer pairs are
            skipped.
        shuffle: Whether each epoch has a different order. Defaults to `False`.
        seed: Seed of the order. Defaults to a random number from Python's `random` module, which
            `keras.utils.set_random_seed` seeds.
        initial_epoch: Number of the first epoch, for a custom training loop. `fit` sets the epoch
            itself. Defaults to 0.
        max_source_length: Maximum number of source tokens, including eos. Longer pairs are skipped,
            and the logger "keras_s2s" logs how many. Defaults to `None`, no limit.
        max_target_length: Maximum number of target tokens, including eos. Longer pairs are skipped
            and logged too. Defaults to `None`, no limit.
        buffer_size: Maximum number of pairs from files in memory as text. Defaults to 100,000.
        features_column: Number of the features column of the files; see `read_pairs`. Defaults to
            `None`: two columns, without features.

    Returns:
        A `tf.data.Dataset` of `({"source_ids": …, "target_inputs": …}, target_labels)`, int32
        `(batch, source_length)`, `(batch, target_length)` and `(batch, target_length)`, padded on
        the right with 0. `target_labels` end with eos; `target_inputs` are the same tokens after
        bos, without eos. The length of the dataset is known, `ceil(pairs / batch_size)`, unless
        `batch_tokens` is set.

    Raises:
        TypeError: If `pairs` are neither pairs of `str` nor paths, or a tokenizer is not a
            `Tokenizer`.
        FileNotFoundError: If a file does not exist.
        ValueError: If there are no pairs, no pair is left, a file is malformed (the message gives
            the path and line number), or an argument is out of range.

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
    if seed is None:
        seed = random.randrange(2**31)  # noqa: S311
    check_int("seed", seed, minimum=0)
    epochs = EpochCounter(check_int("initial_epoch", initial_epoch, minimum=0))
    check_int("buffer_size", buffer_size, minimum=2)
    shuffle = check_bool("shuffle", shuffle)
    batcher = _check_batcher(batch_size, batch_tokens, shuffle)
    limits = _LengthLimits(max_source_length, max_target_length, batch_tokens)
    limits.check()
    for name, tokenizer in (("source", source), ("target", target)):
        if not isinstance(tokenizer, Tokenizer):
            raise TypeError(f"`{name}` must be a Tokenizer. Received: {type(tokenizer).__name__}")
    features_column = check_features_column(features_column)
    paths, given = as_paths_or_pairs(pairs)
    if paths:
        files = _scan_files(paths, source, target, limits, features_column)
        number = files.pairs
        blocks = _stream_blocks(files, source, target, batcher, seed, epochs, buffer_size)
    else:
        sides = _tokenize(given, source, target, limits)
        number = len(sides[0].lengths)
        blocks = _memory_block(*sides, seed, epochs, shuffle=shuffle)
    dataset = blocks.flat_map(batcher.batches)
    if batcher.batch_size is not None:
        batches = -(-number // batcher.batch_size)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches))
    # Each machine gets its part of every batch. By default TensorFlow would distribute whole
    # blocks of files, so that one machine might have more batches than another.
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    # TensorFlow's tuner sleeps for up to a minute. Deleting an iterator, as after each `fit` and
    # each validation, would wait until the tuner wakes up.
    options.autotune.enabled = False
    return dataset.prefetch(_BATCHES_AHEAD).with_options(options)


class _LengthLimits(NamedTuple):
    """Maximum lengths of a pair in tokens, including eos. `None` means no limit.

    Attributes:
        max_source_length: Limit of the source.
        max_target_length: Limit of the target.
        batch_tokens: Limit of both sides, because a batch must have room for at least one pair.
    """

    max_source_length: int | None
    max_target_length: int | None
    batch_tokens: int | None

    def check(self) -> None:
        """Raise `ValueError` if a limit is not a positive integer."""
        for name, limit in self.given().items():
            check_positive_int(name, limit)

    def given(self) -> dict[str, int]:
        """Return the limits that are not None, by name."""
        return {name: limit for name, limit in self._asdict().items() if limit is not None}

    def keep(self, source_lengths: np.ndarray, target_lengths: np.ndarray) -> np.ndarray:
        """Return which pairs are within the limits.

        Args:
            source_lengths: `(pairs,)`, including eos.
            target_lengths: `(pairs,)`, including eos.

        Returns:
            bool `(pairs,)`.
        """
        kept = np.ones(len(source_lengths), bool)
        if self.max_source_length is not None:
            kept &= source_lengths <= self.max_source_length
        if self.max_target_length is not None:
            kept &= target_lengths <= self.max_target_length
        if self.batch_tokens is not None:
            kept &= np.maximum(source_lengths, target_lengths) <= self.batch_tokens
        return kept

    def report(self, left_out: int, pairs: int) -> None:
        """Log how many pairs are skipped, if any.

        Args:
            left_out: Number of skipped pairs.
            pairs: Number of all pairs.

        Raises:
            ValueError: If all pairs are skipped.
        """
        limits = ", ".join(f"{name}={limit}" for name, limit in self.given().items())
        if left_out == pairs:
            raise InputError(
                f"At least one pair must be within {limits} (including eos). Received: "
                f"{count_of(pairs, 'longer pair')}"
            )
        if left_out:
            _LOGGER.warning(
                "Skipped %d of %s: longer than %s.", left_out, count_of(pairs, "pair"), limits
            )


def _check_batcher(
    batch_size: int | None, batch_tokens: int | None, shuffle: bool
) -> LengthBatcher:
    """Check that batches are made either by pairs or by tokens."""
    if batch_tokens is None:
        batch_size = _BATCH_SIZE if batch_size is None else batch_size
        return LengthBatcher(check_positive_int("batch_size", batch_size), None, shuffle)
    if batch_size is not None:
        raise InputError(
            "`batch_size` and `batch_tokens` cannot be combined. Received: "
            f"batch_size={batch_size!r}, batch_tokens={batch_tokens!r}"
        )
    return LengthBatcher(None, check_positive_int("batch_tokens", batch_tokens), shuffle)


def _tokenize(
    pairs: Iterable[Any], source: Tokenizer, target: Tokenizer, limits: _LengthLimits
) -> tuple[Side, Side]:
    """Tokenize pairs that are not too long, as NumPy arrays of ids."""
    checked = list(check_pairs(pairs))
    if not checked:
        raise InputError("`pairs` must contain at least one pair. Received: none")
    sides = []
    for number, tokenizer in enumerate((source, target)):
        chunks = [
            _split(tokenizer, [pair[number] for pair in checked[start : start + _CHUNK]])
            for start in range(0, len(checked), _CHUNK)
        ]
        ids, lengths = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
        _report_unknown(("source", "target")[number], ids)
        starts = np.cumsum(lengths) - lengths
        sides.append(Side(np.append(ids, np.int32(PAD_ID)), starts, lengths + 1))
    kept = limits.keep(sides[0].lengths, sides[1].lengths)
    limits.report(int(np.count_nonzero(~kept)), len(kept))
    source_side, target_side = (
        Side(side.ids, side.starts[kept], side.lengths[kept]) for side in sides
    )
    return source_side, target_side


def _report_unknown(side: str, ids: np.ndarray) -> None:
    """Log a warning if most tokens of a side are unknown."""
    unknown = np.count_nonzero(ids == UNK_ID)
    if 2 * unknown > len(ids):
        _LOGGER.warning(
            "The %s tokenizer does not know %d of %s. Are the tokenizers swapped, or was this one "
            "trained on other texts?",
            side,
            unknown,
            count_of(len(ids), f"{side} token"),
        )


def _split(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids of texts without eos, and the number of ids of each text."""
    ids, lengths = tokenizer.split(texts)
    return ids.numpy(), lengths.numpy().astype(np.int64)


def _memory_block(
    source: Side, target: Side, seed: int, epochs: EpochCounter, *, shuffle: bool
) -> tf.data.Dataset:
    """Return the pairs in memory, with a different seed for each epoch."""
    with tf.device("CPU:0"):
        source, target = (Side(*map(tf.constant, side)) for side in (source, target))
    first = tf.constant(seed % 2**63, tf.int64)

    @tf.autograph.experimental.do_not_convert
    def block(epoch: tf.Tensor) -> tuple[Side, Side, tf.Tensor]:
        if shuffle:
            # called for the first batch, which is within the epoch
            epoch = tf.numpy_function(lambda: np.int64(epochs.next()), [], tf.int64)
            epoch = tf.ensure_shape(epoch, [])
        return source, target, tf.stack([first, epoch])

    return tf.data.Dataset.from_tensors(tf.constant(0, tf.int64)).map(block)


def _scan_files(
    paths: Sequence[str],
    source: Tokenizer,
    target: Tokenizer,
    limits: _LengthLimits,
    features_column: int | None,
) -> PairStream:
    """Check files, and mark the pairs that are too long."""

    def is_left_out(pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        sources, targets = zip(*pairs, strict=True)
        _, source_lengths = _split(source, sources)
        _, target_lengths = _split(target, targets)
        return ~limits.keep(source_lengths + 1, target_lengths + 1)

    files = PairStream.scan(paths, is_left_out if limits.given() else None, features_column)
    limits.report(files.read - files.pairs, files.read)
    return files


def _stream_blocks(
    files: PairStream,
    source: Tokenizer,
    target: Tokenizer,
    batcher: LengthBatcher,
    seed: int,
    epochs: EpochCounter,
    buffer_size: int,
) -> tf.data.Dataset:
    """Return the pairs of files in blocks, each with its own seed."""
    multiple = batcher.batch_size or 1
    # Blocks consist of whole batches, so that the number of batches is the same in every epoch.
    block_size = max(1, buffer_size // 2 // multiple) * multiple

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray, tuple[int, int]]]:
        epoch = epochs.next()
        draw_seed = seed if batcher.shuffle else None
        for number, (sources, targets) in enumerate(files.blocks(block_size, draw_seed, epoch)):
            yield _as_bytes(sources), _as_bytes(targets), (epoch, number)

    @tf.autograph.experimental.do_not_convert
    def to_ids(
        sources: tf.Tensor, targets: tf.Tensor, place: tf.Tensor
    ) -> tuple[Side, Side, tf.Tensor]:
        key = tf.stack([tf.constant(seed % 2**63, tf.int64), place[0]])
        key = tf.random.fold_in(key, place[1])
        return make_side(*source.split(sources)), make_side(*target.split(targets)), key

    texts = tf.TensorSpec([None], tf.string)
    place = tf.TensorSpec([2], tf.int64)
    dataset = tf.data.Dataset.from_generator(blocks, output_signature=(texts, texts, place))
    # The next block is prepared while the batches of this block are used.
    return dataset.map(to_ids).prefetch(1)


def _as_bytes(texts: Sequence[str]) -> np.ndarray:
    """Return an object array of bytes; NumPy's string type would pad all texts to the longest."""
    return np.array([text.encode("utf-8") for text in texts], dtype=object)
