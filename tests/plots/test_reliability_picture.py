from __future__ import annotations

import pytest
from helpers.pictures import check_files

from keras_s2s import plots

CONFIDENCES, RIGHT = [0.1, 0.14, 0.9, 1.0], [False, True, True, True]


def test_each_bin_has_its_point_beside_the_diagonal():
    (axes,) = plots.reliability(CONFIDENCES, RIGHT, bins=5, title="$t$").axes
    diagonal, line = axes.get_lines()
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]
    assert list(line.get_xdata()) == pytest.approx([0.12, 0.95])
    assert list(line.get_ydata()) == pytest.approx([0.5, 1.0])
    assert axes.get_xlabel() == "confidence (4 outputs, calibration error 21.5 %)"


def test_it_is_written(tmp_path):
    check_files(lambda path: plots.reliability(CONFIDENCES, RIGHT, path=path), tmp_path)


def test_confidences_out_of_range_are_refused():
    with pytest.raises(ValueError, match="`confidences` must be numbers between 0 and 1"):
        plots.reliability([2.0], [True])
