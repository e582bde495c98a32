"""Parts that all plots share: figures and files, tokens of texts, labels, and fonts.

Only this module imports matplotlib.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import os
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from keras_s2s.checks import short_repr
from keras_s2s.errors import InputError, missing_package
from keras_s2s.files import written_beside
from keras_s2s.source_limits import count_excess, limit_length
from keras_s2s.special_ids import SPECIAL_TOKENS
from keras_s2s.tokenizers import Tokenizer
from keras_s2s.translator import Translator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Path = str | os.PathLike[str]

# Colors that color-blind people can distinguish (Okabe and Ito).
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#007A5A", "#8C8C8C"
COLORS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#E69F00")

_DPI = 110
# Omit date and software, so that the same data gives the same file.
_METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
}

_MAX_LABEL_LENGTH = 24
_VISIBLE = {" ": "␣", "\t": "⇥", "\n": "↵", "\u00a0": "␣", "\u3000": "␣", "": "∅"}

# Sans-serif fonts with many characters, on common operating systems.
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


def new_figure(width: float, height: float, *, path: Path | None, layout: str | None) -> Figure:
    """Check a file name, import matplotlib, and create an empty figure.

    Args:
        width: Width in inches.
        height: Height in inches.
        path: Path to which the figure will be written, or `None`.
        layout: Layout engine of matplotlib. `None` for explicit positions.

    Returns:
        The figure. The caller need not close it, because it is not registered with pyplot.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the file name ends neither in ".png" nor in ".svg".
    """
    if path is not None:
        _suffix(path)
    figure: Figure = matplotlib("figure").Figure(figsize=(width, height), layout=layout)
    return figure


def matplotlib(module: str = "") -> Any:
    """Import matplotlib or one of its modules.

    Args:
        module: Name of the module within `matplotlib`. Defaults to `matplotlib` itself.

    Returns:
        The module.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        return importlib.import_module(f"matplotlib.{module}".rstrip("."))
    except ImportError as error:
        raise missing_package("matplotlib", error) from error


def finish(figure: Figure, path: Path | None) -> Figure:
    """Write a figure if a path is given.

    The figure is written to a temporary file and then renamed, so that no partial file appears.

    Args:
        figure: Figure to write.
        path: Path of the file, or `None` to write nothing.

    Returns:
        The figure.

    Raises:
        FileNotFoundError: If the folder of `path` does not exist.
    """
    if path is None:
        return figure
    suffix = _suffix(path)
    salt = matplotlib().rc_context({"svg.hashsalt": "keras_s2s"})
    with (
        written_beside(os.fspath(path), suffix=suffix) as unfinished,
        salt,
        warnings.catch_warnings(),
    ):
        # `families` has already issued a more helpful warning.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(
            unfinished,
            format=suffix[1:],
            dpi=_DPI,
            bbox_inches="tight",
            metadata=_METADATA[suffix],
        )
    return figure


def use_integer_ticks(axis: Any, most: int = 10) -> None:
    """Use only integer ticks along an axis of counts.

    Args:
        axis: Axis of a plot.
        most: Maximum number of intervals between ticks. Small panels need fewer. Defaults to 10.
    """
    locator = matplotlib("ticker").MaxNLocator(nbins=most, integer=True, min_n_ticks=1)
    axis.set_major_locator(locator)


def check_translator(translator: Any) -> None:
    """Check that an argument is a `Translator`.

    Args:
        translator: Value of the argument.

    Raises:
        TypeError: If it is not a `Translator`.
    """
    if not isinstance(translator, Translator):
        raise TypeError(
            "`translator` must be a `Translator`. "
            f"Received: translator={short_repr(translator)} (of type {type(translator).__name__})"
        )


def source_tokens_and_ids(translator: Translator, text: Any) -> tuple[list[str], tf.Tensor]:
    """Tokenize one text.

    Args:
        translator: `Translator` whose source tokenizer to use.
        text: Source text. If the translator truncates sources, a text longer than its
            `max_source_length` is truncated, with a warning.

    Returns:
        The tokens, including eos, and their ids, int32 `(1, source_length)`.

    Raises:
        TypeError: If `text` is not a `str`.
        ValueError: If `text` is empty, or longer than the translator's `max_source_length`.
    """
    if not isinstance(text, str):
        raise TypeError(
            f"`text` must be a str. Received: text={short_repr(text)} "
            f"(of type {type(text).__name__})"
        )
    if not text.strip():
        raise InputError(f"`text` must not be empty. Received: text={short_repr(text)}")
    ids, limit = translator.source.tokenize([text]), translator.max_source_length
    excess = count_excess([text.encode()], translator.source, limit)
    if excess and not translator.truncate_source:
        raise InputError(
            f"`text` must have at most `max_source_length`={limit} tokens, including eos. "
            f"Received: {excess[0]} tokens"
        )
    if excess:
        _warn(f"`text` was truncated to `max_source_length`, {limit} of {excess[0]} tokens.")
        ids, _ = limit_length(ids, limit, truncate=True)
    return tokens_of(translator.source, ids[0].numpy()), ids


def tokens_of(tokenizer: Tokenizer, ids: Any) -> list[str]:
    """Return the tokens of ids `(length,)`, including special tokens."""
    vocabulary = tokenizer.vocabulary
    return [_decode_byte(vocabulary[id_]) for id_ in ids]


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
        raise TypeError(f"`{name}` must be a list of str. Received: {name}={short_repr(tokens)}")
    for token in tokens:
        if not isinstance(token, str):
            raise TypeError(f"`{name}` must be a list of str. Received: {short_repr(token)} in it")
    return [_label(token) for token in tokens]


def width(label: str) -> int:
    """Return the width of a label in columns. A Chinese character takes two."""
    return sum(
        (1 + (unicodedata.east_asian_width(letter) in "WF")) * (not unicodedata.combining(letter))
        for letter in label
    )


def runs_right_to_left(labels: Iterable[str]) -> bool:
    """Return whether most letters, without special tokens, belong to a right-to-left script."""
    letters = (letter for label in labels if label not in SPECIAL_TOKENS for letter in label)
    directions = [unicodedata.bidirectional(letter) for letter in letters]
    right = sum(direction in ("R", "AL") for direction in directions)
    return right > sum(direction == "L" for direction in directions)


def families(labels: Iterable[str]) -> list[str]:
    """Choose fonts that together contain every character: matplotlib's own, then others.

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
        write: `Axes.set_title` or `Figure.suptitle` of the figure.
        title: The title, or `None`.
    """
    if title:
        write(title, fontfamily=families([title]), parse_math=False)


def _suffix(path: Path) -> str:
    """Return the suffix of a path, which determines the format."""
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix not in _METADATA:
        raise InputError(f"`path` must end in '.png' or '.svg'. Received: path={path!r}")
    return suffix


def _decode_byte(token: str) -> str:
    """Return the character of an ASCII byte token. Return others, such as `<0xE4>`, unchanged."""
    byte = re.fullmatch("<0x([0-7][0-9A-F])>", token)
    return chr(int(byte[1], 16)) if byte else token


def _warn(message: str) -> None:
    """Issue a warning whose location is the user code that called this package."""
    level, frame = 2, inspect.currentframe()
    frame = frame and frame.f_back
    # The frames of the command line count as user code, because it shows only such warnings.
    while frame and re.match(r"keras_s2s\.(?!cli\.)", frame.f_globals["__name__"]):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def _label(token: str) -> str:
    token = _VISIBLE.get(token, token)
    token = "".join(
        letter if letter.isprintable() or letter == "\u200d" else f"\\x{ord(letter):02x}"
        for letter in token
    )
    return token if len(token) <= _MAX_LABEL_LENGTH else token[: _MAX_LABEL_LENGTH - 1] + "…"


@functools.cache
def _installed() -> list[tuple[str, str]]:
    """List upright fonts of normal weight, those most similar to the default font first."""
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
        # matplotlib cannot draw color fonts, and Last Resort has a box for every character.
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
    """Return the characters that a font file contains."""
    try:
        return frozenset(map(chr, matplotlib("ft2font").FT2Font(path).get_charmap()))
    except (RuntimeError, OSError):  # a font that matplotlib cannot read
        return frozenset()
