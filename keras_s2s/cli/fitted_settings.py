"""Settings that are derived from the training pairs unless the user sets them."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import click

from keras_s2s.recommended import FITTED, fit_settings

_LARGEST_VOCABULARY = 1_000  # of targets with monotonic attention, which is slow with more
_SIZES = {"units": "encoder", "encoder_layers": "encoder", "decoder_layers": "decoder"}


def take_from_run(settings: SimpleNamespace, run: Mapping[str, Any]) -> None:
    """Fill in missing settings from the run that is being resumed.

    Args:
        settings: Namespace of all settings. Modified in place.
        run: Mapping of the settings of the run.
    """
    for name in FITTED:
        if getattr(settings, name) is None:
            setattr(settings, name, run.get(name))


def fit_to_pairs(settings: SimpleNamespace, data: Any, initial: Any = None) -> None:
    """Fill in missing settings from the training pairs, and print each with its reason.

    Args:
        settings: Namespace of all settings. Modified in place.
        data: The `Data` of the training.
        initial: `Translator` or None. Translator that training starts from. Its model determines
            the sizes and the attention. Defaults to `None`.
    """
    missing = [name for name in FITTED if getattr(settings, name) is None]
    if not missing:
        return
    measured = data.statistics
    given = {name: getattr(settings, name) for name in FITTED if name not in missing}
    reasons = {}
    if settings.batch_tokens:
        given["batch_size"] = max(1, int(settings.batch_tokens / max(measured.mean_length, 1)))
        reasons["batch_size"] = "not used: `batch_tokens` limits the batches"
    if initial is not None:
        taken = _sizes_of(initial.model)
        given = taken | given
        reasons |= dict.fromkeys(taken, f"that of {settings.init_from}")
    reason = _reason_for_luong(settings, data)
    if reason and "attention" not in given:
        given["attention"], reasons["attention"] = "luong", reason
    if given.get("attention") == "none":
        given["attention"] = None
    fitted = fit_settings(measured, **given)
    click.echo(
        f"settings for {measured.number:,} pairs of {measured.mean_length:.1f} characters on "
        "average (a flag overrides each):"
    )
    for name in missing:
        value = getattr(fitted, name)
        value = "none" if value is None else value  # no attention
        setattr(settings, name, value)
        click.echo(f"  {name:15s} {value!s:>9s}  {reasons.get(name, fitted.reasons[name])}")


def _reason_for_luong(settings: SimpleNamespace, data: Any) -> str | None:
    """Return why monotonic attention does not suit the settings, or None."""
    if settings.input_feeding:
        return "for input feeding"
    size = data.target.vocabulary_size
    if size > _LARGEST_VOCABULARY:
        return f"{size:,} target tokens: monotonic attention is for characters and phones"
    return None


def _sizes_of(model: Any) -> dict[str, Any]:
    sizes = {
        name: getattr(getattr(model, part), "units" if name == "units" else "num_layers")
        for name, part in _SIZES.items()
    }
    return {**sizes, "attention": model.decoder.attention}
