"""Reads pairs of texts from TFRecord files, for data larger than memory."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterator
from typing import IO, Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from keras_s2s.checks import count_of
from keras_s2s.data.pairs import check_path, find_fault
from keras_s2s.data.text_lines import GZIP_MAGIC
from keras_s2s.errors import InputError

# Number of records read at once, because the overhead of a call is the time of several records.
_RECORDS_AT_ONCE = 256
_FRAME = 16  # bytes of a record besides its content: length and two checksums
_BLOCK = 1 << 16
# The features that mark the first and the last record of a file.
BEGIN, END = "begins", "ends"
# Errors that TensorFlow raises for damaged bytes.
_DAMAGE = (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.OutOfRangeError,
    tf.errors.ResourceExhaustedError,
)


def iterate_records(path: str) -> Iterator[tuple[str, str]]:
    """Read the pairs of a TFRecord file one by one.

    Args:
        path: Path of the file.

    Yields:
        The pairs `(source, target)` in the order of the file.

    Raises:
        FileNotFoundError: If the file does not exist.
        IsADirectoryError: If `path` is a folder.
        ValueError: If the file has no records, is damaged, or has an invalid record.
    """
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
            f"{path}: damaged or truncated after record {number}, or not a TFRecord file. "
            f"Copy or download the file again. Reading it failed: {error.message}"
        ) from error
    fault = _end_fault(path, size, compressed=compressed)
    if number == 0 and not fault:
        raise InputError(f"{path}: the file is empty. Expected: records of source and target")
    if left is not None and left != 0:
        raise InputError(
            f"{path}: truncated after record {number}: the last record is missing. Copy or "
            "download the file again"
        )
    if fault:
        raise InputError(
            f"{path}: truncated after record {number}, or followed by other bytes: {fault}. Get "
            "the file again"
        )


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
    begin, end = _mark_of(example, BEGIN), _mark_of(example, END)
    if begin is None and end is None and left is None:
        return None
    if (begin is None) == (left in (None, 0)):
        raise InputError(
            f"{path}, record {number}: records before it are missing, or it was appended. Copy or "
            "download the file again"
        )
    left = -1 if begin is not None else left - 1  # type: ignore[operator]
    if end is None:
        return left
    if end != -left:
        raise InputError(
            f"{path}, record {number}: it was written as record {end} but follows "
            f"{count_of(-left - 1, 'record')}: some are missing. Copy or download the file again"
        )
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
            if size and int.from_bytes(file.read(4), "little") == size % 2**32:
                return None  # gzip ends with the size of the content
            file.seek(0)
            try:
                found = _decompressed_size(file)
            except (EOFError, zlib.error) as error:
                return str(error)
    return (
        None
        if found == size
        else f"the file has {count_of(found, 'byte')}, its complete records {size}"
    )


def _decompressed_size(file: IO[bytes]) -> int:
    """Return the decompressed size of all parts of a gzip file; raise for extra data."""
    size, content = 0, file.read(_BLOCK)
    while content:
        decompressor = zlib.decompressobj(wbits=31)
        while not decompressor.eof:
            if not content:
                raise EOFError("the gzip file is truncated")
            size += len(decompressor.decompress(content))
            content = decompressor.unused_data or file.read(_BLOCK)
    return size


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
        reason = "not a tf.train.Example with one text in each feature"
        raise _record_error(path, number, reason) from error
    try:
        pair = source.decode("utf-8"), target.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _record_error(path, number, "a text is not UTF-8") from error
    fault = find_fault(*pair)
    if fault:
        raise _record_error(path, number, fault)
    return example, pair


def _record_error(path: str, number: int, reason: str) -> InputError:
    """Return the error for the content of a record."""
    return InputError(
        f"{path}, record {number}: {reason}. Expected: the features source and target"
    )
