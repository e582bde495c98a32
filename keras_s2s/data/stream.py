"""Streams pairs of texts from files, in a different order each epoch."""

from __future__ import annotations

import collections
import itertools
import os
import random
import stat
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_s2s.data.pair_files import iterate_file
from keras_s2s.errors import InputError

# Number of files that are read in turn, pair by pair.
_OPEN_FILES = 8
# Number of pairs whose lengths are counted at once; a multiple of 8.
_CHUNK = 4096

Pair = tuple[str, str]


class PairStream(NamedTuple):
    """Checked files of pairs that can be streamed any number of times.

    Attributes:
        paths: Paths of the files.
        left_out: For each file, a bit for each of its pairs that is set if the pair is skipped;
            `None` if no pair is skipped.
        pairs: Number of pairs that are not skipped.
        read: Number of all pairs.
        features_column: Number of the features column, if any.
    """

    paths: tuple[str, ...]
    left_out: tuple[bytes | None, ...]
    pairs: int
    read: int
    features_column: int | None = None

    @classmethod
    def scan(
        cls, paths: Sequence[str], is_left_out: Any, features_column: int | None = None
    ) -> PairStream:
        """Check files, so that errors are raised before training begins.

        Args:
            paths: Paths of the files.
            is_left_out: A function from a list of pairs to a bool array that marks pairs to skip;
                None to skip none.
            features_column: Number of the features column, if any.

        Returns:
            The stream.

        Raises:
            ValueError: If a file cannot be read twice, is damaged, or has an invalid pair.
        """
        left_out, number_read, number_left_out = [], 0, 0
        for path in paths:
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise InputError(
                    f"{path}: not a regular file. Every epoch reads the file again, so read a pipe "
                    "with `read_pairs` instead"
                )
            bits = []
            pairs = iterate_file(path, features_column)
            while chunk := list(itertools.islice(pairs, _CHUNK)):
                number_read += len(chunk)
                bits.append(
                    np.zeros(len(chunk), bool) if is_left_out is None else is_left_out(chunk)
                )
            marked = np.concatenate([np.packbits(chunk) for chunk in bits])
            found = sum(int(np.count_nonzero(chunk)) for chunk in bits)
            number_left_out += found
            left_out.append(marked.tobytes() if found else None)
        kept = number_read - number_left_out
        return cls(tuple(paths), tuple(left_out), kept, number_read, features_column)

    def blocks(
        self, block_size: int, seed: int | None, epoch: int
    ) -> Iterator[tuple[list[str], list[str]]]:
        """Read the pairs of an epoch in blocks.

        With a seed, files are read in a different order each epoch, several of them in turn. Pairs
        are drawn from a pool of two blocks: a block is removed, and the pool is filled again. A
        pair may be delayed by any number of blocks, but rarely by many.

        Args:
            block_size: Number of pairs in a block; only the last block has fewer.
            seed: Seed of the order; None for the order of the files.
            epoch: Number of the epoch. The order depends only on the epoch and the seed.

        Yields:
            Sources and targets.
        """
        pairs, pool_size, draw = self._in_order(), block_size, None
        if seed is not None:
            draw = random.Random(f"{seed} {epoch}")  # noqa: S311
            pairs, pool_size = self._in_turn(draw), 2 * block_size
        pool: list[Pair] = []
        while True:
            pool.extend(itertools.islice(pairs, pool_size - len(pool)))
            if not pool:
                return
            if draw is not None:
                draw.shuffle(pool)
            sources, targets = zip(*pool[:block_size], strict=True)
            del pool[:block_size]
            yield list(sources), list(targets)

    def _in_order(self) -> Iterator[Pair]:
        """Read the files one after another."""
        return itertools.chain.from_iterable(map(self._file, range(len(self.paths))))

    def _in_turn(self, draw: random.Random) -> Iterator[Pair]:
        """Yield the pairs of several files in turn, with the files in random order."""
        order = list(range(len(self.paths)))
        draw.shuffle(order)
        waiting = map(self._file, order)
        reading = collections.deque(itertools.islice(waiting, _OPEN_FILES))
        while reading:
            pair = next(reading[0], None)
            if pair is not None:
                yield pair
                reading.rotate(-1)
                continue
            reading.popleft()
            reading.extendleft(itertools.islice(waiting, 1))

    def _file(self, number: int) -> Iterator[Pair]:
        """Return the pairs of a file, without skipped pairs."""
        pairs = iterate_file(self.paths[number], self.features_column)
        left_out = self.left_out[number]
        if left_out is None:
            return pairs
        return (pair for i, pair in enumerate(pairs) if not left_out[i >> 3] >> (7 - (i & 7)) & 1)
