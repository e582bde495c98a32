"""Definitions of an empty text, white space and a line, for the whole package.

White space is defined by `str.isspace`, and includes U+00A0 and U+3000. The tokenizers use the same
definition in the graph. A text is empty if it contains only white space. Only LF and CR LF end a
line: U+0085, U+2028, VT and FF are white space within a line.
"""

from __future__ import annotations

from collections.abc import Sequence

FEATURE_SEPARATOR = ";"  # between the morphological features of a word, as in "V;PST"


def is_empty(text: str | bytes) -> bool:
    r"""Return whether a text contains nothing but white space.

    Args:
        text: str, or bytes in UTF-8. Bytes that are not UTF-8 are not white space.

    Returns:
        True if the text is empty.

    Example:
        >>> is_empty("\u3000\n"), is_empty(" a "), is_empty("\u00a0".encode())
        (True, False, True)
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="replace")
    return not text.strip()


def split_lines(text: str) -> list[str]:
    r"""Split a text into lines at LF and CR LF.

    Args:
        text: The text.

    Returns:
        The lines, without LF and CR LF. The last line may end without either.

    Example:
        >>> split_lines("a\r\nb\u2028c\n")
        ['a', 'b\u2028c']
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def split_features(text: str) -> tuple[str, list[str]]:
    """Split a text into a lemma and the features in its last word.

    Args:
        text: The text. A text of one word has no features.

    Returns:
        The lemma, which may have several words, and the features, which may be empty strings.

    Example:
        >>> split_features("go by V;PST")
        ('go by', ['V', 'PST'])
    """
    lemma, *last = text.strip().rsplit(maxsplit=1) or [""]
    return lemma, last[0].split(FEATURE_SEPARATOR) if last else []


def batches_by_length(texts: Sequence[bytes], batch_size: int) -> list[list[int]]:
    """Group texts of similar length, so that a batch needs little padding.

    Args:
        texts: Texts in UTF-8.
        batch_size: Maximum number of texts in a batch.

    Returns:
        The positions of the texts of each batch, from short to long. Empty texts are left out.

    Example:
        >>> batches_by_length([b"abc", b"a", b" ", b"ab"], 2)
        [[1, 3], [0]]
    """
    full = [number for number, text in enumerate(texts) if not is_empty(text)]
    full.sort(key=lambda number: len(texts[number]))
    return [full[start : start + batch_size] for start in range(0, len(full), batch_size)]
