"""Learning curves: loss and metrics by epoch."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_s2s.checks import count_of, short_repr
from keras_s2s.errors import InputError
from keras_s2s.evaluation import HIGHER_IS_BETTER, METRICS
from keras_s2s.plots.canvas import (
    BLUE,
    ORANGE,
    Path,
    finish,
    new_figure,
    use_integer_ticks,
    write_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_VALIDATION = "val_"
_HIGHER_IS_BETTER = ("accuracy", *HIGHER_IS_BETTER)
_LOWER_IS_BETTER = ("loss", "perplexity", *(it for it in METRICS if it not in HIGHER_IS_BETTER))
_PANELS_PER_ROW = 3
_EXPECTED_CSV = "Expected: a file of `keras.callbacks.CSVLogger`, or learning_curve.csv of a run"
_TITLE_LETTERS = 32  # that fit above a panel at the usual font size


def learning_curves(
    history: keras.callbacks.History | Mapping[str, Sequence[float]] | Path,
    *,
    title: str | None = None,
    path: Path | None = None,
) -> Figure:
    """Draw the loss and the metrics by epoch, in a panel for each, for training and validation.

    A circle marks the best validation epoch, if the name of the metric tells whether higher
    or lower values are better.

    Args:
        history: Return value of `model.fit`, its `history` (a dict), or the path of a file that
            `keras.callbacks.CSVLogger` wrote. NaN means no value. A series with half, a third …
            of the length has a value every second, third … epoch, as with `validation_freq`.
        title: Title of the figure.
        path: Path of an image file to write, ".png" or ".svg". Defaults to `None`: nothing
            is written.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If `history` has a wrong type.
        FileNotFoundError: If the CSV file, or the folder of `path`, does not exist.
        ValueError: If the history has no epoch, a value is not a number, the length of a series
            does not fit the epochs, or the file name has another suffix.

    Example:
        >>> figure = s2s.plots.learning_curves({"loss": [2.0, 1.0], "val_loss": [2.1, 1.4]})
        >>> [axes.get_title() for axes in figure.axes]
        ['loss']
    """
    series = _series(history)
    panels = list(dict.fromkeys(name.removeprefix(_VALIDATION) for name in series))
    across = min(len(panels), _PANELS_PER_ROW)
    down = math.ceil(len(panels) / across)
    figure = new_figure(3.6 * across + 0.4, 2.9 * down + 0.3, path=path, layout="constrained")
    for number, name in enumerate(panels, 1):
        axes = figure.add_subplot(down, across, number)
        _draw_panel(axes, name, series)
    write_title(figure.suptitle, title)
    return finish(figure, path)


def _series(history: Any) -> dict[str, tuple[list[int], list[float]]]:
    """Return the epochs and the values of each series."""
    if isinstance(history, str | os.PathLike):
        columns = _read_csv(os.fspath(history))
    elif isinstance(history, keras.callbacks.History):
        columns = history.history
    else:
        columns = history
    if not isinstance(columns, Mapping):
        raise TypeError(
            "`history` must be the result of `fit`, a dict of lists, or the path of a CSV file. "
            f"Received: history={short_repr(history)} (of type {type(history).__name__})"
        )
    columns = {name: _numbers(name, values) for name, values in columns.items() if name != "epoch"}
    epochs = max(map(len, columns.values()), default=0)
    if epochs == 0:
        raise InputError(f"`history` must contain at least one epoch. Received: {sorted(columns)}")
    series = {}
    for name, values in columns.items():
        if not values or epochs % len(values):
            raise InputError(
                "`history` must have a value for each epoch, or for every second, third, … epoch. "
                f"Received: {count_of(len(values), 'value')} of {name!r}, "
                f"{count_of(epochs, 'epoch')}"
            )
        every = epochs // len(values)
        series[name] = list(range(every, epochs + 1, every)), values
    return series


def _numbers(name: Any, values: Any) -> list[float]:
    """Check that a series consists of numbers, and return them."""
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"`history` must contain lists of numbers. Received: {name!r}: {short_repr(values)}"
        ) from error


def _read_csv(path: str) -> dict[str, list[float]]:
    """Read a file of CSVLogger, which writes NA for missing values."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no file {path!r} to read a history from.")
    try:
        with open(path, encoding="utf-8", newline="") as file:
            # CSVLogger writes commas by default. Its argument `separator` changes this.
            first = file.readline()
            file.seek(0)
            separator = next((sign for sign in ",;\t" if sign in first), ",")
            lines = list(csv.reader(file, delimiter=separator))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a learning curve: {error}. {_EXPECTED_CSV}") from None
    header, *rows = lines or [[]]
    if header and "epoch" not in header:
        raise InputError(f"{path}: not a learning curve: no column `epoch`. {_EXPECTED_CSV}")
    columns: dict[str, list[float]] = {name: [] for name in header}
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise InputError(
                f"{path}, line {number}: expected {count_of(len(header), 'column')}. "
                f"Received: {len(row)}"
            )
        for name, value in zip(header, row, strict=True):
            columns[name].append(_number(value, f"{path}, line {number}: {name!r}"))
    return columns


def _number(value: str, place: str) -> float:
    """Parse a number or a missing value."""
    try:
        return math.nan if value in ("", "NA") else float(value)
    except ValueError:
        raise InputError(f"{place} must be a number. Received: {short_repr(value)}") from None


def _draw_panel(axes: Axes, name: str, series: Mapping[str, tuple[list[int], list[float]]]) -> None:
    """Draw one metric, in training and validation."""
    for key, label, color in (
        (name, "training", BLUE),
        (_VALIDATION + name, "validation", ORANGE),
    ):
        if key not in series:
            continue
        epochs, values = series[key]
        points = [
            (epoch, value)
            for epoch, value in zip(epochs, values, strict=True)
            if math.isfinite(value)
        ]
        marker = "." if len(points) < 30 else ""
        axes.plot(*_columns(points), color=color, marker=marker, label=label)
        best = _best(name, points) if label == "validation" else None
        if best:
            axes.plot(
                *_columns([best]),
                "o",
                color=color,
                markersize=8,
                markerfacecolor="none",
                label=f"best: {best[1]:.4g}, epoch {best[0]}",
            )
    axes.set_title(
        name, fontsize=min(12.0, 12.0 * _TITLE_LETTERS / max(1, len(name))), parse_math=False
    )
    axes.set_xlabel("epoch")
    use_integer_ticks(axes.xaxis)
    axes.grid(alpha=0.3)
    axes.margins(y=0.08)
    axes.legend(fontsize=8)


def _columns(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [epoch for epoch, _ in points], [value for _, value in points]


def _best(name: str, points: list[tuple[int, float]]) -> tuple[int, float] | None:
    """Return the best epoch, or `None` if the name does not tell which values are better."""
    if not points:
        return None
    if name.endswith(_HIGHER_IS_BETTER):
        return max(points, key=lambda point: point[1])
    if name.endswith(_LOWER_IS_BETTER):
        return min(points, key=lambda point: point[1])
    return None
