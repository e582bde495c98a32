from __future__ import annotations

import sys

import pytest
from helpers.pictures import check_files
from matplotlib.figure import Figure

from keras_s2s.plots import canvas, length_histogram


def test_pictures_are_written_as_their_names_say(tmp_path):
    check_files(lambda path: length_histogram({"a": [1, 2]}, path=path), tmp_path)


def test_an_interrupted_writing_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_text("before", "utf-8")

    def fail(*args, **kwargs):
        raise OSError("the disk is full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="the disk is full"):
        length_histogram({"a": [1, 2]}, path=path)
    assert path.read_text("utf-8") == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-s2s\[plots\]'"):
        canvas.new_figure(1.0, 1.0, path=None, layout=None)
