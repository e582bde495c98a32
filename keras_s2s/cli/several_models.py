"""What is made of several models: that they go together, and where it is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from keras_s2s.cli.models import load_translator
from keras_s2s.cli.options import check_free
from keras_s2s.errors import InputError

MODELS = click.argument(
    "models", nargs=-1, required=True, type=click.Path(exists=True), metavar="MODEL..."
)
OUTPUT = click.option(
    "--output",
    required=True,
    type=click.Path(dir_okay=False),
    help="The .keras file to write.",
)


def check_request(what: str, models: Sequence[str], output: str, overwrite: bool) -> None:
    """Refuse, before anything is loaded, what cannot be.

    Args:
        what: what is to be made: "An ensemble".
        models: the paths of the models.
        output: the path of the file to write.
        overwrite: whether it may be replaced.

    Raises:
        click.UsageError: if there are too few models, or the file has another ending.
        FileExistsError: if there is a file, and it may not be replaced.
    """
    if len(models) < 2:
        raise click.UsageError(f"{what} needs two models or more.")
    if not output.endswith(".keras"):
        raise click.UsageError(f"--output must end in .keras. Received: {output}")
    check_free(output, overwrite)


def load_alike(models: Sequence[str]) -> list[Any]:
    """Load translators whose ids mean the same.

    Args:
        models: the paths of `.keras` files or folders of runs.

    Returns:
        The translators.

    Raises:
        ValueError: if one has other vocabularies than the first, or is something else.
    """
    translators = [load_translator(path) for path in models]
    for path, other in zip(models[1:], translators[1:], strict=True):
        for side in ("source", "target"):
            if _identity(getattr(translators[0], side)) != _identity(getattr(other, side)):
                raise InputError(
                    f"{path}: its {side} tokenizer is not that of {models[0]}. Expected: models "
                    "that were trained on the same vocabularies"
                )
    return translators


def _identity(tokenizer: Any) -> tuple[Any, ...]:
    """Give all by which two tokenizers can differ."""
    return type(tokenizer), tokenizer.vocabulary, getattr(tokenizer, "proto", None)
