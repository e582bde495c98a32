"""Creating and writing figures. Only this module imports matplotlib."""

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

# Colors that color-blind people can distinguish (Okabe and Ito).
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#007A5A", "#8C8C8C"
COLORS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#E69F00")

_DPI = 110
# Omit date and software, so that the same data gives the same file.
_METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
}


def new_figure(width: float, height: float, *, path: Path | None, layout: str | None) -> Figure:
    """Create an empty figure, after checking the file name and importing matplotlib.

    Args:
        width: Width in inches.
        height: Height in inches.
        path: Path to which the figure will be written, or `None`.
        layout: Layout engine of matplotlib. `None` for explicit positions.

    Returns:
        The figure. It is not registered with pyplot, so it need not be closed.

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
        raise MissingPackageError(
            "Pictures need matplotlib, which is not installed: pip install 'keras-s2s[plots]'"
        ) from error


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
        # `labels.families` has already warned, with a more helpful message.
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
    """Use only integer ticks along an axis of counts.

    Args:
        axis: Axis of a plot.
        most: Maximum number of intervals between ticks. Small panels need fewer. Defaults to 10.
    """
    locator = matplotlib("ticker").MaxNLocator(nbins=most, integer=True, min_n_ticks=1)
    axis.set_major_locator(locator)


def _suffix(path: Path) -> str:
    """Return the suffix of a path, which determines the format."""
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix not in _METADATA:
        raise InputError(
            f"The name of a picture must end in '.png' or '.svg'. Received: path={path!r}"
        )
    return suffix
