"""Pairs of texts in TFRecord files, for data larger than memory."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Any

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
from keras_s2s.errors import InputError
from keras_s2s.files import written_beside

# Number of records read at once: the overhead of a call equals the time of several records.
_RECORDS_AT_ONCE = 256
_FRAME = 16  # bytes of a record besides its content: length and two checksums
_BLOCK = 1 << 16
# The features that mark the first and the last record of a file.
_BEGIN, _END = "begins", "ends"
# Errors that TensorFlow raises for damaged bytes.
_DAMAGE = (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.OutOfRangeError,
    tf.errors.ResourceExhaustedError,
)


def write_records(
    pairs: Iterable[tuple[str, str]] | str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    prefix: str | os.PathLike[str],
    *,
    shards: int = 8,
) -> list[str]:
    """Write pairs of texts to TFRecord files, which `make_dataset` can stream.

    The pairs are distributed to the files in turn. Each record is a `tf.train.Example` with the
    features "source" and "target", each a UTF-8 text. The first record of a file also has a
    feature "begins", and the last one a feature "ends" with the number of records, so that a
    truncated file is never read as a shorter one. The files are renamed to their final names when
    all of them are complete.

    Args:
        pairs: Source texts and target texts, or the path of a file of tab-separated pairs, or
            several paths. Iterated over once, with at most one pair in memory.
        prefix: Prefix of the file names: "data/train" for
            "data/train-00000-of-00008.tfrecord".
        shards: Number of files to write. Use more files than training workers; about 100 MB per
            file is a good size.

    Returns:
        The paths of the files.

    Raises:
        TypeError: If `pairs` are not pairs of `str`.
        FileNotFoundError: If an input file or the destination folder does not exist.
        ValueError: If there are fewer pairs than `shards`, a pair has an empty side, or an input
            file is malformed.

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
            files = [open_files.enter_context(_RecordFile(name)) for name in unfinished]
            number = 0
            for number, (source, target) in enumerate(check_pairs(given), 1):
                files[(number - 1) % shards].write(source, target)
            if number < shards:
                raise InputError(
                    f"`pairs` must be at least as many as `shards`. Received: {number} pairs, "
                    f"shards={shards}"
                )
    return names


class _RecordFile:
    """A record file being written; the last record is held back until it can be marked.

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
            _mark(self._last, _END, self._number)
            self._write_last()
        self._writer.close()

    def write(self, source: str, target: str) -> None:
        """Write a pair."""
        self._write_last()
        self._last = _example(source, target)
        self._number += 1
        if self._number == 1:
            _mark(self._last, _BEGIN, 1)

    def _write_last(self) -> None:
        if self._last is not None:
            self._writer.write(self._last.SerializeToString(deterministic=True))


def is_records(path: str) -> bool:
    """Return whether a file holds records, by its name; "train.tfrecord-00000-of-00008" does."""
    return ".tfrecord" in os.path.basename(path)


def iterate_file(path: str, features_column: int | None = None) -> Iterator[tuple[str, str]]:
    """Read the pairs of a file one by one: TFRecords if its name says so, otherwise lines.

    Args:
        path: Path of the file.
        features_column: As for `read_pairs`, already checked. Ignored for records, which have
            their features in the source.

    Yields:
        The pairs `(source, target)` in the order of the file.

    Raises:
        FileNotFoundError: If the file does not exist.
        IsADirectoryError: If `path` is a folder.
        ValueError: If the file has no pairs, is damaged, or has an invalid pair.
    """
    return _iterate_records(path) if is_records(path) else iterate_lines(path, features_column)


def _iterate_records(path: str) -> Iterator[tuple[str, str]]:
    """Read the pairs of a TFRecord file one by one."""
    check_path(path)
    with open(path, "rb") as file:
        compressed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    records = tf.data.TFRecordDataset(path, compression_type="GZIP" if compressed else "")
    number = size = 0
    left: int | None = None  # minus the number of records since the beginning; None: unknown
    try:
        for batch in records.batch(_RECORDS_AT_ONCE):
            for record in batch.numpy().tolist():
                number, size = number + 1, size + len(record) + _FRAME
                example, pair = _read_record(path, number, record)
                left = _count(path, number, example, left)
                yield pair
    except _DAMAGE as error:
        with contextlib.suppress(*_DAMAGE):
            for _ in records.skip(number):  # records of the group that was read at once
                number += 1
        raise InputError(
            f"{path}: damaged or truncated after record {number}, or not a TFRecord file. Get the "
            f"file again. Reading it failed: {error.message}"
        ) from error
    if number == 0:
        raise InputError(f"{path}: the file is empty. Expected: records of source and target")
    if left is not None and left != 0:
        raise InputError(
            f"{path}: truncated after record {number}: its last record is missing. Get the "
            "file again"
        )
    fault = _end_fault(path, size, compressed=compressed)
    if fault:
        raise InputError(f"{path}: truncated or padded after record {number}: {fault}")


def _count(path: str, number: int, example: tf.train.Example, left: int | None) -> int | None:
    """Check the marks of the first and the last record.

    Args:
        path: Path of the file.
        number: Number of this record.
        example: This record.
        left: Minus the number of records since the beginning of the file; 0 after its last record;
            None in a file without marks, such as a file written by another program.

    Returns:
        The value of `left` after this record.
    """
    begin, end = _mark_of(example, _BEGIN), _mark_of(example, _END)
    if begin is None and end is None and left is None:
        return None
    if (begin is None) == (left in (None, 0)):
        raise _record_error(path, number, "records are missing before it, or were appended")
    left = -1 if begin is not None else left - 1  # type: ignore[operator]
    if end is None:
        return left
    if end != -left:
        raise _record_error(path, number, f"{end} records should end here, {-left} do")
    return 0


def _end_fault(path: str, size: int, *, compressed: bool) -> str | None:
    """Check the end of a record file, which TensorFlow does not check.

    Args:
        path: Path of the file.
        size: Number of bytes of its records.
        compressed: Whether the file is compressed with gzip.

    Returns:
        A description of the fault, or None.
    """
    found = os.path.getsize(path)
    if compressed:
        with open(path, "rb") as file:
            file.seek(max(0, found - 4))
            if int.from_bytes(file.read(4), "little") == size % 2**32:
                return None  # gzip ends with the size of the content
            file.seek(0)
            try:
                found = _decompressed_size(file)
            except (EOFError, zlib.error) as error:
                return str(error)
    return None if found == size else f"{found} bytes, {size} of them records"


def _decompressed_size(file: IO[bytes]) -> int:
    """Return the decompressed size of all parts of a gzip file; raise for extra data."""
    size, content = 0, file.read(_BLOCK)
    while content:
        decompressor = zlib.decompressobj(wbits=31)
        while not decompressor.eof:
            if not content:
                raise EOFError("the compressed content is truncated")
            size += len(decompressor.decompress(content))
            content = decompressor.unused_data or file.read(_BLOCK)
    return size


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


def _mark_of(example: tf.train.Example, name: str) -> int | None:
    """Return an integer feature of a record, or None."""
    features = example.features.feature
    values: Any = features[name].int64_list.value if name in features else ()
    return values[0] if len(values) == 1 else None


def _read_record(path: str, number: int, record: bytes) -> tuple[tf.train.Example, tuple[str, str]]:
    """Parse a record."""
    try:
        example = tf.train.Example.FromString(record)
        feature = example.features.feature
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
    return example, pair


def _record_error(path: str, number: int, reason: str) -> InputError:
    """Return the error for a record."""
    return InputError(
        f"{path}, record {number}: {reason}. Expected: the features source and target"
    )
