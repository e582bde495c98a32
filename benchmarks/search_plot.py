"""Plot the cost of a search against each of its sizes."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

LABELS = {
    "beam_width": "beam width",
    "batch": "batch",
    "steps": "target length",
    "vocabulary_size": "vocabulary",
}


def plot(kept: dict[str, Any]) -> Path:
    """Plot the curves for one thread, or for two if there are no others.

    Args:
        kept: Dictionary of saved benchmark results.

    Returns:
        The path of the plot.
    """
    curves = next(figures for name, figures in kept.items() if name.startswith("curves"))
    figure, axes = plt.subplots(1, len(LABELS), figsize=(11, 2.9), layout="constrained")
    for axis, (size, label) in zip(axes, LABELS.items(), strict=True):
        points = [
            (int(name.split()[1]), systems)
            for name, systems in curves.items()
            if name.split()[0] == size
        ]
        values = [value for value, _ in points]
        for system, style in (("yardstick", "s--"), ("keras_s2s", "o-")):
            cost = [1000 * statistics.median(systems[system]) for _, systems in points]
            axis.plot(values, cost, style, label=system, markersize=4)
        # reference line proportional to the size, down from the last point
        last = 1000 * statistics.median(points[-1][1]["keras_s2s"])
        axis.plot(values, [last * value / values[-1] for value in values], ":", label="linear")
        axis.set(xlabel=label, xscale="log", yscale="log")
        axis.set_xticks(values, [str(value) for value in values], fontsize=8)
        axis.minorticks_off()
    axes[0].set_ylabel("ms a batch")
    axes[0].legend(fontsize=8)
    picture = Path(__file__).parent / "results" / "search_curves.png"
    figure.savefig(picture, dpi=80)
    plt.close(figure)
    return picture
