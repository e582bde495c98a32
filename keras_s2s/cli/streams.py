"""Lines in, lines out, and how far it is."""

from __future__ import annotations

import contextlib
import os
import select
import stat
import sys
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

import click

from keras_s2s.errors import InputError

_LINGER = 0.02  # seconds that a batch waits for more lines to come
_CHUNK = 1 << 16  # bytes
_BOM = b"\xef\xbb\xbf"

# What a line to translate does not have, and what to do with it.
_REFUSED = {
    "\t": ("a tab", "; --columns first takes the first column, --columns text the whole line"),
    "\r": ("a carriage return", ", which ends in LF or CR LF"),
    "\0": ("a NUL character", ""),
}


class LineReader:
    """Reads the lines of a stream in groups: as many as there are, and not waiting for more.

    Where lines come one by one, from a person or a program that waits for the answer, a group is
    one line; where there are plenty, it is as large as is asked for.

    Args:
        file: a binary stream; one that the operating system knows, such as standard input.

    Attributes:
        position: how many bytes were read.
        number: how many lines were given.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.position = self.number = 0
        self._descriptor = file.fileno()
        self._lines: list[bytes] = []
        self._rest = b""
        self._ended = False

    def read(self, most: int) -> list[bytes]:
        """Wait for a line, and give it with those that come at the same time.

        Args:
            most: how many lines to give at most.

        Returns:
            The lines without their ends; none at the end of the stream.
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
            group[0] = group[0].removeprefix(_BOM)
        self.number += len(group)
        return group

    def _take(self) -> None:
        """Read what there is, and cut it into lines."""
        content = os.read(self._descriptor, _CHUNK)
        self.position += len(content)
        self._ended = not content
        *lines, self._rest = (self._rest + content).split(b"\n")
        if self._ended and self._rest:
            lines, self._rest = [*lines, self._rest], b""
        self._lines += [line.removesuffix(b"\r") for line in lines]


def decode_line(line: bytes, number: int, columns: str | None = None) -> str:
    """Turn a line of standard input into a source text.

    Args:
        line: the bytes.
        number: its number in the stream, from 1.
        columns: "first" for the text before the first tab, "text" for tabs as white space of the
            text; by default a tab is refused.

    Returns:
        The text.

    Raises:
        ValueError: if it is not UTF-8, or has a character that no source has.
    """
    place = f"standard input, line {number}"
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{place}: not UTF-8: byte 0x{line[error.start]:02X} at position {error.start}"
        ) from None
    if columns == "first":
        text = text.partition("\t")[0]
    for character, (name, hint) in _REFUSED.items():
        if character in text and not (character == "\t" and columns == "text"):
            raise InputError(
                f"{place}: {name} at character {text.index(character) + 1}. Expected: a source in "
                f"each line{hint}"
            )
    return text


def write_line(text: str) -> None:
    """Write a line to standard output, as UTF-8 whatever the locale says.

    Args:
        text: the line, without its end.
    """
    with naming_output():
        sys.stdout.buffer.write(text.encode("utf-8", errors="replace") + b"\n")


@contextlib.contextmanager
def naming_output() -> Iterator[None]:
    """Let errors of writing to standard output say so: the system's name no path."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


_SPACES = str.maketrans(dict.fromkeys("\t\n\r\0", " "))


def in_column(text: str) -> str:
    """Return a text without the characters that end a column or a line: tab, LF, CR, NUL.

    Other characters that end lines for some programs, U+2028 for instance, are kept.
    """
    return text.translate(_SPACES)


@contextlib.contextmanager
def progress(
    label: str, length: int | None, *, between_answers: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show how far it is, on standard error, if that is a terminal.

    Args:
        label: what is going on.
        length: how many steps there are; None if that is not known, and nothing can be shown.
        between_answers: whether answers are written meanwhile; then nothing is shown if they go to
            the terminal too.

    Yields:
        A function to be called with a number of steps that were taken.
    """
    disturbs = between_answers and sys.stdout.isatty()
    if length is None or disturbs or not sys.stderr.isatty():
        yield lambda steps: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update


def size_of(file: BinaryIO) -> int | None:
    """Give the size of a stream in bytes, if it is a file."""
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None
