"""`keras-s2s ensemble`: combine several trained models into one."""

from __future__ import annotations

import click

from keras_s2s.cli.options import OVERWRITE
from keras_s2s.cli.own_modules import IMPORT
from keras_s2s.cli.several_models import MODELS, OUTPUT, check_request, load_alike
from keras_s2s.cli.streams import write_line


@click.command(short_help="Combine several models into an ensemble.")
@MODELS
@OUTPUT
@click.option(
    "--average",
    type=click.Choice(["probabilities", "log_probabilities"]),
    default="probabilities",
    show_default=True,
    help="Quantity to average at each step.",
)
@IMPORT
@OVERWRITE
def ensemble(models: tuple[str, ...], output: str, average: str, overwrite: bool) -> None:
    """Write one .keras file that decodes with MODELs as an ensemble.

    MODELs are .keras files or run folders. They must have been trained with the same vocabularies.
    The ensemble uses the search settings of the first model.
    """
    check_request("An ensemble", models, output, overwrite)
    translators = load_alike(models)
    from keras_s2s import Ensemble, Translator

    first = translators[0]
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
