"""Shared code of commands that combine several models."""

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
    help="Path of the .keras file to write.",
)


def check_request(what: str, models: Sequence[str], output: str, overwrite: bool) -> None:
    """Check the arguments before loading anything.

    Args:
        what: Name of the result for error messages, such as "An ensemble".
        models: Paths of the models.
        output: Path of the file to write.
        overwrite: Boolean. Whether an existing file may be replaced.

    Raises:
        click.UsageError: If there are fewer than two models, or `output` does not end in `.keras`.
        FileExistsError: If the file exists and `overwrite` is false.
    """
    if len(models) < 2:
        raise click.UsageError(f"{what} needs two models or more.")
    if not output.endswith(".keras"):
        raise click.UsageError(f"--output must end in .keras. Received: {output}")
    check_free(output, overwrite)


def load_alike(models: Sequence[str]) -> list[Any]:
    """Load translators and check that their tokenizers are the same.

    Args:
        models: Paths of `.keras` files or run folders.

    Returns:
        A list of `Translator`s.

    Raises:
        ValueError: If a file is not a translator, or its tokenizers differ from those of the first.
    """
    translators = [load_translator(path) for path in models]
    for path, other in zip(models[1:], translators[1:], strict=True):
        for side in ("source", "target"):
            if _identity(getattr(translators[0], side)) != _identity(getattr(other, side)):
                raise InputError(
                    f"{path}: its {side} tokenizer differs from that of {models[0]}. Expected: "
                    "models trained with the same vocabularies"
                )
    return translators


def _identity(tokenizer: Any) -> tuple[Any, ...]:
    """Return everything that can distinguish two tokenizers."""
    return type(tokenizer), tokenizer.vocabulary, getattr(tokenizer, "proto", None)
