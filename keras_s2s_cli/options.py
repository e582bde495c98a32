"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

MODEL = click.argument("model", type=click.Path(exists=True), metavar="MODEL")
PAIRS = click.argument("pairs", type=click.Path(exists=True, dir_okay=False), metavar="PAIRS")
JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON.")
BATCH_SIZE = click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Texts that go through the model at once.",
)


def search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a search, each None where it is not given.

    Args:
        command: the function.

    Returns:
        The same with `beam_width`, `length_penalty` and `max_length`.
    """
    for option in (
        click.option(
            "--max-length",
            type=click.IntRange(1),
            help="The most target tokens, end included [default: the model's].",
        ),
        click.option(
            "--length-penalty",
            type=click.FloatRange(0),
            help="α in score = log P / length**α [default: the model's].",
        ),
        click.option(
            "--beam-width",
            type=click.IntRange(1),
            help="Hypotheses that are kept at each step [default: the model's].",
        ),
    ):
        command = option(command)
    return command
