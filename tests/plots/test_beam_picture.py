from __future__ import annotations

import pytest
from helpers import textbook
from helpers.pictures import check_files, texts
from helpers.translators import make_translator
from matplotlib.colors import to_hex
from plots.test_beam_trace import trace

from keras_s2s import plots
from keras_s2s.plots.canvas import BLUE, GREEN, GREY, ORANGE
from keras_s2s.search import BeamSearch, GreedySearch

TOKENS = ["[PAD]", "[UNK]", "[BOS]", "[EOS]", *"ABCDE"]


@pytest.fixture(scope="module")
def found():
    return trace(textbook.greedy_is_not_best(), BeamSearch(beam_width=2, max_length=4))


def boxes(figure):
    """The boxes of the tokens: position, text and color."""
    drawn = [text for text in figure.axes[0].texts if text.get_bbox_patch()]
    return [
        (
            *text.get_position(),
            text.get_text(),
            to_hex(text.get_bbox_patch().get_edgecolor()).upper(),
        )
        for text in drawn
    ]


def column(figure, number):
    """The boxes of a step, from top to bottom."""
    drawn = boxes(figure)
    places = sorted({x for x, *_ in drawn})
    return [
        (label, color)
        for x, _, label, color in sorted(drawn, key=lambda box: -box[1])
        if x == places[number]
    ]


def test_every_hypothesis_stands_in_the_column_of_its_step(found):
    figure = plots.beam_tree(found, TOKENS)
    assert len(boxes(figure)) == 1 + sum(map(len, found.steps))
    assert column(figure, 0) == [("[BOS]", ORANGE)]
    assert column(figure, 1) == [("A", ORANGE), ("B", BLUE), ("C", GREY), ("[EOS]", GREY)]
    assert [label for label, color in column(figure, 2)[:2]] == ["B", "C"]
    assert column(figure, 4)[:4] == [("[EOS]", GREEN), ("B", BLUE), ("C", GREY), ("[EOS]", ORANGE)]


def test_below_a_hypothesis_stand_its_numbers(found):
    written = texts(plots.beam_tree(found, TOKENS, title="a $title$"))
    for one in found.steps[-1]:
        assert any(text.startswith(f"{one.log_prob:.2f}".replace("-", "−")) for text in written)
    assert f"{found.winner.log_prob:.2f} → {found.winner.score:.2f}".replace("-", "−") in written
    assert {"step 1", "step 4", "a $title$"} <= set(written)
    assert "step 5" not in written


def test_edges_lead_from_what_a_hypothesis_was(found):
    figure = plots.beam_tree(found, TOKENS)
    places = {(x, y): label for x, y, label, _ in boxes(figure)}
    edges = []
    for line in figure.axes[0].lines:
        (*start,), (*end,) = line.get_xydata()[0], line.get_xydata()[-1]
        edges.append((places[tuple(start)], places[tuple(end)], to_hex(line.get_color()).upper()))
    assert len(edges) == sum(map(len, found.steps))
    best = [(start, end) for start, end, color in edges if color == ORANGE]
    assert best == [("[BOS]", "A"), ("A", "C"), ("C", "B"), ("B", "[EOS]")]


def test_the_legend_names_what_is_drawn(found):
    def legend(figure):
        return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]

    assert legend(plots.beam_tree(found, TOKENS)) == ["live", "finished", "pruned", "best"]
    only = trace(textbook.five_tokens(), BeamSearch(beam_width=1, max_length=2), pruned=0)
    assert legend(plots.beam_tree(only, TOKENS)) == ["best"]


def test_no_two_texts_overlap(found):
    figure = plots.beam_tree(found, TOKENS, title="title")
    figure.canvas.draw()
    axes = figure.axes[0]
    places = [text.get_window_extent() for text in axes.texts if text.get_text()]
    places.append(axes.get_legend().get_window_extent())
    for number, place in enumerate(places):
        assert 0 <= place.x0 <= place.x1 <= figure.bbox.x1
        assert 0 <= place.y0 <= place.y1 <= figure.bbox.y1
        assert not any(place.overlaps(other) for other in places[:number])


def test_the_tree_is_written(found, tmp_path):
    check_files(lambda path: plots.beam_tree(found, TOKENS, path=path), tmp_path)


def test_the_tree_of_a_translator_ends_in_its_answer():
    translator = make_translator(search=BeamSearch(beam_width=3, max_length=6))
    figure = plots.beam_search(translator, "abcd")
    best = [label for _, _, label, color in sorted(boxes(figure)) if color == ORANGE]
    answer = translator.translate(["abcd"])[0].split()
    assert best == ["[BOS]", *answer, "[EOS]"][: len(best)]
    assert "abcd" in texts(figure)
    greedy = plots.beam_search(translator, "abcd", search=GreedySearch(max_length=1), pruned=1)
    assert len(boxes(greedy)) <= 4


def test_bad_arguments_are_rejected(found):
    with pytest.raises(TypeError, match=r"`trace` must be a `BeamTrace`. Received"):
        plots.beam_tree([], TOKENS)
    with pytest.raises(TypeError, match="`tokens` must be a list of str"):
        plots.beam_tree(found, "ABC")
    with pytest.raises(ValueError, match=r"must have a token for each id, up to 6. Received: 6"):
        plots.beam_tree(found, TOKENS[:6])
    with pytest.raises(TypeError, match="`translator` must be a `Translator`"):
        plots.beam_search(None, "abcd")
