"""`keras-s2s export`: export a model for TF Serving, LiteRT or ONNX Runtime."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from keras_s2s.cli.loading import load_translator
from keras_s2s.cli.options import IMPORT, OVERWRITE, check_free, option
from keras_s2s.cli.paths import TRANSLATORS, ExistingPath
from keras_s2s.cli.run_folder import SETTINGS_FILE
from keras_s2s.cli.source_lines import read_sources
from keras_s2s.cli.streams import hushed, warn, write_line
from keras_s2s.errors import InputError, check_package
from keras_s2s.export.versions import is_version

_FORMATS = {".tflite": "litert", ".onnx": "onnx"}
_TEXT_SIGNATURES = ("serving_default", "greedy", "score", "options")
_ID_SIGNATURES = ("ids", "greedy_ids", "score_ids")
_ON_IDS = "ids, greedy_ids or score_ids"


@click.command(short_help="Export a model for TF Serving, LiteRT or ONNX Runtime.")
@click.argument("model", type=ExistingPath(TRANSLATORS, folder=True), metavar="MODEL")
@click.argument("out", type=click.Path(), metavar="OUT")
@option(
    "--format",
    "file_format",
    type=click.Choice(["saved_model", "litert", "onnx"]),
    help="Format of the export.",
    show_default="litert if OUT ends in .tflite, onnx if it ends in .onnx, otherwise saved_model",
)
@option(
    "--quantization",
    type=click.Choice(["float16", "int8"]),
    help="Quantize the weights; litert supports both, onnx int8 only.",
    show_default="float32 weights",
)
@option(
    "--version",
    type=click.IntRange(1),
    help="Version number of the SavedModel, which is also the name of its subfolder in OUT.",
    show_default="the next number",
)
@option(
    "--probes",
    type=ExistingPath("a file with one source per line"),
    metavar="FILE",
    help="File with one source per line. The export is checked with these sources and with "
    "generated texts.",
)
@option(
    "--figures",
    type=ExistingPath("a JSON file of names and numbers"),
    metavar="FILE",
    help="JSON file with names and numbers to add to the model card, such as figures.json in a run "
    "folder.",
)
@option(
    "--warmup-length",
    type=click.IntRange(1),
    multiple=True,
    help="Add a warm-up request with sources of this many tokens, without eos. TF Serving runs it "
    "while it loads the model. May be given several times. For saved_model only.",
)
@option(
    "--warmup-batch-size",
    type=click.IntRange(1),
    multiple=True,
    help="Number of sources in each warm-up request. May be given several times.",
    show_default="1",
)
@IMPORT
@option(
    "--signature",
    "signatures",
    type=click.Choice([*_TEXT_SIGNATURES, *_ID_SIGNATURES]),
    multiple=True,
    help="Signature (function that clients call) to export instead of the default ones. May be "
    f"given several times. An export with only {_ON_IDS} does not need "
    "tensorflow-text; clients tokenize with the files that `inspect --vocabulary` writes.",
)
@option(
    "--source-length",
    type=click.IntRange(1),
    help="Fixed source length, in tokens, for the signatures that take ids. For runtimes that "
    f"cannot resize inputs. Requires --signature {_ON_IDS}, or --format onnx. The comparison with "
    "the model leaves out longer sources.",
)
@OVERWRITE
def export(
    model: str,
    out: str,
    file_format: str | None,
    quantization: str | None,
    version: int | None,
    probes: str | None,
    figures: str | None,
    warmup_length: tuple[int, ...],
    warmup_batch_size: tuple[int, ...],
    signatures: tuple[str, ...],
    source_length: int | None,
    overwrite: bool,
) -> None:
    """Export MODEL, a .keras file or a run folder, for inference.

    OUT is a folder of SavedModel versions for TF Serving, a .tflite file for LiteRT on devices, or
    an .onnx file for ONNX Runtime. The export is compared with the model before it is moved to OUT.
    Prints the path of the export.
    """
    file_format = file_format or _format_of(out)
    _check_options(file_format, quantization, version, signatures, warmup_length, warmup_batch_size)
    _check_lengths_and_path(file_format, out, signatures, source_length, overwrite)
    if file_format == "saved_model":
        _check_served(out)
    else:
        check_free("OUT", out, overwrite)
    given: dict[str, Any] = {"figures": _read_figures(figures), "source_length": source_length}
    given["probes"] = [] if probes is None else read_sources(probes)
    if file_format != "onnx":
        given["signatures"] = signatures or None
    elif signatures:
        given["signature"] = signatures[0]
    if file_format != "saved_model":
        given["quantization"] = quantization
    translator = load_translator(model)
    from keras_s2s import export as exports

    if translator.replace_unknown and _takes_ids(file_format, signatures):
        warn(
            "the export takes ids, not text, so it cannot copy source tokens that the target "
            "vocabulary lacks: where the model copies one, the output is id 1 (unk), "
            'written as "⁇"'
        )
    with hushed("Exporting"):
        if file_format == "saved_model":
            given["version"] = version
            if warmup_length:
                sizes = warmup_batch_size or (1,)
                given["warmup"] = exports.Warmup(batch_sizes=sizes, lengths=warmup_length)
        path = getattr(exports, file_format)(translator, out, **given)
    write_line(str(path))


def _check_options(
    file_format: str,
    quantization: str | None,
    version: int | None,
    signatures: tuple[str, ...],
    warmup_length: tuple[int, ...],
    warmup_batch_size: tuple[int, ...],
) -> None:
    """Check that the options fit the format, and that the packages for it are installed."""
    if file_format == "saved_model" and quantization is not None:
        raise click.UsageError("--quantization requires --format litert or onnx.")
    on_text = not set(signatures) <= set(_ID_SIGNATURES)
    if file_format == "onnx" and (quantization == "float16" or len(signatures) > 1 or on_text):
        raise click.UsageError(
            f"--format onnx supports only --quantization int8 and a single --signature: {_ON_IDS}."
        )
    if file_format != "saved_model" and version is not None:
        raise click.UsageError("--version requires --format saved_model.")
    if file_format != "saved_model" and warmup_length:
        raise click.UsageError("--warmup-length requires --format saved_model.")
    if warmup_batch_size and not warmup_length:
        raise click.UsageError("--warmup-batch-size requires --warmup-length.")
    if file_format == "litert":
        check_package("ai_edge_litert")
    elif file_format == "onnx":
        for package in ("onnx", "onnxruntime", "tf2onnx"):
            check_package(package)
    elif warmup_length:
        check_package("tensorflow_serving")


def _check_lengths_and_path(
    file_format: str,
    out: str,
    signatures: tuple[str, ...],
    source_length: int | None,
    overwrite: bool,
) -> None:
    """Check that the source length and the path fit the format and the signatures."""
    if source_length is not None and not _takes_ids(file_format, signatures):
        raise click.UsageError(
            f"--source-length requires signatures that take ids: --signature {_ON_IDS}."
        )
    if file_format == "saved_model" and overwrite:
        raise click.UsageError(
            "--overwrite requires --format litert or onnx. A SavedModel becomes a new version, and "
            "versions are never overwritten."
        )
    for suffix, name in _FORMATS.items():
        if file_format == name and not out.endswith(suffix):
            raise click.UsageError(
                f"OUT {out}: --format {name} requires a name that ends in {suffix}."
            )


def _takes_ids(file_format: str, signatures: tuple[str, ...]) -> bool:
    """Return whether an export takes only ids, no text."""
    return file_format == "onnx" or (bool(signatures) and set(signatures) <= set(_ID_SIGNATURES))


def _format_of(out: str) -> str:
    """Return the format for a path. The name of a folder may contain a dot, as in g2p.v2."""
    suffix = os.path.splitext(out.rstrip(os.sep))[1]
    is_suffix = suffix[1:].isalpha() or suffix == ".h5"
    if suffix not in _FORMATS and is_suffix and not os.path.isdir(out):
        raise click.UsageError(
            f"{out}: unknown suffix {suffix}. Use {' or '.join(_FORMATS)}, or --format saved_model "
            "for a folder of this name."
        )
    return _FORMATS.get(suffix, "saved_model")


def _check_served(folder: str) -> None:
    """Check that a folder is new, empty, or one of SavedModel versions."""
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    if SETTINGS_FILE in names:
        raise InputError(
            f"{folder}: a run folder. Expected: a folder for SavedModel versions, such as "
            f"{os.path.join(folder, 'serving')}"
        )
    shown = [name for name in names if not name.startswith(".")]
    if shown and not any(map(is_version, shown)):
        raise InputError(
            f"{folder}: the folder must be new or empty, or contain SavedModel versions. It "
            f"contains {shown[0]!r}"
        )


def _read_figures(path: str | None) -> dict[str, float]:
    """Read the figures for the model card. Also accepts the output of `evaluate --json`."""
    if path is None:
        return {}
    with open(path, encoding="utf-8") as file:
        try:
            content = json.load(file)
        except ValueError as error:
            raise InputError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(
            f'{path}: must be a JSON object of names and numbers, such as {{"wer": 0.25}}'
        )
    values = {
        name: value["value"] if isinstance(value, dict) and "value" in value else value
        for name, value in content.items()
    }
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
