"""Options shared by several commands."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from keras_s2s.cli.setting_table import STOPPING
from keras_s2s.files import check_writable

STOPPING_HELP = (
    "When a beam search stops: bound (no better output is possible), finished (as many outputs as "
    "the beam width are finished) or length (at the maximum length)."
)
_OF_MODEL = "the model's"
MODEL = click.argument("model", type=click.Path(exists=True), metavar="MODEL")
PAIRS = click.argument("pairs", type=click.Path(exists=True, dir_okay=False), metavar="PAIRS")
FEATURES_COLUMN = click.option(
    "--features-column",
    type=click.IntRange(1, 3),
    help="Column with features, if PAIRS has three columns: 2 for lemma<TAB>features<TAB>form.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON.")
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace existing files.")
BATCH_SIZE = click.option(
    "--batch-size",
    type=click.IntRange(1, 1 << 20),
    default=64,
    show_default=True,
    help="Number of texts per batch.",
)


def check_free(path: str, overwrite: bool) -> None:
    """Check before the work starts that an output file can be written.

    Args:
        path: Path of the file to write.
        overwrite: Boolean. Whether an existing file may be replaced.

    Raises:
        FileExistsError: If the file exists and `overwrite` is false.
        OSError: If the folder does not exist or is not writable.
    """
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(f"{path}: the file already exists; use --overwrite to replace it")
    check_writable(path)


def search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the search options to a command. Each defaults to `None`.

    Args:
        command: The command function.

    Returns:
        The function with the options `beam_width`, `length_penalty`, `max_length` and `stopping`.
    """
    for option in (
        click.option(
            "--stopping", type=click.Choice(STOPPING), show_default=_OF_MODEL, help=STOPPING_HELP
        ),
        click.option(
            "--max-length",
            type=click.IntRange(1, 1 << 20),
            help="Maximum number of target tokens, including eos.",
            show_default=_OF_MODEL,
        ),
        click.option(
            "--length-penalty",
            type=click.FloatRange(0),
            help="Length penalty α in score = log P / length**α.",
            show_default=_OF_MODEL,
        ),
        click.option(
            "--beam-width",
            type=click.IntRange(1, 1 << 16),
            help="Number of hypotheses kept at each step.",
            show_default=_OF_MODEL,
        ),
    ):
        command = option(command)
    return command
