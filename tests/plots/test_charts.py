from __future__ import annotations

import itertools

import numpy as np
import pytest
from helpers.pictures import check_files, tick_labels
from matplotlib.patches import Rectangle

from keras_s2s import plots

SOURCES = ["a", "b", "cc", "dd", "eeeee", "ffffff"]
REFERENCES = [["x y"]] * 6
OUTPUTS = ["x y", "x y", "x y", "x z", "z", "x y"]


def heights(axes):
    """The bars, from left to right."""
    bars = sorted((bar for bar in axes.patches if isinstance(bar, Rectangle)), key=Rectangle.get_x)
    return [bar.get_height() for bar in bars]


def test_each_length_has_its_bar():
    (axes,) = plots.length_histogram({"source": [2, 2, 4]}, title="$t$").axes
    assert heights(axes) == [2, 0, 1]
    bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
    assert [bar.get_x() for bar in bars] == [1.5, 2.5, 3.5]
    (label,) = axes.get_legend().get_texts()
    assert label.get_text() == "source: mean 2.7, longest 4"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("length in tokens", "texts")


def test_far_apart_lengths_share_bars():
    (axes,) = plots.length_histogram({"a": [1, 1000], "b": np.array([3])}).axes
    assert axes.get_xlabel() == "length in tokens, 17 per bar"
    assert sum(heights(axes)) == 3


def test_errors_are_those_of_the_sources_of_a_length():
    upper, lower = plots.errors_by_length(SOURCES, OUTPUTS, REFERENCES, num_bins=3).axes
    assert tick_labels(lower.xaxis) == ["1", "2–4", "5–6"]
    assert heights(lower) == [2, 2, 2]
    # of each length the outputs that are wrong, then the tokens
    np.testing.assert_allclose(heights(upper), [0, 0, 50, 25, 50, 50])
    assert lower.get_xlabel() == "length of the source in characters"


def test_tokens_are_counted_as_requested():
    upper, lower = plots.errors_by_length(
        ["a b", "abcdef"],
        ["xy", "xz"],
        [["xy"], ["xy"]],
        source_tokens="words",
        target_tokens="characters",
    ).axes
    assert tick_labels(lower.xaxis) == ["1", "2"]
    np.testing.assert_allclose(heights(upper), [100, 50, 0, 0])


def test_the_low_panel_has_room_for_its_numbers():
    sources = ["a" * (1 + number % 7) for number in range(2000)]
    _, lower = plots.errors_by_length(sources, sources, [[it] for it in sources]).axes
    lower.figure.canvas.draw()
    labels = [it.get_window_extent() for it in lower.yaxis.get_ticklabels() if it.get_text()]
    inside = [box for box in labels if box.y1 > lower.bbox.y0 and box.y0 < lower.bbox.y1]
    inside.sort(key=lambda box: box.y0)
    assert len(inside) >= 2
    assert all(below.y1 < above.y0 for below, above in itertools.pairwise(inside))


def test_the_histograms_are_written(tmp_path):
    check_files(
        lambda path: plots.errors_by_length(SOURCES, OUTPUTS, REFERENCES, title="t", path=path),
        tmp_path,
    )


@pytest.mark.parametrize(
    ("lengths", "error", "expected"),
    [
        ([1, 2], TypeError, "`lengths` must be a dict of lists"),
        ({}, ValueError, "must contain at least one list. Received: none"),
        ({"a": []}, ValueError, "non-empty lists of integers of at least 0. Received: 'a'"),
        ({"a": [1.5]}, ValueError, "integers of at least 0"),
        ({"a": [-1]}, ValueError, "integers of at least 0"),
        ({"a": [[1], [1, 2]]}, ValueError, "integers of at least 0"),
    ],
)
def test_bad_lengths_are_rejected(lengths, error, expected):
    with pytest.raises(error, match=expected):
        plots.length_histogram(lengths)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sources": ["a"]}, "one output for each source. Received: 1 source, 6"),
        ({"references": []}, "one entry for each of `outputs`"),
        ({"source_tokens": "letters"}, "`source_tokens` must be one of"),
        ({"target_tokens": "letters"}, "`tokens` must be one of"),
        ({"num_bins": 0}, "`num_bins` must be a positive integer"),
    ],
)
def test_bad_outputs_are_rejected(changes, expected):
    given = {"sources": SOURCES, "outputs": OUTPUTS, "references": REFERENCES, **changes}
    with pytest.raises(ValueError, match=expected):
        plots.errors_by_length(**given)


CONFIDENCES, RIGHT = [0.1, 0.14, 0.9, 1.0], [False, True, True, True]


def test_each_bin_has_its_point_beside_the_diagonal():
    (axes,) = plots.reliability(CONFIDENCES, RIGHT, bins=5, title="$t$").axes
    diagonal, line = axes.get_lines()
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]
    assert list(line.get_xdata()) == pytest.approx([0.12, 0.95])
    assert list(line.get_ydata()) == pytest.approx([0.5, 1.0])
    assert axes.get_xlabel() == "confidence (4 outputs, calibration error 21.5%)"
    assert not axes.collections[0].get_clip_on()  # a point at 1.0 is whole


def test_the_reliability_diagram_is_written(tmp_path):
    check_files(lambda path: plots.reliability(CONFIDENCES, RIGHT, path=path), tmp_path)


def test_confidences_out_of_range_are_rejected():
    with pytest.raises(ValueError, match="`confidences` must be numbers between 0 and 1"):
        plots.reliability([2.0], [True])
