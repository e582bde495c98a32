"""`keras-s2s compare`: compare the outputs of two models."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import click

from keras_s2s.checks import count_of
from keras_s2s.cli.features import read_checked_pairs
from keras_s2s.cli.loading import load_model
from keras_s2s.cli.model_paths import find_model, needs_tensorflow
from keras_s2s.cli.options import BATCH_SIZE, COLUMNS, IMPORT, option
from keras_s2s.cli.paths import MODELS, ExistingPath
from keras_s2s.cli.settings_of_models import columns_of
from keras_s2s.cli.source_lines import read_lines, take_sources
from keras_s2s.cli.streams import PROGRAM, in_column, write_line
from keras_s2s.errors import InputError

_CHANGED = 1  # exit code if more changed than allowed


@click.command(short_help="Compare the outputs of two models.")
@click.argument("before", type=ExistingPath(MODELS, folder=True), metavar="BEFORE")
@click.argument("after", type=ExistingPath(MODELS, folder=True), metavar="AFTER")
@click.argument("texts", type=ExistingPath("a file with one source per line"), metavar="TEXTS")
@option(
    "--max-changed",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Exit with code 1 if more than this share of the outputs (such as 0.01) changes.",
)
@option(
    "--max-score-difference",
    type=click.FloatRange(0),
    metavar="NUMBER",
    help="Exit with code 1 if the score of an unchanged output differs by more than this.",
)
@option(
    "--most",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="Maximum number of changes to list; --json lists all.",
)
@option("--json", "as_json", is_flag=True, help="Write JSON with all changes.")
@COLUMNS
@option(
    "--features-column",
    type=click.IntRange(1, 3),
    help="Read TEXTS as pairs in three columns, and use their sources. The value is the number of "
    "the column with morphological features: 2 for lemma<TAB>features<TAB>form.",
    show_default="TEXTS has sources only",
)
@IMPORT
@BATCH_SIZE
def compare(
    before: str,
    after: str,
    texts: str,
    max_changed: float | None,
    max_score_difference: float | None,
    most: int,
    as_json: bool,
    columns: str | None,
    features_column: int | None,
    batch_size: int,
) -> None:
    """Compare the outputs of two models, or of two versions of a model, for the lines of a file.

    BEFORE and AFTER are .keras files, run folders, SavedModel folders, .tflite or .onnx files.
    TEXTS has one source per line or, with --features-column, pairs in three columns. Prints the
    share of changed outputs, the score differences of the unchanged ones, and a list of changes:
    source, output before and output after, separated by tabs. A source for which only one of the
    models finds an output counts as a change.
    """
    if features_column is None:
        lines = read_lines(texts)
    elif columns is None:
        pairs = read_checked_pairs(texts, features_column)
        lines, columns = [(texts, source) for source, _ in pairs], "text"
    else:
        raise click.UsageError("--columns and --features-column cannot be used together.")
    tensorflow = any(needs_tensorflow(find_model(path)) for path in (before, after))
    sources = take_sources(lines, columns or columns_of(before))  # before a model is loaded
    models = [load_model(path, tensorflow=tensorflow) for path in (before, after)]
    if columns is None:
        sources = take_sources(lines, models[0].columns())
    best = [
        model.best(sources, batch_size, f" by {path}")
        for model, path in zip(models, (before, after), strict=True)
    ]
    answers = [
        [Answer("", None) if it is None else Answer(it.text, it.score) for it in found]
        for found in best
    ]
    found = compare_models(sources, *answers)
    write_line(_to_json(found) if as_json else _to_text(found, most))
    excesses = [
        f"{name} is {value:{form}}. Allowed: at most {allowed:{form}}"
        for name, form, value, allowed in (
            ("the share of changed outputs", ".2%", found.share_changed, max_changed),
            ("the score difference", ".2g", found.max_score_difference, max_score_difference),
        )
        if allowed is not None and value > allowed
    ]
    for excess in excesses:
        click.echo(f"{PROGRAM} compare: {excess}", err=True)
    if excesses:
        raise click.exceptions.Exit(_CHANGED)


class Answer(NamedTuple):
    """Best target for a text, and its score: `None` if the model found no target."""

    target: str
    score: float | None


class Change(NamedTuple):
    """Text with different targets from the two models."""

    source: str
    before: Answer
    after: Answer


class ModelComparison(NamedTuple):
    """Differences between two models on the same texts.

    Attributes:
        num_texts: Number of texts compared.
        changes: Texts with different targets, or with a target from one model only. The latter come
            first; the others are sorted by the change in score, largest first.
        num_unanswered: Number of texts without a target, before and after.
        mean_score_difference: Mean absolute difference of the scores of equal targets.
        max_score_difference: Maximum absolute difference of the scores of equal targets.
    """

    num_texts: int
    changes: list[Change]
    num_unanswered: tuple[int, int]
    mean_score_difference: float
    max_score_difference: float

    @property
    def share_changed(self) -> float:
        """Fraction of the texts whose target differs."""
        return len(self.changes) / self.num_texts if self.num_texts else 0.0


def compare_models(
    texts: Sequence[str], before: Sequence[Answer], after: Sequence[Answer]
) -> ModelComparison:
    """Compare the outputs of two models.

    Args:
        texts: The texts that both models translated.
        before: The current model's output for each text.
        after: The new model's output for each text.

    Returns:
        The differences.

    Raises:
        ValueError: If the number of outputs differs from the number of texts.

    Example:
        >>> found = compare_models(["a", "b"], [Answer("A", -1.0), Answer("B", -1.0)],
        ...                        [Answer("A", -1.5), Answer("V", -2.0)])
        >>> found.share_changed, found.max_score_difference
        (0.5, 0.5)
    """
    if not len(texts) == len(before) == len(after):
        raise InputError(
            f"`before` and `after` must contain one output per text. Received: "
            f"{count_of(len(texts), 'text')}, {len(before)} outputs before and {len(after)} after"
        )
    changes, differences = [], []
    for source, first, second in zip(texts, before, after, strict=True):
        if first.target != second.target or (first.score is None) != (second.score is None):
            changes.append(Change(source, first, second))
        elif first.score is not None and second.score is not None:
            differences.append(abs(second.score - first.score))
    changes.sort(key=_score_change, reverse=True)
    before_none, after_none = (
        sum(answer.score is None for answer in answers) for answers in (before, after)
    )
    mean = sum(differences) / len(differences) if differences else 0.0
    return ModelComparison(
        len(texts), changes, (before_none, after_none), mean, max(differences, default=0.0)
    )


def _to_text(found: ModelComparison, most: int) -> str:
    lines = [
        f"Changed: {len(found.changes):,} of {count_of(found.num_texts, 'output')} "
        f"({found.share_changed:.2%})",
        "All outputs changed, so there are no scores to compare"
        if len(found.changes) == found.num_texts
        else f"The scores of the others differ by {found.mean_score_difference:.2g} on average, by "
        f"at most {found.max_score_difference:.2g}",
    ]
    if any(found.num_unanswered):
        lines.append(
            "Sources without an output, such as sources that are too long: "
            "{} before, {} after".format(*found.num_unanswered)
        )
    for change in found.changes[:most]:
        columns = (change.source, change.before.target, change.after.target)
        lines.append("\t".join(map(in_column, columns)))
    if len(found.changes) > most:
        lines.append(f"And {count_of(len(found.changes) - most, 'more change')}")
    return "\n".join(lines)


def _to_json(found: ModelComparison) -> str:
    changes = [
        {
            "source": change.source,
            "before": change.before._asdict(),
            "after": change.after._asdict(),
        }
        for change in found.changes
    ]
    card = {**found._asdict(), "changes": changes, "share_changed": found.share_changed}
    return json.dumps(card, ensure_ascii=False, indent=1)


def _score_change(change: Change) -> float:
    """Return the absolute change in score; infinite if only one model has a target."""
    before, after = change.before.score, change.after.score
    return math.inf if before is None or after is None else abs(after - before)
