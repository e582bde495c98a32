"""Labels of tokens in a picture: short, visible, in a font that has their characters."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from keras_s2s.plots.canvas import matplotlib
from keras_s2s.special_ids import SPECIAL_TOKENS

_LONGEST = 24
_VISIBLE = {" ": "␣", "\t": "⇥", "\n": "↵", "\u00a0": "␣", "\u3000": "␣", "": "∅"}

# Sans-serif fonts with many characters, by their names on common systems.
_PREFERRED = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Hiragino Sans",
    "PingFang SC",
    "Yu Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Arial Unicode MS",
    "Arial",
)


def token_labels(name: str, tokens: Any) -> list[str]:
    """Convert tokens to labels: white space becomes visible, and long tokens are truncated.

    Args:
        name: Name of the argument, for the error message.
        tokens: A sequence of `str`.

    Returns:
        A label for each token.

    Raises:
        TypeError: If `tokens` is not a sequence of `str`.
    """
    if isinstance(tokens, str | bytes) or not isinstance(tokens, Sequence):
        raise TypeError(f"`{name}` must be a list of str. Received: {name}={tokens!r}")
    for token in tokens:
        if not isinstance(token, str):
            raise TypeError(f"`{name}` must be a list of str. Received: {token!r} in it")
    return [_label(token) for token in tokens]


def width(label: str) -> int:
    """Count the columns of a label. A Chinese character has two."""
    return sum(
        (1 + (unicodedata.east_asian_width(letter) in "WF")) * (not unicodedata.combining(letter))
        for letter in label
    )


def runs_right_to_left(labels: Iterable[str]) -> bool:
    """Check whether most letters, without special tokens, are of a right-to-left script."""
    letters = (letter for label in labels if label not in SPECIAL_TOKENS for letter in label)
    directions = [unicodedata.bidirectional(letter) for letter in letters]
    right = sum(direction in ("R", "AL") for direction in directions)
    return right > sum(direction == "L" for direction in directions)


def families(labels: Iterable[str]) -> list[str]:
    """Choose fonts that together have every character: matplotlib's own, then others.

    Warns if no installed font has a character.

    Args:
        labels: Texts to be written.

    Returns:
        Names of font families, for matplotlib's `fontfamily`.
    """
    manager = matplotlib("font_manager")
    letters = {letter for label in labels for letter in label if not letter.isspace()}
    chosen = list(manager.FontProperties().get_family())
    for path in {manager.findfont(manager.FontProperties(family=[name])) for name in chosen}:
        letters -= _letters_of(path)
    for name, path in _installed() if letters else ():
        found = letters & _letters_of(path)
        if found:
            chosen.append(name)
            letters -= found
        if not letters:
            break
    if letters:
        some = " ".join(sorted(letters)[:10])
        _warn(
            f"No installed font has {len(letters)} of the characters, drawn as boxes: {some}. "
            "Noto has fonts for every script: on Debian, apt-get install fonts-noto-core "
            "fonts-noto-cjk."
        )
    return chosen


def write_title(write: Callable[..., Any], title: str | None) -> None:
    """Write a title, if there is one, in fonts that have its characters.

    Args:
        write: `Axes.set_title` or `Figure.suptitle` of the picture.
        title: The title, or `None`.
    """
    if title:
        write(title, fontfamily=families([title]), parse_math=False)


def _warn(message: str) -> None:
    """Issue a warning at the line of user code that called this package."""
    level, frame = 2, inspect.currentframe()
    frame = frame and frame.f_back
    # The command line shows warnings that come from this package, so its frames count as a caller.
    while frame and re.match(r"keras_s2s\.(?!cli\.)", frame.f_globals["__name__"]):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def _label(token: str) -> str:
    token = _VISIBLE.get(token, token)
    token = "".join(
        letter if letter.isprintable() or letter == "\u200d" else f"\\x{ord(letter):02x}"
        for letter in token
    )
    return token if len(token) <= _LONGEST else token[: _LONGEST - 1] + "…"


@functools.cache
def _installed() -> list[tuple[str, str]]:
    """List the upright fonts of normal weight, those most similar to the default font first."""
    manager = matplotlib("font_manager")
    # matplotlib caches its list of fonts, so add those that were installed since.
    known = {entry.fname for entry in manager.fontManager.ttflist}
    for path in sorted(set(manager.findSystemFonts()) - known):
        with contextlib.suppress(RuntimeError, OSError):  # a font that matplotlib cannot read
            manager.fontManager.addfont(path)
    fonts = {
        entry.name: entry.fname
        for entry in manager.fontManager.ttflist
        if entry.style == "normal"
        and entry.weight == 400
        # Color fonts cannot be drawn, and Last Resort has a box for every character.
        and not entry.name.startswith(("Noto Color", "Last Resort"))
    }
    preferred = {name: place for place, name in enumerate(_PREFERRED)}
    return sorted(
        fonts.items(),
        key=lambda font: (
            preferred.get(font[0], len(preferred)),
            not font[0].startswith("Noto Sans"),
            "Sans" not in font[0],
            font[0],
        ),
    )


@functools.cache
def _letters_of(path: str) -> frozenset[str]:
    """Return the characters that a font file has."""
    try:
        return frozenset(map(chr, matplotlib("ft2font").FT2Font(path).get_charmap()))
    except (RuntimeError, OSError):  # a font that matplotlib cannot read
        return frozenset()
