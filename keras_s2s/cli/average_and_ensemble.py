"""`keras-s2s average` and `keras-s2s ensemble`: make one model from several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from keras_s2s.cli.model_paths import find_translator, settings_of_run
from keras_s2s.cli.options import IMPORT, OVERWRITE, check_free, import_modules, option
from keras_s2s.cli.paths import TRANSLATORS, ExistingPath, OutputFile
from keras_s2s.cli.streams import StatusLine, import_package, warn, write_line

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
    paths = _check_request("An average", models, output, overwrite)
    _import_what_they_need(paths)
    from keras_s2s import average_checkpoints

    _write(average_checkpoints(paths), output)


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
    paths = _check_request("An ensemble", models, output, overwrite)
    _import_what_they_need(paths)
    from keras_s2s import ensemble_checkpoints

    with StatusLine("Loading the models"):
        combined = ensemble_checkpoints(paths, average)
    _write(combined, output)


def _import_what_they_need(paths: Sequence[str]) -> None:
    """Import TensorFlow, and the modules that the runs of the models import."""
    import_package()
    import_modules(name for path in paths for name in settings_of_run(path).get("import") or ())


def _write(model: Any, output: str) -> None:
    """Write a combined model, warn if its confidences are wrong, and print the path of its file."""
    model.save(output)
    if getattr(model, "temperature", None) is not None:
        warn(
            "the confidences of the new model are not calibrated; in Python, "
            "`Translator.calibrate` calibrates them on validation pairs"
        )
    write_line(output)


def _check_request(what: str, models: Sequence[str], output: str, overwrite: bool) -> list[str]:
    """Check the arguments before loading anything, and find the models.

    Args:
        what: Name of the result for error messages, such as "An ensemble".
        models: Paths of the models.
        output: Path of the file to write.
        overwrite: Boolean. Whether an existing file may be replaced.

    Returns:
        The path of the `.keras` file of each model.

    Raises:
        click.UsageError: If there are fewer than two models.
        FileExistsError: If the file exists and `overwrite` is false.
    """
    if len(models) < 2:
        raise click.UsageError(f"{what} needs at least two models.")
    check_free("--output", output, overwrite)
    return [find_translator(path) for path in models]
