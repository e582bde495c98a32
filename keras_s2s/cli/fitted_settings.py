"""Settings that are derived from the training pairs unless the user sets them."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import click

from keras_s2s.recommended import ATTENTION, FEW_PAIRS, FITTED, fit_settings

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


def fit_to_pairs(
    settings: SimpleNamespace, pairs: int, mean_length: float, initial: Any = None
) -> None:
    """Fill in missing settings from the training pairs, and print each with its reason.

    Args:
        settings: Namespace of all settings. Modified in place.
        pairs: Integer. Number of training pairs.
        mean_length: Float. Mean length of the longer side of a pair, in characters.
        initial: `Translator` or None. Translator that training starts from. Its model determines
            the sizes. Defaults to `None`.
    """
    missing = [name for name in FITTED if getattr(settings, name) is None]
    if not missing:
        return
    given = {name: getattr(settings, name) for name in FITTED if name not in missing}
    if settings.batch_tokens:
        given["batch_size"] = max(1, int(settings.batch_tokens / max(mean_length, 1)))
    if initial is not None:
        given = _sizes_of(initial.model) | given
    fitted = fit_settings(pairs, mean_length, **given)
    click.echo(f"settings for {pairs:,} pairs of {mean_length:.1f} characters on average:")
    for name in missing:
        setattr(settings, name, getattr(fitted, name))
        reason = f"that of {settings.init_from}" if name in given else fitted.reasons[name]
        if name == "batch_size" and settings.batch_tokens:
            reason = "not used: `batch_tokens` limits the batches"
        click.echo(f"  {name:15s} {getattr(fitted, name)!s:>6s}  {reason}")
    if settings.attention == ATTENTION and pairs < FEW_PAIRS:
        click.echo(
            "  --attention monotonic makes fewer errors with few pairs if targets follow the order "
            "of their sources"
        )


def _sizes_of(model: Any) -> dict[str, Any]:
    return {
        name: getattr(getattr(model, part), "units" if name == "units" else "num_layers")
        for name, part in _SIZES.items()
    }
