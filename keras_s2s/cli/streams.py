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

_LINGER = 0.02  # seconds that a batch waits for more lines to come
_CHUNK = 1 << 16  # bytes
_BOM = b"\xef\xbb\xbf"


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


def decode_line(line: bytes, number: int) -> str:
    """Turn a line of standard input into text.

    Args:
        line: the bytes.
        number: its number in the stream, from 1.

    Returns:
        The text.

    Raises:
        ValueError: if it is not UTF-8.
    """
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"standard input, line {number}: not UTF-8: byte 0x{line[error.start]:02X} at "
            f"position {error.start}"
        ) from None


def write_line(text: str) -> None:
    """Write a line to standard output, as UTF-8 whatever the locale says.

    Args:
        text: the line, without its end.
    """
    sys.stdout.buffer.write(text.encode("utf-8", errors="replace") + b"\n")


def in_column(text: str) -> str:
    """Make of a text what can stand in a column: without tabs and line ends."""
    return " ".join(text.replace("\t", "\n").splitlines())


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
