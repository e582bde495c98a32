"""Reliability diagram: the share of correct outputs at each confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras_s2s.calibration import calibration_error, reliability_bins
from keras_s2s.plots.canvas import BLUE, GREY, Path, finish, new_figure
from keras_s2s.plots.labels import write_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reliability(
    confidences: Any,
    right: Any,
    *,
    bins: int = 10,
    title: str | None = None,
    path: Path | None = None,
) -> Figure:
    """Draw the share of correct outputs by confidence.

    Calibrated confidences are on the diagonal. The area of a point increases with its number
    of outputs.

    Args:
        confidences: Confidence of each output, 0 to 1, such as those of `Translator.calibrate`.
        right: Whether each output is correct.
        bins: Number of bins of equal width. Defaults to 10.
        title: Title of the picture.
        path: Path of the picture to write, ending in ".png" or ".svg".

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If a confidence is out of range, the shapes differ, or the file name has
            another suffix.

    Example:
        >>> figure = s2s.plots.reliability([0.1, 0.4, 0.9, 0.8], [False, True, True, True])
    """
    points = reliability_bins(confidences, right, bins=bins)
    total = sum(count for count, _, _ in points)
    figure = new_figure(4.2, 4.2, path=path, layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    axes.plot([it[1] for it in points], [it[2] for it in points], color=BLUE, linewidth=1)
    sizes = [20 + 400 * count / max(1, total) for count, _, _ in points]
    axes.scatter([it[1] for it in points], [it[2] for it in points], sizes, color=BLUE, alpha=0.6)
    error = calibration_error(confidences, right, bins=bins)
    axes.set_xlabel(f"confidence ({total:,} outputs, calibration error {100 * error:.1f} %)")
    axes.set_ylabel("share of correct outputs")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    write_title(axes.set_title, title)
    return finish(figure, path)
