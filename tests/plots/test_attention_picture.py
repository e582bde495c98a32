from __future__ import annotations

import itertools

import numpy as np
import pytest
from helpers.pictures import check_files, tick_labels
from helpers.small import make_model
from helpers.translators import TEXTS, make_translator

from keras_s2s import plots
from keras_s2s.plots.canvas import tokens_of
from keras_s2s.search import GreedySearch
from keras_s2s.tokenizers import ByteTokenizer

SOURCE, TARGET = ["a", "b", "[EOS]"], ["one", "[EOS]"]
WEIGHTS = np.array([[0.7, 0.2, 0.1], [0.0, 0.1, 0.9]])


def test_the_map_shows_the_weights_between_their_tokens():
    figure = plots.attention_map(SOURCE, TARGET, WEIGHTS, title="$x$")
    axes, bar = figure.axes
    (image,) = axes.get_images()
    np.testing.assert_array_equal(image.get_array(), WEIGHTS)
    assert image.get_clim() == (0.0, 0.9)
    assert tick_labels(axes.xaxis) == SOURCE
    assert tick_labels(axes.yaxis) == TARGET
    assert list(axes.get_xticks()) == [0, 1, 2]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("source", "target")
    assert bar.get_ylabel() == "attention weight"
    assert axes.get_title() == "$x$"
    assert not axes.xaxis.get_inverted()


def test_the_map_is_written(tmp_path):
    check_files(lambda path: plots.attention_map(SOURCE, TARGET, WEIGHTS, path=path), tmp_path)


def test_a_source_from_right_to_left_runs_so():
    axes = plots.attention_map(["חתול", "ישב", "[EOS]"], TARGET, WEIGHTS).axes[0]
    assert axes.xaxis.get_inverted()
    assert not plots.attention_map(SOURCE, ["חתול", "ישב"], WEIGHTS).axes[0].xaxis.get_inverted()


@pytest.mark.parametrize(("tokens", "every"), [(100, 1), (700, 3)])
@pytest.mark.sampled(1)
def test_labels_of_many_tokens_do_not_overlap(tokens, every):
    names = [f"token{number}" for number in range(tokens)]
    figure = plots.attention_map(names, ["a", "b"], np.ones([2, tokens]))
    figure.canvas.draw()
    axes = figure.axes[0]
    labels = axes.get_xticklabels()
    assert [label.get_text() for label in labels] == names[::every]
    assert list(axes.get_xticks()) == list(range(0, tokens, every))
    places = [label.get_window_extent() for label in labels]
    assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(places))
    assert labels[0].get_fontsize() >= 5


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (WEIGHTS.T, r"\(2, 3\). Received: shape \(3, 2\)"),
        ("no", r"\(2, 3\). Received: shape \(0,\)"),
        (WEIGHTS - 0.5, "must be finite and not negative. Received: weights from -0.5"),
        (WEIGHTS * np.nan, "must be finite and not negative"),
    ],
)
def test_weights_that_fit_no_tokens_are_rejected(weights, expected):
    with pytest.raises(ValueError, match=expected):
        plots.attention_map(SOURCE, TARGET, weights)


def test_a_map_without_tokens_is_rejected():
    with pytest.raises(ValueError, match="at least one of each"):
        plots.attention_map([], TARGET, np.ones([2, 0]))


@pytest.mark.slow
def test_attention_of_a_translator_is_that_of_its_best_target():
    translator = make_translator()
    figure = plots.attention(translator, TEXTS[0])
    source_ids = translator.source.tokenize([TEXTS[0]])
    found = translator.model.search(source_ids, translator.search, return_attention=True)
    length = found.lengths[0, 0]
    shown = figure.axes[0].get_images()[0].get_array()
    np.testing.assert_array_equal(shown, found.attention[0, 0, :length])
    assert tick_labels(figure.axes[0].xaxis) == [*TEXTS[0], "[EOS]"]
    written = " ".join(tick_labels(figure.axes[0].yaxis))
    assert written.removesuffix(" [EOS]") == translator.translate([TEXTS[0]])[0]


def test_attention_of_another_search():
    translator = make_translator()
    figure = plots.attention(translator, "abcd", search=GreedySearch(max_length=1))
    assert len(tick_labels(figure.axes[0].yaxis)) == 1


def test_attention_needs_a_translator_and_a_text():
    with pytest.raises(TypeError, match=r"`translator` must be a `Translator`. Received"):
        plots.attention(make_model("luong"), "a")
    with pytest.raises(TypeError, match=r"`text` must be a str. Received"):
        plots.attention(make_translator(), ["a"])
    with pytest.raises(ValueError, match=r"`text` must not be empty. Received: text=' '"):
        plots.attention(make_translator(), " ")


def test_bytes_are_written_as_the_letters_that_they_are():
    tokenizer = ByteTokenizer()
    assert tokens_of(tokenizer, tokenizer.tokenize("aé").numpy()) == [
        "a",
        "<0xC3>",
        "<0xA9>",
        "[EOS]",
    ]


@pytest.mark.parametrize(("first", "degrees"), [("internationalization", 90), ("abc", 0)])
def test_a_token_does_not_overlap_its_neighbor(first, degrees):
    tokens = [first, "a", "b", "[EOS]"]
    axes = plots.attention_map(tokens, ["x", "y"], np.ones((2, 4))).axes[0]
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {degrees}
