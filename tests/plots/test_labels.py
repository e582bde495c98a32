from __future__ import annotations

import matplotlib
import pytest

from keras_s2s.plots import labels


def test_labels_can_be_seen():
    tokens = [" ", "\t", "a\x01", "", "x" * 30, "東京", "$x$"]
    expected = ["␣", "⇥", r"a\x01", "∅", "x" * 23 + "…", "東京", "$x$"]
    assert labels.token_labels("tokens", tokens) == expected


@pytest.mark.parametrize("tokens", ["abc", None, ["a", 1]])
def test_tokens_are_a_list_of_str(tokens):
    with pytest.raises(TypeError, match=r"`source` must be a list of str. Received"):
        labels.token_labels("source", tokens)


@pytest.mark.parametrize(("label", "columns"), [("abc", 3), ("東京", 4), ("e\u0301", 1), ("", 0)])
def test_width_counts_columns(label, columns):
    assert labels.width(label) == columns


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
    assert labels.runs_right_to_left(tokens) is expected


def test_latin_letters_need_no_other_font():
    assert labels.families(["abc", "é"]) == matplotlib.rcParams["font.family"]


def test_a_font_that_has_the_letters_is_added(monkeypatch):
    fonts = [("Some Sans", "some"), ("Kanji Sans", "kanji"), ("Late Sans", "late")]
    letters = {"some": "xyz", "kanji": "東京", "late": "東京"}
    monkeypatch.setattr(labels, "_installed", lambda: fonts)
    monkeypatch.setattr(labels, "_letters_of", lambda path: frozenset(letters.get(path, "abc")))
    usual = matplotlib.rcParams["font.family"]
    assert labels.families(["a東", "京 b"]) == [*usual, "Kanji Sans"]
    with pytest.warns(UserWarning, match="No installed font has 1 of the characters.*: ף"):
        assert labels.families(["a東ף"]) == [*usual, "Kanji Sans"]


def test_every_installed_font_can_be_asked():
    names = [name for name, _ in labels._installed()]
    assert "DejaVu Sans" in names
    assert not any(name.startswith(("Last Resort", "Noto Color")) for name in names)
    assert labels._letters_of("no such file") == frozenset()
