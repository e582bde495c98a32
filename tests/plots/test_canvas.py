from __future__ import annotations

import sys

import matplotlib
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


def test_labels_can_be_seen():
    tokens = [" ", "\t", "a\x01", "", "x" * 30, "東京", "$x$"]
    expected = ["␣", "⇥", r"a\x01", "∅", "x" * 23 + "…", "東京", "$x$"]
    assert canvas.token_labels("tokens", tokens) == expected


@pytest.mark.parametrize("tokens", ["abc", None, ["a", 1]])
def test_tokens_are_a_list_of_str(tokens):
    with pytest.raises(TypeError, match=r"`source` must be a list of str. Received"):
        canvas.token_labels("source", tokens)


@pytest.mark.parametrize(("label", "columns"), [("abc", 3), ("東京", 4), ("e\u0301", 1), ("", 0)])
def test_width_counts_columns(label, columns):
    assert canvas.width(label) == columns


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (["ח", "[EOS]"], True),
        (["חת", "eos"], False),
        (["قطة", "a"], True),
        ([], False),
    ],
)
def test_most_letters_say_where_a_script_runs(tokens, expected):
    assert canvas.runs_right_to_left(tokens) is expected


def test_latin_letters_need_no_other_font():
    assert canvas.families(["abc", "é"]) == matplotlib.rcParams["font.family"]


def test_a_font_that_has_the_letters_is_added(monkeypatch):
    fonts = [("Some Sans", "some"), ("Kanji Sans", "kanji"), ("Late Sans", "late")]
    letters = {"some": "xyz", "kanji": "東京", "late": "東京"}
    monkeypatch.setattr(canvas, "_installed", lambda: fonts)
    monkeypatch.setattr(canvas, "_letters_of", lambda path: frozenset(letters.get(path, "abc")))
    usual = matplotlib.rcParams["font.family"]
    assert canvas.families(["a東", "京 b"]) == [*usual, "Kanji Sans"]
    with pytest.warns(UserWarning, match="No installed font has 1 of the characters.*: ף"):
        assert canvas.families(["a東ף"]) == [*usual, "Kanji Sans"]


def test_every_installed_font_can_be_asked():
    names = [name for name, _ in canvas._installed()]
    assert "DejaVu Sans" in names
    assert not any(name.startswith(("Last Resort", "Noto Color")) for name in names)
    assert canvas._letters_of("no such file") == frozenset()
