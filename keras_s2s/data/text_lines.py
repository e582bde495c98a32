"""Reads the lines of text files, plain or compressed with gzip."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import IO

from keras_s2s.errors import InputError

BOM = b"\xef\xbb\xbf"
GZIP_MAGIC = b"\x1f\x8b"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


def iterate_text_lines(path: str, expected: str) -> Iterator[str]:
    """Read the lines of a file one by one, without byte order mark and line ends.

    The file must be UTF-8. Gzip is detected from the content. Lines end with LF or CR LF, optional
    on the last line.

    Args:
        path: Path of the file.
        expected: Description of a line, for error messages.

    Yields:
        Each line.

    Raises:
        ValueError: If the file is damaged, or a line is not UTF-8.
    """
    number = 0
    with open(path, "rb") as raw, _decompressed(path, raw) as file:
        try:
            for line in file:
                number += 1
                content = line.removeprefix(BOM) if number == 1 else line
                content = content.removesuffix(b"\n").removesuffix(b"\r")
                yield decode_utf8(content, f"{path}, line {number}", expected)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(
                f"{path}: damaged or truncated after line {number}. Copy or download the file "
                f"again. Decompressing it failed: {error}"
            ) from error


def decode_utf8(line: bytes, place: str, expected: str) -> str:
    """Decode a line of UTF-8.

    Args:
        line: Bytes of the line.
        place: File and line number, for error messages.
        expected: Description of a line, for error messages.

    Returns:
        The text.

    Raises:
        ValueError: If the line is not UTF-8.
    """
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: byte 0x{line[error.start]:02X} at position {error.start}"
        if line.startswith(_UTF16_BOMS):
            reason = "the text is UTF-16; save it as UTF-8"
        elif line.startswith(GZIP_MAGIC):
            reason = "the text is compressed with gzip; decompress it, for example with zcat"
        raise InputError(f"{place}: {reason}. Expected: {expected}") from None


def _decompressed(path: str, raw: IO[bytes]) -> IO[bytes]:
    """Decompress a file if its content is compressed with gzip."""
    magic = raw.peek(len(GZIP_MAGIC))[: len(GZIP_MAGIC)]  # type: ignore[attr-defined]
    if magic == GZIP_MAGIC:
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
    if path.endswith(".gz") and magic:
        raise InputError(f"{path}: the name ends in .gz, but the content is not gzip")
    return raw
