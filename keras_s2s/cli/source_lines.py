"""Reads lines of sources from standard input or a file."""

from __future__ import annotations

import os
import select
import time
from typing import BinaryIO

from keras_s2s.data.text_lines import BOM, decode_utf8, iterate_text_lines
from keras_s2s.errors import InputError
from keras_s2s.texts import is_empty

_LINGER = 0.02  # seconds that a batch waits for more lines
_CHUNK = 1 << 16  # bytes
_EXPECTED = "one source per line"

# Characters that a source line must not contain.
_REFUSED = {
    "\t": "a tab",
    "\r": "a carriage return",
    "\0": "a NUL character",
}
_HINTS = {
    "\t": ". Use --columns first to read only the first column, --columns features to read a lemma "
    "and its features, or --columns text to read the whole line",
    "\r": ", which ends in LF or CR LF",
}


class LineReader:
    """Reader of the lines of a stream, in groups, without waiting for a group to fill.

    If lines arrive one by one, from a person or a program that waits for each answer, a group is
    one line. If many lines are available, a group is as large as requested.

    Args:
        file: Binary stream with a file descriptor, such as standard input.

    Attributes:
        position: Integer. Number of bytes read.
        number: Integer. Number of lines returned.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.position = self.number = 0
        self._descriptor = file.fileno()
        self._lines: list[bytes] = []
        self._parts: list[bytes] = []  # of a line that has not ended
        self._ended = False

    def read(self, most: int) -> list[bytes]:
        """Wait for a line and return it with the lines that arrive at the same time.

        Args:
            most: Integer. Maximum number of lines to return.

        Returns:
            A list of lines without line endings, empty at the end of the stream.
        """
        while not self._lines and not self._ended:
            self._take()
        until = time.monotonic() + _LINGER
        while len(self._lines) < most and not self._ended:
            left = max(0.0, until - time.monotonic())
            if not select.select([self._descriptor], [], [], left)[0]:
                break
            self._take()
        group, self._lines = self._lines[:most], self._lines[most:]
        if group and self.number == 0:
            group[0] = group[0].removeprefix(BOM)
        self.number += len(group)
        return group

    def peek(self) -> bytes | None:
        """Wait for the first line and return it, without counting it as read.

        Returns:
            The line without its line ending, or `None` if the stream is empty.
        """
        while not self._lines and not self._ended:
            self._take()
        return self._lines[0].removeprefix(BOM) if self._lines else None

    def _take(self) -> None:
        """Read the available bytes and split them into lines."""
        content = os.read(self._descriptor, _CHUNK)
        self.position += len(content)
        self._ended = not content
        *lines, rest = content.split(b"\n")
        if lines:  # joined only once, so that the time for a long line grows with its length
            lines[0] = b"".join([*self._parts, lines[0]])
            self._parts = []
        self._parts.append(rest)
        if self._ended and any(self._parts):
            lines.append(b"".join(self._parts))
        self._lines += [line.removesuffix(b"\r") for line in lines]


def decode_line(line: bytes, place: str, columns: str | None = None) -> str:
    """Decode a line into a source text.

    Args:
        line: Bytes of the line.
        place: File and line number, for error messages.
        columns: "first" takes the text before the first tab, "text" treats tabs as white space, and
            "features" takes a source and its features. Defaults to `None`, which rejects tabs.

    Returns:
        The text.

    Raises:
        ValueError: If the line is not UTF-8, or contains a character that a source must not
            contain.
    """
    return _take_source(decode_utf8(line, place, _EXPECTED), place, columns)


def read_lines(path: str) -> list[tuple[str, str]]:
    """Read the nonempty lines of a file of sources, plain or compressed with gzip.

    Args:
        path: Path of the file.

    Returns:
        A list of `(place, line)`. The place is the file and line number, for error messages.

    Raises:
        ValueError: If the file has no sources, is damaged or is not UTF-8.
    """
    found = [
        (f"{path}, line {number}", text)
        for number, text in enumerate(iterate_text_lines(path, _EXPECTED), 1)
        if not is_empty(text)
    ]
    if not found:
        raise InputError(f"{path}: no lines. Expected: {_EXPECTED}")
    return found


def take_sources(lines: list[tuple[str, str]], columns: str | None = None) -> list[str]:
    """Return the nonempty sources of the lines of a file.

    Args:
        lines: List of `(place, line)`, as returned by `read_lines`.
        columns: How to read lines with tabs, as in `decode_line`. Defaults to `None`.

    Returns:
        A list of texts.

    Raises:
        ValueError: If a line is not a valid source, or all sources are empty.
    """
    texts = [_take_source(line, place, columns) for place, line in lines]
    sources = [text for text in texts if not is_empty(text)]
    if not sources:
        raise InputError(f"{lines[0][0]}: the source is empty. Expected: {_EXPECTED}")
    return sources


def read_sources(path: str) -> list[str]:
    """Read the nonempty lines of a file of sources without tabs.

    Args:
        path: Path of the file.

    Returns:
        A list of texts.

    Raises:
        ValueError: If the file has no sources, or a line is not a valid source.
    """
    return take_sources(read_lines(path))


def _take_source(text: str, place: str, columns: str | None) -> str:
    """Return the source text of a line that may have columns."""
    if columns == "first":
        if not is_empty(text):  # a carriage return may be the end of a line, and of its columns
            _check_characters(text, place, "\r\0")
        text = text.partition("\t")[0]
    elif columns == "features":
        source, *features = text.split("\t")
        if len(features) > 1:
            raise InputError(
                f"{place}: {len(features) + 1} columns. Expected: source<TAB>features, as from "
                "`cut -f1,2` (`compare` reads pairs with --features-column). Use --columns first "
                "to read only the first column, or --columns text to read the whole line"
            )
        text = " ".join([source, *features])
    if not is_empty(text):
        _check_characters(text, place, "\r\0" if columns == "text" else "\t\r\0")
    return text


def _check_characters(text: str, place: str, refused: str) -> None:
    """Check that a line does not contain characters that a source must not contain."""
    for character in refused:
        if character in text:
            raise InputError(
                f"{place}: {_REFUSED[character]} at character {text.index(character) + 1}. "
                f"Expected: {_EXPECTED}{_HINTS.get(character, '')}"
            )
