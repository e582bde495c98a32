"""Pairs of texts in TFRecord files, many of them, for data larger than memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

import tensorflow as tf
from google.protobuf.message import DecodeError

from keras_s2s.checks import check_positive_int
from keras_s2s.data.pairs import (
    GZIP_MAGIC,
    as_paths_or_pairs,
    check_pairs,
    check_path,
    find_fault,
    iterate_lines,
)
from keras_s2s.files import written_beside

# Records that are read at once: each call takes as long as reading some of them.
_RECORDS_AT_ONCE = 256


def write_records(
    pairs: Iterable[tuple[str, str]] | str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    prefix: str | os.PathLike[str],
    *,
    shards: int = 8,
) -> list[str]:
    """Write pairs of texts into TFRecord files, which `make_dataset` streams from.

    The pairs are dealt out to the files in turn. Each record is a `tf.train.Example` with the
    features "source" and "target", a UTF-8 text each. The files get their names when all of them
    are written whole.

    Args:
        pairs: source texts and target texts, or the file of tab-separated pairs, or several; gone
            through once, with no more than one pair in memory.
        prefix: how the files' names begin: "data/train" for
            "data/train-00000-of-00008.tfrecord".
        shards: how many files to write. More than workers that train; a file of about 100 MB
            reads well.

    Returns:
        The paths of the files.

    Raises:
        TypeError: if `pairs` are not pairs of `str`.
        FileNotFoundError: if a file to read, or the folder to write into, is not there.
        ValueError: if there are fewer pairs than `shards`, one is empty on a side, or a file to
            read is malformed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     paths = write_records([("a", "A"), ("b", "B")], f"{folder}/train", shards=2)
        ...     [os.path.basename(path) for path in paths]
        ['train-00000-of-00002.tfrecord', 'train-00001-of-00002.tfrecord']
    """
    check_positive_int("shards", shards)
    prefix = os.path.abspath(os.fspath(prefix))
    paths, given = as_paths_or_pairs(pairs)
    if paths:
        given = (pair for path in paths for pair in iterate_file(path))
    names = [f"{prefix}-{number:05d}-of-{shards:05d}.tfrecord" for number in range(shards)]
    with contextlib.ExitStack() as stack:
        unfinished = [stack.enter_context(written_beside(name)) for name in names]
        with contextlib.ExitStack() as open_files:
            writers = [open_files.enter_context(tf.io.TFRecordWriter(name)) for name in unfinished]
            number = 0
            for number, (source, target) in enumerate(check_pairs(given), 1):
                writers[(number - 1) % shards].write(_example(source, target))
        if number < shards:
            raise ValueError(
                f"`pairs` must be at least as many as `shards`. Received: {number} pairs, "
                f"shards={shards}"
            )
    return names


def is_records(path: str) -> bool:
    """Say whether a file holds records, by its name: "train.tfrecord-00000-of-00008" does too."""
    return ".tfrecord" in os.path.basename(path)


def iterate_file(path: str, features_column: int | None = None) -> Iterator[tuple[str, str]]:
    """Read the pairs of a file one by one: TFRecords if its name says so, or else a line each.

    Args:
        path: the file.
        features_column: as of `read_pairs`, checked; records have none, theirs are in the source.

    Yields:
        The pairs `(source, target)` in the order of the file.

    Raises:
        FileNotFoundError: if there is no such file.
        IsADirectoryError: if `path` is a folder.
        ValueError: if the file has no pairs, is damaged, or something in it is not a pair.
    """
    return _iterate_records(path) if is_records(path) else iterate_lines(path, features_column)


def _iterate_records(path: str) -> Iterator[tuple[str, str]]:
    """Read the pairs of a TFRecord file one by one."""
    check_path(path)
    with open(path, "rb") as file:
        compressed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    number = 0
    records = tf.data.TFRecordDataset(path, compression_type="GZIP" if compressed else "")
    try:
        for batch in records.batch(_RECORDS_AT_ONCE):
            for record in batch.numpy().tolist():
                number += 1
                yield _read_record(path, number, record)
    except tf.errors.DataLossError as error:
        raise ValueError(
            f"{path}: damaged or cut off behind record {number}, or not a TFRecord file; get the "
            f"file anew. Reading it failed with: {error.message}"
        ) from error
    if number == 0:
        raise ValueError(f"{path}: the file is empty. Expected: records of source and target")


def _example(source: str, target: str) -> bytes:
    """A pair as a record."""
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode("utf-8")]))
        for name, text in (("source", source), ("target", target))
    }
    record = tf.train.Example(features=tf.train.Features(feature=features))
    content: bytes = record.SerializeToString(deterministic=True)
    return content


def _read_record(path: str, number: int, record: bytes) -> tuple[str, str]:
    """Take a record apart."""
    try:
        feature = tf.train.Example.FromString(record).features.feature
        ((source,), (target,)) = (feature[name].bytes_list.value for name in ("source", "target"))
    except (DecodeError, ValueError) as error:
        raise _record_error(path, number, "no tf.train.Example with a text for each") from error
    try:
        pair = source.decode("utf-8"), target.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _record_error(path, number, "a text that is not UTF-8") from error
    fault = find_fault(*pair)
    if fault:
        raise _record_error(path, number, fault)
    return pair


def _record_error(path: str, number: int, reason: str) -> ValueError:
    """Say where a file is wrong."""
    return ValueError(
        f"{path}, record {number}: {reason}. Expected: the features source and target"
    )
