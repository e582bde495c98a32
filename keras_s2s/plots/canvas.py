"""Making figures and writing them; the only place that knows whether matplotlib is there."""

from __future__ import annotations

import importlib
import os
import warnings
from typing import TYPE_CHECKING, Any

from keras_s2s.errors import InputError, MissingPackageError
from keras_s2s.files import written_beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Path = str | os.PathLike[str]

# Told apart by people who see few colours too (Okabe and Ito).
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#007A5A", "#8C8C8C"
COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#E69F00")

_DPI = 110
# Nothing of the day and the machine: the same data give the same file.
_METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
}


def new_figure(width: float, height: float, *, path: Path | None, layout: str | None) -> Figure:
    """Make an empty figure, once it is known that it can be written.

    Args:
        width: in inches.
        height: in inches.
        path: where it is going to be written; None: nowhere.
        layout: matplotlib's layout engine; None: the places are given.

    Returns:
        The figure. It does not belong to pyplot, so that nobody needs to close it.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if the name of the file ends neither in ".png" nor in ".svg".
    """
    if path is not None:
        _suffix(path)
    figure: Figure = matplotlib("figure").Figure(figsize=(width, height), layout=layout)
    return figure


def matplotlib(module: str = "") -> Any:
    """Import matplotlib, or a module of it.

    Args:
        module: its name below `matplotlib`; empty: matplotlib itself.

    Returns:
        The module.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    try:
        return importlib.import_module(f"matplotlib.{module}".rstrip("."))
    except ImportError as error:
        raise MissingPackageError(
            "Pictures need matplotlib, which is not installed: pip install 'keras-s2s[plots]'"
        ) from error


def finish(figure: Figure, path: Path | None) -> Figure:
    """Write a figure where a path is given.

    The file is written beside and then renamed, so that nobody finds half of it.

    Args:
        figure: the figure.
        path: where to; None: nowhere.

    Returns:
        The figure.

    Raises:
        FileNotFoundError: if the folder of `path` does not exist.
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
        # `labels.families` has said it already, in words that help.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(
            unfinished,
            format=suffix[1:],
            dpi=_DPI,
            bbox_inches="tight",
            metadata=_METADATA[suffix],
        )
    return figure


def whole_numbers(axis: Any, most: int = 10) -> None:
    """Write whole numbers along an axis, as counts are.

    Args:
        axis: the axis of a plot.
        most: at most so many steps between them: a low panel has room for few.
    """
    locator = matplotlib("ticker").MaxNLocator(nbins=most, integer=True, min_n_ticks=1)
    axis.set_major_locator(locator)


def _suffix(path: Path) -> str:
    """Give the suffix that says what to write."""
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix not in _METADATA:
        raise InputError(
            f"The name of a picture must end in '.png' or '.svg'. Received: path={path!r}"
        )
    return suffix
