"""`keras-s2s draw`: plot attention, searches, learning curves and errors."""

from __future__ import annotations

import os
from typing import Any

import click

from keras_s2s.cli.features import features_column_of, read_checked_pairs
from keras_s2s.cli.loading import load_keras_model, load_model
from keras_s2s.cli.model_paths import settings_of_run
from keras_s2s.cli.options import (
    BATCH_SIZE,
    FEATURES_COLUMN,
    IMPORT,
    MODEL,
    PAIRS,
    option,
    search_options,
)
from keras_s2s.cli.paths import ExistingPath, OutputFile, check_output
from keras_s2s.cli.run_folder import CURVE
from keras_s2s.cli.streams import import_package
from keras_s2s.errors import check_package
from keras_s2s.evaluation import group_references


def _check_picture(ctx: click.Context, parameter: click.Parameter, path: str) -> str:
    """Check that the picture can be written before computing anything."""
    check_package("matplotlib")
    check_output("PICTURE", path)
    return path


_PICTURE = click.argument(
    "picture",
    type=OutputFile("a .png or .svg file to write", (".png", ".svg")),
    metavar="PICTURE",
    callback=_check_picture,
)
_TOKENS = click.Choice(["words", "characters"])


@click.group(short_help="Plot attention, searches, learning curves or errors.")
def draw() -> None:
    """Draw a plot and save it as PNG or SVG, depending on the file suffix. Needs matplotlib.

    An existing file is replaced.
    """


@draw.command(short_help="Plot attention weights.")
@MODEL
@click.argument("text")
@_PICTURE
@IMPORT
@search_options
def attention(model: str, text: str, picture: str, **options: Any) -> None:
    """Draw the attention weights for the best output of TEXT."""
    loaded = load_keras_model(model, **options)
    from keras_s2s.plots import attention as draw_attention

    draw_attention(loaded.translator, text, search=loaded.settings, path=picture)


@draw.command(short_help="Plot a beam search tree.")
@MODEL
@click.argument("text")
@_PICTURE
@IMPORT
@search_options
def search(model: str, text: str, picture: str, **options: Any) -> None:
    """Draw the beam search tree for TEXT, with extended, finished, pruned and best hypotheses."""
    loaded = load_keras_model(model, **options)
    from keras_s2s.plots import beam_search

    beam_search(loaded.translator, text, search=loaded.settings, path=picture)


@draw.command(short_help="Plot learning curves.")
@click.argument(
    "curve", type=ExistingPath("a run folder or a CSV file", folder=True), metavar="RUN"
)
@_PICTURE
def curves(curve: str, picture: str) -> None:
    """Draw the losses and metrics of each epoch. RUN is a run folder or a CSV file.

    WER is the share of outputs with at least one error, TER the number of token errors per target
    token.
    """
    path = os.path.join(curve, CURVE) if os.path.isdir(curve) else curve
    if not os.path.isfile(path):
        first = os.path.join(curve, "model-1")
        hint = f"; each model has its own, as in {first}" if os.path.isdir(first) else ""
        raise FileNotFoundError(f"{curve}: there is no {CURVE} in this folder{hint}")
    import_package()
    from keras_s2s.plots import learning_curves

    learning_curves(path, path=picture)


@draw.command(short_help="Plot error rates by source length.")
@MODEL
@PAIRS
@FEATURES_COLUMN
@_PICTURE
@option(
    "--source-tokens",
    type=_TOKENS,
    default="characters",
    show_default=True,
    help="Unit of the source lengths.",
)
@option(
    "--target-tokens",
    type=_TOKENS,
    help="Unit of the token error rate.",
    show_default="as in evaluate",
)
@IMPORT
@search_options
@BATCH_SIZE
def errors(
    model: str,
    pairs: str,
    features_column: int | None,
    picture: str,
    source_tokens: str,
    target_tokens: str | None,
    batch_size: int,
    **options: Any,
) -> None:
    """Draw the error rates of a model on PAIRS by source length.

    WER is the share of outputs with at least one error, TER the number of token errors per target
    token. PAIRS is a file of source<TAB>target lines.
    """
    run = settings_of_run(model)
    column = features_column_of(features_column, run)
    accepted = group_references(read_checked_pairs(pairs, column))
    sources = list(accepted)
    answering = load_model(model, **options)
    from keras_s2s.plots import errors_by_length

    errors_by_length(
        sources,
        answering.translate(sources, batch_size),
        list(accepted.values()),
        source_tokens=source_tokens,
        target_tokens=target_tokens or run.get("tokens") or answering.target_unit(),
        path=picture,
    )
