"""`keras-s2s average` and `keras-s2s ensemble`: make one model from several."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import click

from keras_s2s.cli.loading import load_translator
from keras_s2s.cli.model_paths import find_translator, settings_of_run
from keras_s2s.cli.options import IMPORT, OVERWRITE, check_free, import_modules, option
from keras_s2s.cli.paths import TRANSLATORS, ExistingPath, OutputFile
from keras_s2s.cli.streams import import_package, warn, write_line
from keras_s2s.errors import InputError

_MODELS = click.argument(
    "models",
    nargs=-1,
    required=True,
    type=ExistingPath(TRANSLATORS, folder=True),
    metavar="MODEL...",
)
_OUTPUT = option(
    "--output",
    required=True,
    type=OutputFile("a .keras file to write", (".keras",)),
    metavar="FILE",
    help="Path of the .keras file to write.",
)


@click.command(
    short_help="Average the weights of several models.", options_metavar="--output FILE [OPTIONS]"
)
@_MODELS
@_OUTPUT
@IMPORT
@OVERWRITE
def average(models: tuple[str, ...], output: str, overwrite: bool) -> None:
    """Average the weights of MODELs and write the result to one .keras file.

    MODELs are .keras files or run folders: checkpoints of one training run, or of runs that started
    from the same model (train --init-from). The result has the size and speed of a single model,
    and the search settings of the first one. Prints the path of the file.
    """
    _check_request("An average", models, output, overwrite)
    import_package()
    import_modules(name for path in models for name in settings_of_run(path).get("import") or ())
    from keras_s2s import average_checkpoints

    averaged = average_checkpoints([find_translator(path) for path in models])
    averaged.save(output)
    _report_confidences(averaged)
    write_line(output)


@click.command(
    short_help="Combine several models into an ensemble.", options_metavar="--output FILE [OPTIONS]"
)
@_MODELS
@_OUTPUT
@option(
    "--average",
    type=click.Choice(["probabilities", "log_probabilities"]),
    default="probabilities",
    show_default=True,
    help="What to average at each step: probabilities or their logarithms.",
)
@IMPORT
@OVERWRITE
def ensemble(models: tuple[str, ...], output: str, average: str, overwrite: bool) -> None:
    """Combine MODELs into an ensemble and write it to one .keras file.

    MODELs are .keras files or run folders. They must have the same vocabularies. The ensemble uses
    the search settings of the first one. If a MODEL is an ensemble, each of its models counts as
    much as any other. Prints the path of the file.
    """
    _check_request("An ensemble", models, output, overwrite)
    _check_distinct(models)
    translators = load_alike(models)
    for path, translator in zip(models, translators, strict=True):
        inner = getattr(translator.model, "average", average)
        if inner != average:
            raise InputError(
                f"{path}: an ensemble that averages {inner}. Received: --average {average}. Add "
                f"--average {inner}, or combine its models"
            )
    combined = combine(translators, average)
    combined.save(output)
    _report_confidences(combined)
    write_line(output)


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
    from keras_s2s.tokenizers.tokenizer import have_same_ids  # imports TensorFlow

    for path, other in zip(models[1:], translators[1:], strict=True):
        for side in ("source", "target"):
            if not have_same_ids(getattr(translators[0], side), getattr(other, side)):
                raise InputError(
                    f"{path}: its {side} tokenizer differs from that of {models[0]}. Expected: "
                    "models trained with the same vocabularies"
                )
    return translators


def combine(translators: Sequence[Any], average: str = "probabilities") -> Any:
    """Combine translators into an ensemble with the search settings and limits of the first.

    The temperature of the confidences is reset to 1, because it was fitted to a single model.

    Args:
        translators: Sequence of `Translator`s with the same tokenizers.
        average: "probabilities" or "log_probabilities". Quantity to average at each step. Defaults
            to "probabilities".

    Returns:
        The `Translator` of the ensemble.
    """
    from keras_s2s import Ensemble, Translator

    first = translators[0]
    members = [member for translator in translators for member in translator.model.members()]
    return Translator(
        Ensemble(members, average=average),
        first.source,
        first.target,
        search=first.search,
        replace_unknown=first.replace_unknown,
        confidence=first.temperature is not None,
        max_source_length=first.max_source_length,
        truncate_source=first.truncate_source,
    )


def _report_confidences(model: Any) -> None:
    """Warn that the confidences of a combined model are not calibrated."""
    if getattr(model, "temperature", None) is not None:
        warn(
            "the confidences of the new model are not calibrated; in Python, "
            "`Translator.calibrate` calibrates them on validation pairs"
        )


def _check_request(what: str, models: Sequence[str], output: str, overwrite: bool) -> None:
    """Check the arguments before loading anything.

    Args:
        what: Name of the result for error messages, such as "An ensemble".
        models: Paths of the models.
        output: Path of the file to write.
        overwrite: Boolean. Whether an existing file may be replaced.

    Raises:
        click.UsageError: If there are fewer than two models.
        FileExistsError: If the file exists and `overwrite` is false.
    """
    if len(models) < 2:
        raise click.UsageError(f"{what} needs at least two models.")
    check_free("--output", output, overwrite)
    for path in models:
        find_translator(path)


def _check_distinct(models: Sequence[str]) -> None:
    """Check that no model is given twice, by its file or its run folder."""
    seen: dict[str, str] = {}
    for path in models:
        file = os.path.realpath(find_translator(path))
        if file in seen:
            raise InputError(f"{path}: the same model as {seen[file]}. Expected: different models")
        seen[file] = path
