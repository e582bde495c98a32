"""Writes pairs of texts to TFRecord files, for data larger than memory."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf

from keras_s2s.checks import check_positive_int, count_of
from keras_s2s.data.pair_files import iterate_file
from keras_s2s.data.pairs import as_paths_or_pairs, check_features_column, check_pairs
from keras_s2s.data.records import BEGIN, END
from keras_s2s.errors import InputError
from keras_s2s.files import written_beside


def write_records(
    pairs: Iterable[tuple[str, str]] | str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    prefix: str | os.PathLike[str],
    *,
    shards: int = 8,
    features_column: int | None = None,
) -> list[str]:
    """Write pairs of texts to TFRecord files, which `make_dataset` can stream.

    Pairs are written to the files in turn. Each record is a `tf.train.Example` with the features
    "source" and "target", each a UTF-8 text. The first record of a file also has a feature
    "begins", and the last record a feature "ends" with the number of records, so that a truncated
    file is detected. Once all files are complete, they are renamed to their final names, one after
    another.

    Args:
        pairs: Source texts and target texts, or the path of a file of tab-separated pairs, or
            several paths. Iterated over once, with at most one pair in memory.
        prefix: Prefix of the file names: "data/train" for
            "data/train-00000-of-00008.tfrecord".
        shards: Number of files to write: at least one per training worker, of about 100 MB each.
            Defaults to 8.
        features_column: Number of the features column of the files; see `read_pairs`. The records
            have the features in the source. Defaults to `None`: two columns, without features.

    Returns:
        The paths of the files.

    Raises:
        TypeError: If `pairs` are not pairs of `str`.
        FileNotFoundError: If an input file or the destination folder does not exist.
        ValueError: If there are fewer pairs than `shards`, a pair has an empty side, an input file
            is malformed, or `features_column` is not 1, 2 or 3.
        OSError: If a file cannot be written, for example because the disk is full.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     paths = write_records([("a", "A"), ("b", "B")], f"{folder}/train", shards=2)
        ...     [os.path.basename(path) for path in paths]
        ['train-00000-of-00002.tfrecord', 'train-00001-of-00002.tfrecord']
    """
    check_positive_int("shards", shards)
    column = check_features_column(features_column)
    prefix = os.path.abspath(os.fspath(prefix))
    paths, given = as_paths_or_pairs(pairs)
    if paths:
        given = (pair for path in paths for pair in iterate_file(path, column))
    names = [f"{prefix}-{number:05d}-of-{shards:05d}.tfrecord" for number in range(shards)]
    with contextlib.ExitStack() as stack:
        unfinished = [stack.enter_context(written_beside(name)) for name in names]
        with _write_errors(names[0]), contextlib.ExitStack() as open_files:
            files = [open_files.enter_context(_RecordFile(name)) for name in unfinished]
            number = 0
            for number, (source, target) in enumerate(check_pairs(given), 1):
                files[(number - 1) % shards].write(source, target)
            if number < shards:
                raise InputError(
                    "`shards` must not exceed the number of pairs, because each file needs a pair. "
                    f"Received: shards={shards} for {count_of(number, 'pair')}"
                )
    return names


@contextlib.contextmanager
def _write_errors(path: str) -> Iterator[None]:
    """Raise TensorFlow's errors of writing as an `OSError` with the path of the first file."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path) from error
    except tf.errors.OpError as error:
        raise OSError(f"Could not write {path!r}: {error.message}") from error


class _RecordFile:
    """File of records that holds back its last record until the record can be marked.

    Args:
        path: Path of the file.
    """

    def __init__(self, path: str) -> None:
        self._writer = tf.io.TFRecordWriter(path)
        self._last: tf.train.Example | None = None
        self._number = 0

    def __enter__(self) -> _RecordFile:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None and self._last is not None:
            _mark(self._last, END, self._number)
            self._write_last()
        self._writer.close()

    def write(self, source: str, target: str) -> None:
        """Write a pair."""
        self._write_last()
        self._last = _example(source, target)
        self._number += 1
        if self._number == 1:
            _mark(self._last, BEGIN, 1)

    def _write_last(self) -> None:
        if self._last is not None:
            self._writer.write(self._last.SerializeToString(deterministic=True))


def _example(source: str, target: str) -> tf.train.Example:
    """Convert a pair to a record."""
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode("utf-8")]))
        for name, text in (("source", source), ("target", target))
    }
    return tf.train.Example(features=tf.train.Features(feature=features))


def _mark(example: tf.train.Example, name: str, value: int) -> None:
    """Add an integer feature to a record."""
    example.features.feature[name].int64_list.value.append(value)
