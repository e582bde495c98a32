"""`keras-s2s inspect`: describe a model file."""

from __future__ import annotations

import datetime
import json
import os
from typing import Any

import click

from keras_s2s.cli.loading import load_keras
from keras_s2s.cli.model_paths import find_model, is_export
from keras_s2s.cli.options import IMPORT, JSON, option
from keras_s2s.cli.paths import MODELS, ExistingPath, OutputFolder
from keras_s2s.cli.streams import write_line
from keras_s2s.errors import InputError


@click.command("inspect", short_help="Describe a model or export.")
@click.argument("path", type=ExistingPath(MODELS, folder=True), metavar="PATH")
@IMPORT
@JSON
@option(
    "--vocabulary",
    type=OutputFolder("a folder to write the files to"),
    metavar="FOLDER",
    help="Write the vocabularies and the tokenizer rules of an export to FOLDER instead, for "
    "clients that send ids. Existing files are replaced.",
)
def inspect(path: str, as_json: bool, vocabulary: str | None) -> None:
    """Print the model card: tokenizers, layers, search and, for an export, signatures and checks.

    PATH is a .keras file, a run folder, a SavedModel folder, or a .tflite or .onnx file.
    """
    found = find_model(path)
    if vocabulary is not None:
        if not is_export(found):
            raise InputError(
                f"{found}: not an export. Expected with --vocabulary: a SavedModel folder, or a "
                ".tflite or .onnx file"
            )
        from keras_s2s.export import vocabularies

        vocabularies(found, vocabulary)
        write_line(vocabulary)
        return
    if is_export(found):
        from keras_s2s.export import read_card

        card = read_card(found)
    else:
        card = _describe_keras(found)
    write_line(json.dumps(card, ensure_ascii=False, indent=1) if as_json else _to_text(card))


def _describe_keras(path: str) -> dict[str, Any]:
    """Return a card for a `.keras` file, as for an export."""
    loaded = load_keras(path)
    import keras_s2s
    from keras_s2s.export.model_card import make_card

    if not isinstance(loaded, keras_s2s.Translator):
        return {"format": "Keras", "model": type(loaded).__name__, "parameters": _count(loaded)}
    card = make_card(loaded, file_format="Keras", signatures=[], operations=[], figures={})
    written = datetime.datetime.fromtimestamp(os.path.getmtime(path), datetime.UTC)
    return {**card, "created": written.isoformat(timespec="seconds")}


def _count(model: Any) -> int:
    return int(model.count_params())


def _to_text(card: dict[str, Any]) -> str:
    """Format a card as readable text."""
    if "model" in card:
        return (
            f"{card['model']}, a bare model without tokenizers, {card['parameters']:,} parameters"
        )
    from keras_s2s.export.card_text import to_markdown

    return to_markdown(card).rstrip("\n")
