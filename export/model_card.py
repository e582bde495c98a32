"""Model card of an export: what it contains and how it was checked."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import math
import platform
from collections.abc import Collection, Mapping
from typing import Any

from keras_s2s.errors import InputError
from keras_s2s.export.card_text import PACKAGES_OF_FORMAT, PACKAGES_OF_MODEL, to_markdown
from keras_s2s.export.parity import Parity
from keras_s2s.export.parts import CARD, READABLE_CARD, TOKENIZERS, VOCABULARIES
from keras_s2s.export.signatures import ALL_SIGNATURES, CONFIDENCES, NOTES
from keras_s2s.models import Ensemble, Searchable
from keras_s2s.translator import Translator

# Longer settings are truncated: a lexicon may have a million entries.
_LONGEST_LIST, _LONGEST_TEXT = 16, 80

_PACKAGES = (*PACKAGES_OF_MODEL, "tensorflow-text", *sum(PACKAGES_OF_FORMAT.values(), ()))


def make_card(
    translator: Translator,
    *,
    file_format: str,
    signatures: Collection[str],
    operations: list[str],
    figures: Mapping[str, float],
    parity: Parity | None = None,
    source_length: int | None = None,
) -> dict[str, Any]:
    """Describe an export.

    Args:
        translator: The exported translator.
        file_format: "SavedModel", or "LiteRT" with the quantization.
        signatures: Names of the signatures.
        operations: Names of the operations that a runtime needs.
        figures: Evaluation metrics that the user passed.
        parity: Result of the comparison with the model, once it has been made.
        source_length: Fixed length of "source_ids", if any.

    Returns:
        The card, as JSON-compatible values.
    """
    return {
        "format": file_format,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "parameters": translator.model.count_params(),
        **_describe_model(translator.model),
        "source": _describe_tokenizer(translator.source),
        "target": _describe_tokenizer(translator.target),
        "search": _describe(translator.search),
        "replace_unknown": translator.replace_unknown,
        "confidence_temperature": translator.temperature,
        "max_source_length": translator.max_source_length,
        "truncate_source": translator.truncate_source,
        "signatures": {
            name: _describe_signature(name, confidence=translator.temperature is not None)
            for name in signatures
        },
        "source_length": source_length,
        "notes": {name: note for name, note in NOTES.items() if name in signatures},
        "operations": operations,
        "parity": None if parity is None else parity._asdict(),
        "figures": dict(figures),
    }


def check_figures(figures: Mapping[str, float]) -> None:
    """Check that the evaluation metrics can be stored in a card.

    Args:
        figures: The value to check.

    Raises:
        TypeError: If it is not a mapping of names to numbers.
        ValueError: If a number is not finite.
    """
    if not isinstance(figures, Mapping):
        raise TypeError(
            f"`figures` must be a dict of names and numbers. Received: figures={figures!r}"
        )
    for name, value in figures.items():
        if (
            not isinstance(name, str)
            or isinstance(value, bool)
            or not isinstance(value, float | int)
        ):
            raise TypeError(
                f"`figures` must be a dict of names and numbers. Received: {name!r}: {value!r}"
            )
        if not math.isfinite(value):
            raise InputError(f"`figures` must be finite. Received: {name!r}: {value!r}")


def card_files(translator: Translator, card: dict[str, Any]) -> dict[str, bytes]:
    """Return the files of an export: its card (JSON and Markdown), vocabularies and tokenizers.

    Args:
        translator: The exported translator.
        card: The card of the export.

    Returns:
        The content of each file, by name.
    """
    files = {CARD: _to_json(card), READABLE_CARD: to_markdown(card).encode()}
    files[VOCABULARIES["source"]] = _to_json(translator.source.vocabulary)
    files[VOCABULARIES["target"]] = _to_json(translator.target.vocabulary)
    rules = {side: getattr(translator, side).text_rules() for side in VOCABULARIES}
    files[TOKENIZERS] = _to_json(rules)
    return files


def _to_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode()


def _versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages."""
    installed = {part.name: part.version for part in importlib.metadata.distributions()}
    found = {name: installed[name] for name in _PACKAGES if name in installed}
    return {"python": platform.python_version(), **found}


def _describe(part: Any) -> dict[str, Any]:
    """Return the settings of a search or layer, and truncate long values."""
    config = {name: _short(value) for name, value in part.get_config().items()}
    for name in ("name", "trainable", "dtype"):
        config.pop(name, None)
    return {"class": type(part).__name__, **config}


def _describe_model(model: Searchable) -> dict[str, Any]:
    """Return the settings of encoder and decoder; for an ensemble, of each member."""
    members = [
        {"encoder": _describe(member.encoder), "decoder": _describe(member.decoder)}
        for member in model.members()
    ]
    if isinstance(model, Ensemble):
        return {"average": model.average, "members": members}
    return members[0]


def _describe_tokenizer(tokenizer: Any) -> dict[str, Any]:
    return {"class": type(tokenizer).__name__, "vocabulary_size": tokenizer.vocabulary_size}


def _describe_signature(name: str, *, confidence: bool) -> dict[str, dict[str, str]]:
    """Return the dtype and shape of each input and output, as in "int32 [batch, length]"."""
    inputs, outputs = ALL_SIGNATURES[name]
    if confidence and not name.startswith("score"):
        outputs = (*outputs, CONFIDENCES)
    return {
        side: {
            spec.name: f"{spec.dtype.name} [{', '.join(_axes(spec, side)[: spec.shape.rank])}]"
            for spec in specs
        }
        for side, specs in (("inputs", inputs), ("outputs", outputs))
    }


def _axes(spec: Any, side: str) -> list[str]:
    """Return the names of the axes of an input or output."""
    is_ids = side == "inputs" and spec.shape.rank == 2
    return ["batch", "length"] if is_ids else ["batch", "num_hypotheses", "length"]


def _short(value: Any) -> Any:
    """Return a JSON-compatible setting; truncate long values and the text of objects."""
    plain = value is None or isinstance(value, bool | int | float | str)
    if not plain and isinstance(value, list | tuple) and len(value) <= _LONGEST_LIST:
        return [_short(item) for item in value]
    if plain and len(str(value)) <= _LONGEST_TEXT:
        return value
    text = str(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
