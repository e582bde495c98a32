"""Reads pairs of texts from files, tab-separated or TFRecords.

TensorFlow is imported only to read TFRecords.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator

from keras_s2s.checks import short_repr
from keras_s2s.data.pairs import (
    as_paths_or_pairs,
    check_features_column,
    is_records,
    iterate_lines,
)
from keras_s2s.errors import InputError


def iterate_pairs(
    files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    features_column: int | None = None,
) -> Iterator[tuple[str, str]]:
    r"""Read pairs from files one by one, keeping only a few in memory.

    Use this function to train tokenizers, which accept an iterable of texts. `make_dataset` takes
    the paths of the files.

    Args:
        files: The path of a file, tab-separated (see `read_pairs`) or TFRecords (see
            `write_records`), or several paths.
        features_column: Number of the features column; see `read_pairs`. Defaults to `None`: two
            columns, without features.

    Returns:
        An iterator over the pairs `(source, target)` in the order of the files.

    Raises:
        TypeError: If `files` are not paths.
        FileNotFoundError: If a file does not exist.
        ValueError: If there are no files, or `features_column` is not 1, 2 or 3. While reading, if
            a file has no pairs, is damaged, or has an invalid pair.

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
            raise TypeError(f"`files` must be paths. Received: {short_repr(other)}")
        raise InputError("`files` must contain at least one path. Received: none")
    column = check_features_column(features_column)
    return itertools.chain.from_iterable(iterate_file(path, column) for path in paths)


def iterate_file(path: str, features_column: int | None = None) -> Iterator[tuple[str, str]]:
    """Read the pairs of a file one by one: TFRecords if its name says so, otherwise lines.

    Args:
        path: Path of the file.
        features_column: As for `read_pairs`, already checked. Ignored for records, which have
            their features in the source.

    Returns:
        An iterator over the pairs `(source, target)` in the order of the file.

    Raises:
        FileNotFoundError: If the file does not exist.
        IsADirectoryError: If `path` is a folder.
        ValueError: If the file has no pairs, is damaged, or has an invalid pair.
    """
    if not is_records(path):
        return iterate_lines(path, features_column)
    from keras_s2s.data.records import iterate_records

    return iterate_records(path)
