"""Heat map of the attention of a decoder."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_s2s.errors import InputError
from keras_s2s.plots.canvas import (
    Path,
    check_translator,
    families,
    finish,
    new_figure,
    runs_right_to_left,
    source_tokens_and_ids,
    token_labels,
    tokens_of,
    width,
)
from keras_s2s.search import Search

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from keras_s2s.translator import Translator

# In inches: size of a cell in a small map and in a large one, and sizes of a side of the map.
_LARGE_CELL, _SMALL_CELL, _MIN_SIDE, _USUAL_SIDE, _MAX_SIDE = 0.32, 0.18, 2.2, 6.0, 26.0
_LETTER = 0.085  # inches, width of a letter
_MIN_FONT = 5.0  # points


def attention(
    translator: Translator, text: str, *, search: Search | None = None, path: Path | None = None
) -> Figure:
    """Translate a text, and draw the attention for each token of the best target.

    Args:
        translator: A `Translator` whose decoder has attention.
        text: Source text.
        search: Search to use. Defaults to the translator's search.
        path: Path of an image file to write, ".png" or ".svg". Defaults to `None`: nothing
            is written.

    Returns:
        The matplotlib figure; see `attention_map`.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If `translator`, `text` or `search` has a wrong type.
        ValueError: If the decoder has no attention, the text is empty or longer than the
            translator's `max_source_length`, or the file name has another suffix.
        FileNotFoundError: If the folder of `path` does not exist.
    """
    check_translator(translator)
    source_tokens, source_ids = source_tokens_and_ids(translator, text)
    found = translator.model.search(
        source_ids, translator.search if search is None else search, return_attention=True
    )
    length = int(found.lengths[0, 0])
    ids = found.ids[0, 0, :length].numpy()
    return attention_map(
        source_tokens,
        tokens_of(translator.target, ids),
        np.asarray(found.attention)[0, 0, :length],
        path=path,
    )


def attention_map(
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    weights: Any,
    *,
    title: str | None = None,
    path: Path | None = None,
) -> Figure:
    """Draw attention weights, with a row per target token and a column per source token.

    The source runs in the direction of its script. If there are too many tokens to read, only every
    second, third … token is labeled.

    Args:
        source_tokens: Labels of the columns.
        target_tokens: Labels of the rows.
        weights: `(target_length, source_length)`, not negative.
        title: Title of the figure.
        path: Path of an image file to write, ".png" or ".svg". Defaults to `None`: nothing
            is written.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If the tokens are not lists of str.
        ValueError: If the weights have the wrong shape, are not numbers or are negative, or the
            file name has another suffix.
        FileNotFoundError: If the folder of `path` does not exist.

    Example:
        >>> figure = s2s.plots.attention_map(["h", "i"], ["HH", "AY"], [[0.9, 0.1], [0.2, 0.8]])
        >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
        ['h', 'i']

    References:
        - [Bahdanau et al., 2015](https://arxiv.org/abs/1409.0473), figure 3.
    """
    columns = token_labels("source_tokens", source_tokens)
    rows = token_labels("target_tokens", target_tokens)
    weights = _check_weights(weights, (len(rows), len(columns)))
    across, down = _width_for_labels(columns), _side(len(rows))
    left = 0.6 + max(map(width, rows)) * _LETTER
    top = 0.5 + max(map(width, columns)) * _LETTER + (0.4 if title else 0.0)
    size = left + across + 1.0, 0.15 + down + top
    figure = new_figure(*size, path=path, layout=None)
    # Convert inches to fractions of the figure, so that cells have a fixed size.
    axes = figure.add_axes((left / size[0], 0.15 / size[1], across / size[0], down / size[1]))
    bar = figure.add_axes(
        ((left + across + 0.12) / size[0], 0.15 / size[1], 0.16 / size[0], down / size[1])
    )
    image = axes.imshow(weights, cmap="Blues", vmin=0.0, aspect="auto", interpolation="nearest")
    figure.colorbar(image, cax=bar, label="attention weight")
    names = families([*columns, *rows, title or ""])
    _write_tokens(axes.xaxis, columns, across, names)
    _write_tokens(axes.yaxis, rows, down, names)
    axes.xaxis.tick_top()
    _rotate_wide_labels(axes.get_xticklabels(), across / len(columns))
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("source")
    axes.set_ylabel("target")
    if runs_right_to_left(columns):
        axes.invert_xaxis()
    if title:
        axes.set_title(title, fontfamily=names, parse_math=False)
    return finish(figure, path)


def _check_weights(weights: Any, shape: tuple[int, int]) -> np.ndarray:
    """Check that there is a weight for each pair of tokens, and return the weights as an array."""
    try:
        values = np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if 0 in shape or values.shape != shape:
        raise InputError(
            "`weights` must have a row for each target token and a column for each source token, "
            f"at least one of each: {shape}. Received: shape {values.shape}"
        )
    if not np.isfinite(values).all() or values.min() < 0.0:
        raise InputError(
            "`weights` must be finite and not negative. "
            f"Received: weights from {values.min()} to {values.max()}"
        )
    return values


def _side(tokens: int) -> float:
    """Return the size in inches of a side of the map."""
    wide, narrow = tokens * _LARGE_CELL, tokens * _SMALL_CELL
    return min(max(_MIN_SIDE, min(wide, _USUAL_SIDE), narrow), _MAX_SIDE)


def _width_for_labels(labels: list[str]) -> float:
    """Return the width of the map in inches. A few source tokens fit without rotation."""
    widest = sorted(map(width, labels))[-2:][0]  # the second widest, because the widest may be eos
    level = len(labels) * (widest * _LETTER + 0.08)
    return max(_side(len(labels)), level if level <= _USUAL_SIDE else 0.0)


def _write_tokens(axis: Any, labels: list[str], inches: float, names: list[str]) -> None:
    """Label an axis with the tokens: all of them, or as many as are readable."""
    points = 72 * 0.8 * inches / len(labels)  # per token
    every = math.ceil(_MIN_FONT / points)
    shown = range(0, len(labels), every)
    axis.set_ticks(
        list(shown),
        [labels[place] for place in shown],
        fontfamily=names,
        fontsize=min(points * every, 10.0),
        parse_math=False,
    )
    axis.set_tick_params(length=0 if every == 1 else 3)


def _rotate_wide_labels(labels: list[Text], cell: float) -> None:
    """Rotate all tokens if two of them would overlap, or the last one if it is too wide."""
    widths = [width(label.get_text()) * _LETTER for label in labels]
    several = sorted(widths)[-2:][0] > cell
    # Letters are narrower than `_LETTER` on average.
    overlap = any(sum(pair) / 2 > 1.1 * cell for pair in itertools.pairwise(widths))
    for label in labels:
        if several or overlap or (max(widths) > 1.7 * cell and label is labels[-1]):
            label.set_rotation(90)
