"""Tree of a beam search, with a column per step and an edge per token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_s2s.checks import short_repr
from keras_s2s.errors import InputError
from keras_s2s.plots.beam_trace import BeamTrace, Candidate, trace_beam_search
from keras_s2s.plots.canvas import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    Path,
    check_translator,
    families,
    finish,
    matplotlib,
    new_figure,
    source_tokens_and_ids,
    token_labels,
    tokens_of,
    width,
)
from keras_s2s.search import Search
from keras_s2s.special_ids import BOS_ID

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from keras_s2s.translator import Translator

# In inches: height of a row, gap between columns, width of a letter, width of a digit below a
# token.
_ROW, _GAP, _LETTER, _DIGIT = 0.46, 0.6, 0.09, 0.055
_MARGIN, _HEAD, _FOOT, _TITLE = 0.25, 0.35, 0.5, 0.35  # inches
_MIN_WIDTH = 6.2  # inches, for the legend

_COLORS = {"live": BLUE, "finished": GREEN, "pruned": GREY, "winner": ORANGE}
_MEANINGS = {
    "live": "live",
    "finished": "finished",
    "pruned": "pruned",
    "winner": "best",
}


class _Node(NamedTuple):
    """Node of the tree: a hypothesis with its position in the plot."""

    x: float
    y: float
    half: float  # half the width of its column
    label: str
    below: str
    kind: str


def beam_search(
    translator: Translator,
    text: str,
    *,
    search: Search | None = None,
    pruned: int = 3,
    path: Path | None = None,
) -> Figure:
    """Translate a text, and draw how the beam search found the best target.

    Args:
        translator: A `Translator`.
        text: Source text.
        search: A `BeamSearch` or a `GreedySearch`. Defaults to the translator's search.
        pruned: Number of pruned continuations to draw per step. Defaults to 3.
        path: Path of an image file to write, ".png" or ".svg". Defaults to `None`: nothing
            is written.

    Returns:
        The matplotlib figure; see `beam_tree`.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If `translator`, `text` or `search` has a wrong type.
        ValueError: If the text is empty or longer than the translator's `max_source_length`, if
            there is no output, `pruned` is out of range, or the file name has another suffix.
        FileNotFoundError: If the folder of `path` does not exist.
    """
    check_translator(translator)
    _, source_ids = source_tokens_and_ids(translator, text)
    search = translator.search if search is None else search
    start = translator.model.begin_search(source_ids, return_attention=search.needs_attention)
    trace = trace_beam_search(
        start.step,
        start.state,
        translator.model.target_vocabulary_size,
        search,
        pruned=pruned,
        source_lengths=start.source_lengths,
    )
    tokens = tokens_of(translator.target, range(translator.target.vocabulary_size))
    return beam_tree(trace, tokens, title=text, path=path)


def beam_tree(
    trace: BeamTrace,
    tokens: Sequence[str],
    *,
    title: str | None = None,
    path: Path | None = None,
) -> Figure:
    """Draw the tree of the hypotheses that a beam search considered, with a column per step.

    The number below each token is log P of the hypothesis up to this token. For a finished
    hypothesis, its score follows.

    Args:
        trace: `BeamTrace` that `trace_beam_search` returned.
        tokens: Token of each id, as in a tokenizer's `vocabulary`.
        title: Title of the figure.
        path: Path of an image file to write, ".png" or ".svg". Defaults to `None`: nothing
            is written.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If `trace` is not a `BeamTrace`, or `tokens` is not a list of str.
        ValueError: If an id has no token, or the file name has another suffix.
        FileNotFoundError: If the folder of `path` does not exist.
    """
    if not isinstance(trace, BeamTrace):
        raise TypeError(f"`trace` must be a `BeamTrace`. Received: trace={short_repr(trace)}")
    _check_tokens(trace, tokens)
    nodes = _make_nodes(trace, tokens)
    right = max(node.x + width(node.label) * _LETTER / 2 for node in nodes.values()) + 2 * _MARGIN
    across = max(right, _MIN_WIDTH)
    down = _rows(trace) * _ROW
    high = down + _HEAD + _FOOT + (_TITLE if title else 0.0)
    figure = new_figure(across, high, path=path, layout=None)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    left = (right - across) / 2
    axes.set(xlim=(left, left + across), ylim=(-_FOOT, high - _FOOT))  # in inches
    axes.set_axis_off()
    names = families([*(node.label for node in nodes.values()), title or ""])
    for ids, node in nodes.items():
        if ids:
            _draw_edge(axes, nodes[ids[:-1]], node)
        _draw_node(axes, node, names)
    columns = sorted({node.x for ids, node in nodes.items() if ids})
    for number, x in enumerate(columns, 1):
        axes.text(x, down + 0.12, f"step {number}", ha="center", fontsize=8, color=GREY)
    if title:
        most = int(across / _LETTER)  # letters
        axes.text(
            right / 2,
            down + _HEAD + 0.1,
            title if width(title) <= most else f"{title[: most - 1]}…",
            ha="center",
            fontsize=11,
            fontfamily=names,
            parse_math=False,
        )
    _draw_legend(axes, {node.kind for node in nodes.values()})
    return finish(figure, path)


def _check_tokens(trace: BeamTrace, tokens: Any) -> None:
    """Check that every id has a token."""
    token_labels("tokens", tokens)
    largest = max(BOS_ID, *(id_ for step in trace.steps for one in step for id_ in one.ids))
    if largest >= len(tokens):
        raise InputError(
            f"`tokens` must have a token for each id, up to {largest}. "
            f"Received: {len(tokens)} tokens"
        )


def _rows(trace: BeamTrace) -> int:
    """Return the largest number of hypotheses in a column."""
    return max(len(step) for step in trace.steps)


def _make_nodes(trace: BeamTrace, tokens: Sequence[str]) -> dict[tuple[int, ...], _Node]:
    """Return a node for each hypothesis, by its ids.

    Each column is sorted by the order of the parents, so that no two edges cross.
    """
    middle = _rows(trace) * _ROW / 2
    start = token_labels("tokens", [tokens[BOS_ID]])[0]
    half = width(start) * _LETTER / 2
    right = _MARGIN + 2 * half
    nodes: dict[tuple[int, ...], _Node] = {}
    nodes[()] = _Node(_MARGIN + half, middle, half, start, "", "winner")
    best = [trace.winner.ids[:length] for length in range(1, len(trace.winner.ids) + 1)]
    order: dict[tuple[int, ...], int] = {(): 0}
    for step in trace.steps:
        column = sorted(step, key=lambda one: (order[one.ids[:-1]], -one.log_prob))
        labels = token_labels("tokens", [tokens[one.ids[-1]] for one in column])
        below = [_numbers(one) for one in column]
        room = max(*(width(label) * _LETTER for label in labels), *(len(b) * _DIGIT for b in below))
        x = right + _GAP + room / 2
        right += _GAP + room
        top = middle + (len(column) - 1) * _ROW / 2
        for place, (one, label, numbers) in enumerate(zip(column, labels, below, strict=True)):
            kind = "winner" if one.ids in best else one.fate
            nodes[one.ids] = _Node(x, top - place * _ROW, room / 2, label, numbers, kind)
        order = {one.ids: place for place, one in enumerate(column)}
    return nodes


def _numbers(candidate: Candidate) -> str:
    """Format log P and, if there is one, the score."""
    numbers = f"{candidate.log_prob:.2f}"
    if candidate.score is not None:
        numbers += f" → {candidate.score:.2f}"
    return numbers.replace("-", "−")


def _draw_edge(axes: Axes, parent: _Node, child: _Node) -> None:
    """Draw the line from a hypothesis to its continuation."""
    bold = child.kind == "winner"
    # The line is level next to the tokens, and sloped between the columns. The boxes hide its ends.
    axes.plot(
        (parent.x, parent.x + parent.half, child.x - child.half, child.x),
        (parent.y, parent.y, child.y, child.y),
        color=_COLORS[child.kind],
        linewidth=2.2 if bold else 0.9,
        linestyle=":" if child.kind == "pruned" else "-",
        zorder=("pruned", "live", "finished", "winner").index(child.kind) / 2,
    )


def _draw_node(axes: Axes, node: _Node, names: list[str]) -> None:
    """Draw the box of a token, and its numbers below."""
    color = _COLORS[node.kind]
    filled = node.kind in ("winner", "finished")
    axes.text(
        node.x,
        node.y,
        node.label,
        ha="center",
        va="center",
        fontsize=9,
        fontfamily=names,
        parse_math=False,
        color="white" if filled else GREY if node.kind == "pruned" else "black",
        bbox={
            "boxstyle": "round,pad=0.25",
            "facecolor": color if filled else "white",
            "edgecolor": color,
            "linestyle": ":" if node.kind == "pruned" else "-",
        },
        zorder=3,
    )
    axes.text(
        node.x, node.y - 0.15, node.below, ha="center", va="top", fontsize=6, color=color, zorder=3
    )


def _draw_legend(axes: Axes, kinds: set[str]) -> None:
    """Draw the legend of the colors."""
    line = matplotlib("lines").Line2D
    shown = [kind for kind in _COLORS if kind in kinds]
    marks = [
        line(
            [],
            [],
            color=_COLORS[kind],
            marker="s",
            linestyle=":" if kind == "pruned" else "-",
            markerfacecolor=_COLORS[kind] if kind in ("winner", "finished") else "white",
        )
        for kind in shown
    ]
    axes.legend(
        marks,
        [_MEANINGS[kind] for kind in shown],
        loc="lower center",
        ncols=len(shown),
        fontsize=8,
        frameon=False,
        title="below each token: log P → score",
        title_fontsize=7,
    )
