"""`keras-s2s translate`: translate standard input to standard output."""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections.abc import Iterator
from typing import Any

import click

from keras_s2s.cli.keras_model import KerasModel
from keras_s2s.cli.loading import load_model
from keras_s2s.cli.models import Model
from keras_s2s.cli.options import (
    BATCH_SIZE,
    COLUMNS,
    IMPORT,
    MODEL,
    option,
    refuse_extra_arguments,
    search_options,
)
from keras_s2s.cli.settings_of_models import columns_of
from keras_s2s.cli.source_lines import LineReader, decode_line
from keras_s2s.cli.streams import (
    StatusLine,
    in_column,
    naming_output,
    progress,
    size_of,
    write_line,
)
from keras_s2s.cli.unknown_tokens import UnknownTokens, warn_if_most
from keras_s2s.errors import InputError
from keras_s2s.hypothesis import Hypothesis
from keras_s2s.search_limits import MAX_HYPOTHESES
from keras_s2s.texts import is_empty

_LARGEST_GROUP = 8  # batches


@click.command(
    short_help="Translate standard input, line by line.",
    context_settings={"allow_extra_args": True},
)
@MODEL
@option(
    "--nbest",
    "num_hypotheses",
    type=click.IntRange(1, MAX_HYPOTHESES),
    metavar="N",
    help="Write the N best targets of each source, one per line, after its line number.",
)
@COLUMNS
@option("--scores", is_flag=True, help="Write the score and log probability before each target.")
@option("--json", "as_json", is_flag=True, help="Write one line of JSON per source.")
@IMPORT
@search_options
@BATCH_SIZE
def translate(
    model: str,
    columns: str | None,
    scores: bool,
    as_json: bool,
    batch_size: int,
    **options: Any,
) -> None:
    """Translate each line of standard input to a line of standard output, in the same order.

    MODEL is a .keras file, a run folder, a SavedModel folder, or a .tflite or .onnx file. An empty
    line stays empty. Output columns are separated by tabs: line number (with --nbest), score and
    log_prob (with --scores), target. In a target, ⁇ stands for an unknown token.
    """
    refuse_extra_arguments("Sources are read from standard input: < FILE.")
    if sys.stdin is None:
        raise InputError("standard input is closed. Expected: texts to translate, one per line")
    stdin = sys.stdin.buffer
    reader, size = LineReader(stdin), size_of(stdin)
    if size is not None:  # a file: its first line is there before the model is loaded
        how = columns or columns_of(model)
        decode_line(reader.peek() or b"", "standard input, line 1", how)
    answering = load_model(model, tensorflow=False, **options)
    columns = columns or answering.columns()
    unknown = None
    if isinstance(answering, KerasModel):
        unknown = UnknownTokens(answering.translator.source)
    numbered = options["num_hypotheses"] is not None
    with progress("Translating", size, between_answers=True) as advance:
        before = 0
        for number, source, found in answers(answering, reader, batch_size, columns, unknown):
            wanted = found[: options["num_hypotheses"] or 1]
            if as_json:
                write_line(_to_json(source, wanted))
            else:
                for line in _lines(number if numbered else None, wanted, scores):
                    write_line(line)
            if reader.number == number:  # all lines read so far are answered
                with naming_output():
                    sys.stdout.flush()
                advance(reader.position - before)
                before = reader.position
    if unknown is not None:
        warn_if_most(unknown, "source", "sources")


def answers(
    model: Model,
    reader: LineReader,
    batch_size: int,
    columns: str | None = None,
    unknown: UnknownTokens | None = None,
) -> Iterator[tuple[int, str, list[Hypothesis]]]:
    """Search for the targets of lines as they arrive.

    Args:
        model: The `Model`.
        reader: `LineReader` for the lines.
        batch_size: Integer. Number of texts in a batch. If many lines are available, several
            batches are read at once so that texts of similar length share a batch.
        columns: How to read lines with tabs, as in `decode_line`. Defaults to `None`.
        unknown: `UnknownTokens` to which the sources are added. Defaults to `None`.

    Yields:
        A tuple of the line number (from 1), the text, and its hypotheses, best first.

    Raises:
        ValueError: If a line is not a valid source, or no target is found for it. The lines before
            it are answered first.
    """
    batches = 1
    while lines := reader.read(batches * batch_size):
        first = reader.number - len(lines) + 1
        texts: list[str] = []
        fault = None
        try:
            for number, line in enumerate(lines, first):
                texts.append(decode_line(line, f"standard input, line {number}", columns))
        except ValueError as error:
            fault = error
        with contextlib.ExitStack() as status:
            if first == 1:  # TensorFlow compiles the search
                status.enter_context(StatusLine("Compiling the search"))
            found = model.hypotheses(texts, batch_size)
        if unknown is not None:
            unknown.add(texts)
        for number, text, hypotheses in zip(itertools.count(first), texts, found, strict=False):
            if not hypotheses and not is_empty(text):
                raise InputError(f"standard input, line {number}: {model.why_unanswered(text)}")
            yield number, text, hypotheses
        if fault is not None:
            raise fault
        if len(lines) == batches * batch_size:
            batches = min(2 * batches, _LARGEST_GROUP)


def _lines(number: int | None, found: list[Hypothesis], scores: bool) -> Iterator[str]:
    """Format hypotheses as columns. An empty text has no hypotheses and yields an empty line."""
    wanted: list[Hypothesis | None] = [*found] or [None]
    for hypothesis in wanted:
        columns = [] if number is None else [str(number)]
        if scores:
            columns += (
                ["", ""]
                if hypothesis is None
                else [f"{hypothesis.score:.6f}", f"{hypothesis.log_prob:.6f}"]
            )
        yield "\t".join([*columns, "" if hypothesis is None else in_column(hypothesis.text)])


def _to_json(source: str, found: list[Hypothesis]) -> str:
    hypotheses = []
    for text, *figures in found:
        named = zip(("score", "log_prob", "confidence"), figures, strict=True)
        given = {name: value for name, value in named if value is not None}
        hypotheses.append({"target": text, **given})
    line: dict[str, Any] = {"source": source, "hypotheses": hypotheses}
    return json.dumps(line, ensure_ascii=False)
