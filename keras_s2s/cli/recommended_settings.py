"""Settings recommended for the training pairs, chosen before TensorFlow is imported."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import click

from keras_s2s.cli.setting import name_as_given, option_name, value_as_given
from keras_s2s.cli.settings_of_models import model_sizes, source_tokenizer_of
from keras_s2s.cli.training_pairs import TrainingPairs
from keras_s2s.recommended import FITTED, fit_settings

_SUBWORDS = 8_000  # default vocabulary size of a subword tokenizer
_LARGEST_VOCABULARY = 1_000  # of targets with monotonic attention, which is slow with more


def fit_to_pairs(settings: SimpleNamespace, pairs: TrainingPairs) -> None:
    """Fill in missing settings from the training pairs, and print each with its reason.

    A model to start from determines the sizes, the attention and copying.

    Args:
        settings: Namespace of all settings. Modified in place.
        pairs: The `TrainingPairs`.
    """
    missing = [name for name in FITTED if getattr(settings, name) is None]
    if not missing:
        return
    measured = pairs.statistics
    given = {name: getattr(settings, name) for name in FITTED if name not in missing}
    reasons = {}
    if "source_tokenizer" in missing:
        kind, reasons["source_tokenizer"] = _source_tokenizer(settings, pairs)
        if kind is None:  # a class of the user, which is reported when the model is loaded
            missing.remove("source_tokenizer")
        else:
            given["source_tokenizer"] = kind
    if settings.batch_tokens:
        given["batch_size"] = max(1, int(settings.batch_tokens / max(measured.mean_length, 1)))
        reasons["batch_size"] = f"ignored: {name_as_given('batch_tokens')} limits the batches"
    if settings.teacher is not None:
        reasons["label_smoothing"] = f"ignored: {name_as_given('teacher')} predicts the targets"
    if settings.init_from is not None:
        taken = model_sizes(settings.init_from)
        given = taken | given
        reasons |= dict.fromkeys(taken, f"that of {settings.init_from}")
    reason = _reason_for_luong(settings, pairs)
    if reason and "attention" not in given:
        given["attention"], reasons["attention"] = "luong", reason
    if given.get("attention") == "none":
        given["attention"] = None
    fitted = fit_settings(measured, **given)
    if fitted.copy and "copy" in missing and not pairs.can_copy:
        fitted = dataclasses.replace(fitted, copy=False)
        reasons["copy"] = "no source token is spelled like a target token"
    click.echo(
        f"Recommended settings (mean length of the longer side: {measured.mean_length:.1f} "
        f"characters). To override one, use its option, such as {option_name(missing[0])}:"
    )
    for name in missing:
        value = getattr(fitted, name)
        value = "none" if value is None else value  # no attention
        setattr(settings, name, value)
        click.echo(f"  {name:16s} {value!s:>9s}  {reasons.get(name, fitted.reasons[name])}")


def tokenizer_kind(settings: SimpleNamespace, side: str) -> str | None:
    """Return the name of the tokenizer of one side.

    Args:
        settings: Namespace of all settings.
        side: "source" or "target".

    Returns:
        The name, or `None` if it depends on the pairs. If the lines have features, the source
        tokenizer is "features" where it is not given or is "char".
    """
    kind: str | None = getattr(settings, f"{side}_tokenizer")
    if side == "source" and kind in (None, "char") and settings.features_column:
        return "features"
    return kind


def _source_tokenizer(settings: SimpleNamespace, pairs: TrainingPairs) -> tuple[str | None, str]:
    """Return the source tokenizer, and the reason for it; `None` if its class is unknown."""
    model = settings.init_from or settings.teacher
    if model is not None:
        return source_tokenizer_of(model), f"that of {model}"
    kind = tokenizer_kind(settings, "source")
    if kind is not None:
        column = value_as_given("features_column", settings.features_column)
        return kind, f"the files have a column of features ({column})"
    fitted = fit_settings(pairs.statistics)
    if settings.copy and fitted.source_tokenizer == "decomposed":
        reason = f"with {name_as_given('copy')}, source characters are spelled as in the target"
        return "char", reason
    return fitted.source_tokenizer, fitted.reasons["source_tokenizer"]


def _reason_for_luong(settings: SimpleNamespace, pairs: TrainingPairs) -> str | None:
    """Return why monotonic attention does not suit the settings, or None."""
    if settings.input_feeding:
        return f"{name_as_given('input_feeding')} needs it"
    limit = settings.target_vocabulary_size
    size = pairs.target_tokens if limit is None else min(limit, pairs.target_tokens)
    if settings.target_tokenizer == "subword":
        size = _SUBWORDS if limit is None else limit
    if size > _LARGEST_VOCABULARY:
        return f"up to {size:,} target tokens: monotonic attention is for characters and phones"
    return None
