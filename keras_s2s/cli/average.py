"""`keras-s2s average`: average the weights of several models."""

from __future__ import annotations

import click

from keras_s2s.cli.models import find_model
from keras_s2s.cli.options import OVERWRITE
from keras_s2s.cli.own_modules import IMPORT
from keras_s2s.cli.several_models import MODELS, OUTPUT, check_request, load_alike
from keras_s2s.cli.streams import write_line


@click.command(short_help="Average the weights of several models.")
@MODELS
@OUTPUT
@IMPORT
@OVERWRITE
def average(models: tuple[str, ...], output: str, overwrite: bool) -> None:
    """Write one .keras file with the mean of the weights of MODELs.

    MODELs are .keras files or run folders: checkpoints of one training, or trainings that started
    from the same model (train --init-from). The result is as small and fast as a single model. It
    uses the search settings of the first model.
    """
    check_request("An average", models, output, overwrite)
    load_alike(models)
    from keras_s2s import average_checkpoints

    averaged = average_checkpoints([find_model(path) for path in models])
    averaged.save(output)
    write_line(output)
