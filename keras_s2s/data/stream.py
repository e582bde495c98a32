"""Pairs of texts streamed from files, in another order each epoch."""

from __future__ import annotations

import collections
import itertools
import os
import random
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_s2s.data.pairs import as_paths_or_pairs, check_features_column
from keras_s2s.data.records import iterate_file
from keras_s2s.errors import InputError

# Files that are read in turn, pair by pair.
_OPEN_FILES = 8
# Pairs whose lengths are counted at once; a multiple of 8.
_CHUNK = 4096

Pair = tuple[str, str]


def iterate_pairs(
    files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    features_column: int | None = None,
) -> Iterator[Pair]:
    r"""Read the pairs of files one by one, with no more than a few in memory.

    For tokenizers, which are trained on an iterable of texts; `make_dataset` takes the files
    themselves.

    Args:
        files: The path of a file, tab-separated (see `read_pairs`) or TFRecords (see
            `write_records`), or several paths.
        features_column: Which of three columns holds features, see `read_pairs`.

    Returns:
        An iterator over the pairs `(source, target)` in the order of the files.

    Raises:
        TypeError: If `files` are not paths.
        FileNotFoundError: If the file does not exist.
        ValueError: If there is no file in them, or `features_column` is not 1, 2 or 3; while
            reading, if a file has no pairs, is damaged, or something in it is not a pair.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "train.tsv"
        ...     _ = path.write_text("ab\tA B\n", encoding="utf-8")
        ...     CharTokenizer.train(source for source, _ in iterate_pairs(path)).vocabulary[4:]
        ['a', 'b']
    """
    paths, others = as_paths_or_pairs(files)
    if not paths:
        for other in others:
            raise TypeError(f"`files` must be paths. Received: {other!r}")
        raise InputError("`files` must have at least one path. Received: none")
    column = check_features_column(features_column)
    return itertools.chain.from_iterable(iterate_file(path, column) for path in paths)


class PairStream(NamedTuple):
    """Files of pairs, looked through once, to be streamed any number of times.

    Attributes:
        paths: The files.
        left_out: For each file a bit for each of its pairs, set if it is left out; None if none.
        pairs: How many pairs there are without those left out.
        read: How many pairs there are with them.
        features_column: Which of three columns holds features, if any.
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
        """Look files through, so that whatever is wrong with them is said before training begins.

        Args:
            paths: The files.
            is_left_out: A function of a list of pairs that gives a bool array of those to leave
                out; None to leave none out.
            features_column: Which of three columns holds features, if any.

        Returns:
            The stream.

        Raises:
            ValueError: If a file cannot be read twice, is damaged, or something in it is no pair.
        """
        left_out, number_read, number_left_out = [], 0, 0
        for path in paths:
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise InputError(
                    f"{path}: not a file that can be read again each epoch. Read a pipe by "
                    "`read_pairs` instead"
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

        With a seed, files are read in another order each epoch, several of them in turn, and
        pairs are drawn from a pool of two blocks: half of it goes out, and is filled again. So a
        pair may come later by any number of blocks, though seldom by many.

        Args:
            block_size: How many pairs a block has; only the last one has fewer.
            seed: The seed of the orders; None for the order of the files.
            epoch: The number of the epoch. The order depends on it and on the seed alone.

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
        """Read the files one after the other."""
        return itertools.chain.from_iterable(map(self._file, range(len(self.paths))))

    def _in_turn(self, draw: random.Random) -> Iterator[Pair]:
        """The pairs of several files in turn, the files in an order that is drawn."""
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
        """The pairs of a file, without those left out."""
        pairs = iterate_file(self.paths[number], self.features_column)
        left_out = self.left_out[number]
        if left_out is None:
            return pairs
        return (pair for i, pair in enumerate(pairs) if not left_out[i >> 3] >> (7 - (i & 7)) & 1)
