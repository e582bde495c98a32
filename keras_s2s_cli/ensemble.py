"""`keras-s2s ensemble`: several trained models as one."""

from __future__ import annotations

from typing import Any

import click

from keras_s2s_cli.models import load_translator
from keras_s2s_cli.options import OVERWRITE, check_free
from keras_s2s_cli.streams import write_line


@click.command(short_help="Make one model of several.")
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True), metavar="MODEL...")
@click.option(
    "--output",
    required=True,
    type=click.Path(dir_okay=False, writable=True),
    help="The .keras file to write.",
)
@click.option(
    "--average",
    type=click.Choice(["probabilities", "log_probabilities"]),
    default="probabilities",
    show_default=True,
    help="Of which the mean is taken at each step.",
)
@OVERWRITE
def ensemble(models: tuple[str, ...], output: str, average: str, overwrite: bool) -> None:
    """Write one .keras file that searches MODELs, .keras files or folders of runs, together.

    They must have been trained on the same vocabularies. The search is that of the first.
    """
    if len(models) < 2:
        raise click.UsageError("An ensemble needs two models or more.")
    if not output.endswith(".keras"):
        raise click.UsageError(f"--output must end in .keras. Received: {output}")
    check_free(output, overwrite)
    translators = [load_translator(path) for path in models]
    first = translators[0]
    for path, other in zip(models[1:], translators[1:], strict=True):
        _check_same_tokens(models[0], first, path, other)
    from keras_s2s import Ensemble, Translator

    members = [member for translator in translators for member in translator.model.members()]
    together = Ensemble(members, average=average)
    Translator(
        together,
        first.source,
        first.target,
        search=first.search,
        replace_unknown=first.replace_unknown,
    ).save(output)
    write_line(output)


def _check_same_tokens(first_path: str, first: Any, path: str, other: Any) -> None:
    """Refuse a model whose ids mean something else."""
    for side in ("source", "target"):
        if _identity(getattr(first, side)) != _identity(getattr(other, side)):
            raise ValueError(
                f"{path}: its {side} tokenizer is not that of {first_path}. Expected: models that "
                "were trained on the same vocabularies"
            )


def _identity(tokenizer: Any) -> tuple[Any, ...]:
    """Give all by which two tokenizers can differ."""
    return type(tokenizer), tokenizer.vocabulary, getattr(tokenizer, "proto", None)
