"""Charts of text lengths, of error rates by length, and of confidences."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_s2s.calibration import calibration_error, reliability_bins
from keras_s2s.checks import check_choice, check_positive_int, count_of, short_repr
from keras_s2s.errors import InputError
from keras_s2s.evaluation import SPLITS, ErrorRates, error_rates
from keras_s2s.plots.canvas import (
    BLUE,
    COLORS,
    GREY,
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

_MAX_BARS = 60


def length_histogram(
    lengths: Mapping[str, Sequence[int]], *, title: str | None = None, path: Path | None = None
) -> Figure:
    """Draw a histogram of lengths, for one list of lengths or several.

    Args:
        lengths: Dict of lists of lengths by name, such as "source" and "target".
        title: Title of the figure.
        path: Path of an image file to write, ".png" or ".svg". Defaults to `None`: nothing
            is written.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If `lengths` is not a dict.
        ValueError: If there are no lengths, a length is not an integer of at least 0, or the file
            name has another suffix.
        FileNotFoundError: If the folder of `path` does not exist.

    Example:
        >>> pairs = [("cat", "K AE T"), ("a", "AH")]
        >>> figure = s2s.plots.length_histogram(
        ...     {
        ...         "letters": [len(source) for source, _ in pairs],
        ...         "phones": [len(target.split()) for _, target in pairs],
        ...     }
        ... )
    """
    if not isinstance(lengths, Mapping):
        raise TypeError(
            "`lengths` must be a dict of lists, such as {'source': [3, 5]}. "
            f"Received: lengths={short_repr(lengths)}"
        )
    arrays = {name: _check_lengths(name, values) for name, values in lengths.items()}
    if not arrays:
        raise InputError("`lengths` must contain at least one list. Received: none")
    shortest = min(int(array.min()) for array in arrays.values())
    longest = max(int(array.max()) for array in arrays.values())
    wide = math.ceil((longest + 1 - shortest) / _MAX_BARS)  # number of lengths per bar
    edges = [edge - 0.5 for edge in range(shortest, longest + 1 + wide, wide)]
    figure = new_figure(6.4, 3.6, path=path, layout="constrained")
    axes = figure.add_subplot()
    for number, (name, array) in enumerate(arrays.items()):
        label = f"{name}: mean {array.mean():.1f}, longest {array.max()}"
        color = COLORS[number % len(COLORS)]
        axes.hist(array, edges, label=label, color=color, alpha=0.35)
        axes.hist(array, edges, histtype="step", color=color)
    axes.set_xlabel("length in tokens" if wide == 1 else f"length in tokens, {wide} per bar")
    axes.set_ylabel("texts")
    use_integer_ticks(axes.xaxis)
    use_integer_ticks(axes.yaxis)
    axes.legend(fontsize=8)
    write_title(axes.set_title, title)
    return finish(figure, path)


def errors_by_length(
    sources: Sequence[str],
    outputs: Sequence[str],
    references: Sequence[Collection[str]],
    *,
    source_tokens: str = "characters",
    target_tokens: str = "words",
    num_bins: int = 8,
    title: str | None = None,
    path: Path | None = None,
) -> Figure:
    """Draw error rates by source length, and the number of sources of each length.

    The error bars of the sequence error rate are 95% Wilson intervals.

    Args:
        sources: Source texts.
        outputs: Best target of each source.
        references: Correct targets of each source.
        source_tokens: Unit of source length: "characters" (without spaces) or "words". Defaults to
            "characters".
        target_tokens: Unit of the token error rate: "characters" or "words". Defaults to "words".
        num_bins: Maximum number of ranges of lengths, each with about the same number of sources.
            Defaults to 8.
        title: Title of the figure.
        path: Path of an image file to write, ".png" or ".svg". Defaults to `None`: nothing
            is written.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib or rapidfuzz is not installed.
        TypeError: If the references of an output are a single text.
        ValueError: If the lists differ in length or are empty, an output has no reference, an
            option is out of range, or the file name has another suffix.
        FileNotFoundError: If the folder of `path` does not exist.

    References:
        - Wilson, 1927, "Probable inference, the law of succession, and statistical inference".
    """
    check_choice("source_tokens", source_tokens, SPLITS)
    check_positive_int("num_bins", num_bins)
    if len(sources) != len(outputs):
        raise InputError(
            "`outputs` must have one output for each source. Received: "
            f"{count_of(len(sources), 'source')}, {count_of(len(outputs), 'output')}"
        )
    error_rates(outputs, references, tokens=target_tokens)  # checks the arguments
    lengths = np.array([len(SPLITS[source_tokens](source)) for source in sources])
    bins = _bins(lengths, num_bins)
    rates = [
        _error_rates_at(
            np.flatnonzero((lengths >= low) & (lengths <= high)), outputs, references, target_tokens
        )
        for low, high in bins
    ]
    figure = new_figure(max(4.5, 0.7 * len(bins) + 1.5), 4.6, path=path, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _draw_rates(upper, rates)
    lower.bar(range(len(bins)), [rate.sequences for rate in rates], color=GREY)
    lower.set_ylabel("sources")
    use_integer_ticks(lower.yaxis, most=3)
    labels = [f"{low}" if low == high else f"{low}–{high}" for low, high in bins]
    lower.set_xticks(range(len(bins)), labels)
    lower.set_xlabel(f"length of the source in {source_tokens}")
    write_title(figure.suptitle, title)
    return finish(figure, path)


def reliability(
    confidences: Any,
    right: Any,
    *,
    bins: int = 10,
    title: str | None = None,
    path: Path | None = None,
) -> Figure:
    """Draw the share of correct outputs by confidence.

    The points of calibrated confidences are on the diagonal. The area of a point increases with the
    number of outputs.

    Args:
        confidences: Confidence of each output, 0 to 1, such as from `Translator.calibrate`.
        right: Whether each output is correct.
        bins: Number of bins of equal width. Defaults to 10.
        title: Title of the figure.
        path: Path of an image file to write, ".png" or ".svg". Defaults to `None`: nothing
            is written.

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
    places = [it[1] for it in points], [it[2] for it in points]
    axes.plot(*places, color=BLUE, linewidth=1)
    sizes = [20 + 400 * count / max(1, total) for count, _, _ in points]
    # Do not clip points at 0 and 1.
    axes.scatter(*places, sizes, color=BLUE, alpha=0.6, clip_on=False, zorder=3)
    error = calibration_error(confidences, right, bins=bins)
    outputs = count_of(total, "output")
    axes.set_xlabel(f"confidence ({outputs}, calibration error {100 * error:.1f}%)")
    axes.set_ylabel("share of correct outputs")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    write_title(axes.set_title, title)
    return finish(figure, path)


def _check_lengths(name: str, values: Any) -> np.ndarray:
    """Check that lengths are a list of non-negative integers, and return them as an array."""
    try:
        array = np.asarray(values)
    except ValueError:  # lists of different lengths
        array = np.empty(0)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iu" or array.min() < 0:
        raise InputError(
            "`lengths` must contain non-empty lists of integers of at least 0. "
            f"Received: {name!r}: {short_repr(values)}"
        )
    return array


def _bins(lengths: np.ndarray, number: int) -> list[tuple[int, int]]:
    """Split the lengths into ranges, ends included, with about the same number of sources each."""
    places = np.linspace(0, len(lengths), number + 1)[1:-1].astype(int)
    cuts = sorted({int(lengths.min()), *np.sort(lengths)[places].tolist()})
    ends = [cut - 1 for cut in cuts[1:]] + [int(lengths.max())]
    return list(zip(cuts, ends, strict=True))


def _error_rates_at(
    places: np.ndarray,
    outputs: Sequence[str],
    references: Sequence[Collection[str]],
    tokens: str,
) -> ErrorRates:
    """Compute the error rates of the outputs at these positions."""
    return error_rates(
        [outputs[place] for place in places],
        [references[place] for place in places],
        tokens=tokens,
    )


def _draw_rates(axes: Axes, rates: list[ErrorRates]) -> None:
    """Draw the shares of wrong outputs and of wrong tokens."""
    places = np.arange(len(rates))
    wrong = np.array([rate.sequence_error_rate for rate in rates])
    low, high = _wilson(wrong, np.array([rate.sequences for rate in rates]))
    axes.bar(places - 0.2, 100 * wrong, 0.4, color=BLUE, label="wrong outputs")
    axes.errorbar(
        places - 0.2,
        100 * wrong,
        yerr=100 * np.stack([wrong - low, high - wrong]),
        fmt="none",
        ecolor="black",
        elinewidth=0.8,
        capsize=2,
    )
    tokens = [100 * rate.token_error_rate for rate in rates]
    axes.bar(places + 0.2, tokens, 0.4, color=ORANGE, label="wrong tokens")
    axes.set_ylabel("error rate (%)")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)


def _wilson(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the 95% Wilson interval of a share."""
    z = 1.959964
    center = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    return np.minimum(center - half, share), np.maximum(center + half, share)
