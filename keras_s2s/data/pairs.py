"""Reads pairs of texts from tab-separated files."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any

from keras_s2s.checks import check_positive_int, check_utf8, short_repr
from keras_s2s.data.text_lines import iterate_text_lines
from keras_s2s.errors import InputError
from keras_s2s.texts import FEATURE_SEPARATOR, is_empty

_PAIR = "source<TAB>target"
# Formats with the features in column 1, 2 or 3.
_TRIPLES = (
    "features<TAB>source<TAB>target",
    "source<TAB>features<TAB>target",
    "source<TAB>target<TAB>features",
)


def read_pairs(
    path: str | os.PathLike[str], *, features_column: int | None = None
) -> list[tuple[str, str]]:
    r"""Read pairs of texts from a tab-separated file, one `source<TAB>target` per line.

    The file must be UTF-8, with or without a byte order mark. Gzip is detected from the content.
    Lines end with LF or CR LF, optional on the last line. Empty lines at the end of the file are
    skipped. Texts are returned unchanged, including white space around them. If a source has
    several correct targets, write one line for each of them.

    With `features_column`, a line has three columns: a source, its features and a target, as in
    the files of SIGMORPHON. In the returned pair, a space joins the source and its features,
    as a `FeatureTokenizer` expects.

    Args:
        path: Path of the file.
        features_column: Column of the features, counted from 1: 2 for
            `lemma<TAB>features<TAB>form`, 3 for `lemma<TAB>form<TAB>features`. Defaults to `None`:
            two columns, without features.

    Returns:
        The pairs `(source, target)` in the order of the file.

    Raises:
        TypeError: If `path` is not a path.
        FileNotFoundError: If the file does not exist.
        IsADirectoryError: If `path` is a folder.
        ValueError: If the file has no pairs or is damaged, or if a line is not a pair. The message
            has the path, the line number and the reason. Also if `features_column` is not 1, 2
            or 3.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "train.tsv"
        ...     _ = path.write_text("hello\tHH AH L OW\n", encoding="utf-8")
        ...     read_pairs(path)
        [('hello', 'HH AH L OW')]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "eng.trn"
        ...     _ = path.write_text("walk\tV;PST\twalked\n", encoding="utf-8")
        ...     read_pairs(path, features_column=2)
        [('walk V;PST', 'walked')]
    """
    return list(iterate_lines(path, check_features_column(features_column)))


def iterate_lines(
    path: str | os.PathLike[str], features_column: int | None = None
) -> Iterator[tuple[str, str]]:
    """Read the pairs of a file one by one, as `read_pairs` does, without keeping them in memory.

    Args:
        path: Path of the file.
        features_column: As for `read_pairs`, already checked.

    Yields:
        The pairs `(source, target)` in the order of the file.

    Raises:
        TypeError: If `path` is not a path.
        FileNotFoundError: If the file does not exist.
        IsADirectoryError: If `path` is a folder.
        ValueError: If the file has no pairs, is damaged, or a line is not a pair.
    """
    name = check_path(path)
    if is_records(name):
        raise InputError(
            f"{name}: a TFRecord file by its name. Expected: a file of source<TAB>target lines. "
            "Only `make_dataset`, `iterate_pairs` and --train read TFRecord files"
        )
    number = 0
    first_empty = None
    for number, line in enumerate(iterate_text_lines(name, _PAIR), 1):
        if not line:
            first_empty = first_empty or number
            continue
        if first_empty:
            raise _line_error(name, first_empty, "the line is empty")
        columns = _columns(name, number, line)
        yield _pair(name, number, columns, features_column)
    if number == 0 or first_empty == 1:
        raise InputError(f"{name}: the file is empty. Expected: lines of source<TAB>target")


def check_features_column(features_column: Any) -> int | None:
    """Check the number of the features column.

    Args:
        features_column: The value to check.

    Returns:
        The number, or `None` if there are no features.

    Raises:
        ValueError: If it is not 1, 2 or 3.
    """
    if features_column is None:
        return None
    column = check_positive_int("features_column", features_column)
    if column > len(_TRIPLES):
        raise InputError(
            "`features_column` must be 1, 2 or 3, since a line has a source, its features and a "
            f"target. Received: features_column={features_column!r}"
        )
    return column


def as_paths_or_pairs(pairs: Any) -> tuple[list[str], Iterable[Any]]:
    """Distinguish paths of files from pairs.

    Args:
        pairs: A path, an iterable of paths, or an iterable of pairs.

    Returns:
        The paths, and the unchecked pairs; one of them is empty.

    Raises:
        TypeError: If `pairs` is anything else, or mixes paths and pairs.
        FileNotFoundError: If a file does not exist.
        IsADirectoryError: If a path is a folder.
    """
    if isinstance(pairs, str | os.PathLike):
        return [check_path(pairs)], ()
    if isinstance(pairs, bytes) or not isinstance(pairs, Iterable):
        raise TypeError(
            f"`pairs` must be an iterable of (source, target) pairs. Received: {short_repr(pairs)}"
        )
    iterator = iter(pairs)
    first = list(itertools.islice(iterator, 1))
    if first and isinstance(first[0], str | os.PathLike):
        return [_check_listed_path(path) for path in itertools.chain(first, iterator)], ()
    return [], itertools.chain(first, iterator)


def _check_listed_path(path: Any) -> str:
    """Check a path in a list. The user may have meant a list of texts."""
    try:
        return check_path(path)
    except FileNotFoundError as error:
        if not isinstance(path, str):
            raise
        raise FileNotFoundError(f"{error} (a list of str is read as a list of paths)") from error


def check_pairs(pairs: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Check pairs one by one.

    Args:
        pairs: Source texts and target texts.

    Yields:
        Each pair.

    Raises:
        TypeError: If `pairs` is not iterable, or an element is not a pair of `str`.
        ValueError: If a text is empty, has a NUL character, or cannot be encoded in UTF-8 (a lone
            surrogate).
    """
    if not isinstance(pairs, Iterable):
        raise TypeError(
            "`pairs` must be an iterable of (source, target) pairs of str. "
            f"Received: pairs={short_repr(pairs)}"
        )
    for number, pair in enumerate(pairs):
        if (
            not isinstance(pair, tuple | list)
            or len(pair) != 2
            or not all(isinstance(text, str) for text in pair)
        ):
            raise TypeError(
                "`pairs` must be an iterable of (source, target) pairs of str. "
                f"Received: {short_repr(pair)} as pair {number}"
            )
        fault = find_fault(*pair)
        if fault:
            raise InputError(
                "`pairs` must contain texts that are not empty. "
                f"Received: {short_repr(pair)} as pair "
                f"{number}: {fault}"
            )
        yield check_utf8(pair[0]), check_utf8(pair[1])


def find_fault(source: str, target: str) -> str | None:
    """Return the reason why a pair is invalid, if any.

    Args:
        source: The source text.
        target: The target text.

    Returns:
        The reason, or `None` if the pair is valid.
    """
    for side, text in (("source", source), ("target", target)):
        if is_empty(text):
            return f"the {side} is empty"
        if "\0" in text:
            return f"a NUL character in the {side}"
    return None


def is_records(path: str) -> bool:
    """Return whether the name of a file is one of records, as "train.tfrecord-00000-of-00008"."""
    return ".tfrecord" in os.path.basename(path)


def check_path(path: str | os.PathLike[str]) -> str:
    """Check that a file exists.

    Args:
        path: Path of the file.

    Returns:
        The path as a `str`.

    Raises:
        TypeError: If `path` is not a path.
        FileNotFoundError: If the file does not exist.
        IsADirectoryError: If `path` is a folder.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"`path` must be a str or a path. Received: {path!r}")
    name = os.fsdecode(path)
    if os.path.isdir(name):
        raise IsADirectoryError(f"{name}: a folder. Expected: a file of source<TAB>target lines")
    if not os.path.exists(name):
        raise FileNotFoundError(f"{name}: there is no such file")
    return name


def _columns(name: str, number: int, line: str) -> list[str]:
    """Split a line at its tabs."""
    if "\r" in line:
        raise _line_error(
            name, number, "a carriage return inside the line; end lines with LF or CR LF"
        )
    columns = line.split("\t")
    if len(columns) == 1:
        raise _line_error(name, number, "no tab in the line")
    return columns


def _pair(
    name: str, number: int, columns: list[str], features_column: int | None
) -> tuple[str, str]:
    """Return the pair in the columns of a line."""
    expected = _PAIR if features_column is None else _TRIPLES[features_column - 1]
    if features_column is not None and len(columns) != len(_TRIPLES):
        reason = f"{len(columns)} columns with features_column={features_column}"
        if len(columns) == 2:
            reason += (
                ". For a file of two columns, omit `features_column` (`evaluate`, `score` and "
                "`draw errors` with the run folder of a model with features: `--features-column 0`)"
            )
        raise _line_error(name, number, reason, expected)
    if features_column is None and len(columns) > 2:
        raise _line_error(name, number, f"{len(columns)} columns. {_advice(columns)}", expected)
    likely = _find_features(columns)
    features = columns.pop(features_column - 1) if features_column else None
    fault = find_fault(*columns)
    if features is not None and not fault and len(features.split()) != 1:
        fault = "white space in the features" if features.split() else "the features are empty"
        fault += f", column {features_column} of {len(_TRIPLES)}"
        if likely:
            fault += f". If column {likely} contains the features, use features_column={likely}"
    if fault:
        raise _line_error(name, number, fault, expected)
    source, target = columns
    return source if features is None else f"{source} {features}", target


def _advice(columns: list[str]) -> str:
    """Return advice for a line with more than two columns."""
    advice = "Put each additional target of a source on a separate line"
    if len(columns) != len(_TRIPLES):
        return advice
    column = _find_features(columns) or 2
    return (
        f"If column {column} contains morphological features, such as V;PST, read the file with "
        f"features_column={column} (`--features-column {column}`). If column {len(columns)} is "
        "another correct target, put it on a separate line"
    )


def _find_features(columns: list[str]) -> int | None:
    """Return the number of the first column that looks like features, such as V;PST."""
    lists = (
        number
        for number, text in enumerate(columns, 1)
        if FEATURE_SEPARATOR in text and len(text.split()) == 1
    )
    return next(lists, None)


def _line_error(name: str, number: int, reason: str, expected: str = _PAIR) -> InputError:
    """Return the error for a line."""
    return InputError(f"{name}, line {number}: {reason}. Expected: {expected}")
