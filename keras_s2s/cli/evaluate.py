"""`keras-s2s evaluate`: measure the error rates of a model."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import click

from keras_s2s.cli.features import features_column_of, read_checked_pairs
from keras_s2s.cli.keras_model import KerasModel
from keras_s2s.cli.loading import load_model
from keras_s2s.cli.model_paths import settings_of_run
from keras_s2s.cli.options import (
    BATCH_SIZE,
    FEATURES_COLUMN,
    IMPORT,
    JSON,
    MODEL,
    PAIRS,
    option,
    search_options,
)
from keras_s2s.cli.paths import OutputFile, check_output
from keras_s2s.cli.report import make_report
from keras_s2s.cli.setting_table import SETTINGS
from keras_s2s.cli.streams import in_column, write_line
from keras_s2s.cli.unknown_tokens import report_unknown
from keras_s2s.errors import InputError
from keras_s2s.evaluation import METRICS, check_metrics, group_references, meaningful_metrics
from keras_s2s.files import written_beside


@click.command(short_help="Measure the error rates of a model on test pairs.")
@MODEL
@PAIRS
@FEATURES_COLUMN
@option(
    "--metrics",
    help=f"Metrics to compute, separated by commas: {', '.join(METRICS)}.",
    show_default="wer,ter; all if the targets are sentences",
)
@option(
    "--tokens",
    type=click.Choice(SETTINGS["tokens"].choices),
    help=SETTINGS["tokens"].option_help(),
    show_default="that of the run folder, otherwise characters if the target tokenizer splits into "
    "characters or bytes, else words",
)
@option(
    "--bleu-tokenize",
    show_default="that of the run folder, otherwise 13a",
    help=SETTINGS["bleu_tokenize"].option_help(),
)
@option(
    "--confusions",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Number of confusions to list, most frequent first.",
)
@option(
    "--bootstrap",
    type=click.IntRange(2),
    default=1000,
    show_default=True,
    help="Number of bootstrap samples for the confidence intervals.",
)
@option(
    "--outputs",
    type=OutputFile("a file to write"),
    metavar="FILE",
    help="Write tab-separated sources, outputs and references to this file. An existing file is "
    "replaced.",
)
@JSON
@IMPORT
@search_options
@BATCH_SIZE
def evaluate(
    model: str,
    pairs: str,
    features_column: int | None,
    metrics: str | None,
    tokens: str | None,
    bleu_tokenize: str | None,
    outputs: str | None,
    as_json: bool,
    batch_size: int,
    **options: Any,
) -> None:
    """Translate the sources of PAIRS and compare the outputs with the targets.

    PAIRS is a file of source<TAB>target lines, usually test pairs, which were not used to train or
    choose the model. A source that occurs on several lines has several correct targets. WER is the
    share of outputs with at least one error: those that equal none of the correct targets. TER
    counts token errors: wrong, missing and extra tokens, per token of the nearest correct target.
    BLEU and chrF come from sacrebleu. A 95% bootstrap confidence interval follows each figure.
    """
    settings = {name: options.pop(name) for name in _OF_REPORT}
    wanted = [name.strip() for name in (metrics or "").split(",") if name.strip()]
    for name in wanted:
        if name not in METRICS:
            raise click.UsageError(
                f"--metrics must be one or more of {', '.join(METRICS)}, separated by commas. "
                f"Received: {name}"
            )
    if outputs is not None:
        _check_outputs(outputs, pairs)
    run = settings_of_run(model)
    column = features_column_of(features_column, run)
    listed = read_checked_pairs(pairs, column)
    references = group_references(listed)
    wanted = wanted or list(meaningful_metrics(list(references.values())))
    tokenizer = bleu_tokenize or run.get("bleu_tokenize") or "13a"
    check_metrics(["wer", *wanted], bleu_tokenize=tokenizer, name="--bleu-tokenize")
    answering = load_model(model, **options)
    if isinstance(answering, KerasModel):
        report_unknown(answering.translator, listed)
    found = answering.translate(list(references), batch_size)
    report = make_report(
        found,
        list(references.values()),
        metrics=wanted,
        tokens=tokens or run.get("tokens") or answering.target_unit(),
        bleu_tokenize=tokenizer,
        **settings,
    )
    if outputs is not None:
        _write_outputs(outputs, references, found)
    write_line(report.to_json() if as_json else report.to_text())


_OF_REPORT = ("confusions", "bootstrap")


def _check_outputs(path: str, pairs: str) -> None:
    """Check that the outputs can be written. A device such as /dev/stdout is not checked."""
    if os.path.exists(path) and os.path.samefile(path, pairs):
        raise InputError(f"--outputs {path}: this file is PAIRS. Expected: another file")
    if os.path.isfile(path) or not os.path.exists(path):
        check_output("--outputs", path)


def _write_outputs(path: str, references: dict[str, list[str]], outputs: list[str]) -> None:
    """Write tab-separated columns: source, output, references.

    A file is replaced at the end. A device or pipe, such as /dev/stdout, is written to in place,
    even if it is redirected to a file.
    """
    is_new_or_file = os.path.isfile(path) or not os.path.exists(path)
    in_place = not is_new_or_file or os.path.abspath(path).startswith(("/dev/", "/proc/"))
    destination = contextlib.nullcontext(path) if in_place else written_beside(path)
    with destination as name, open(name, "w", encoding="utf-8") as file:
        for (source, accepted), output in zip(references.items(), outputs, strict=True):
            file.write("\t".join(map(in_column, [source, output, *accepted])) + "\n")
