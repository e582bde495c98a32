"""Train several models with one command and combine them into an ensemble."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import keras_s2s as s2s
from keras_s2s.cli import run_folder
from keras_s2s.cli.models import load_translator


def members(settings: SimpleNamespace) -> list[SimpleNamespace]:
    """Return the settings of each training of a command.

    Args:
        settings: Namespace of all settings.

    Returns:
        A list with `settings` itself for a single model. Otherwise, one namespace per model, each
        with its own seed and its own subfolder of the run folder.
    """
    if settings.models == 1:
        return [settings]
    return [
        SimpleNamespace(
            **{
                **vars(settings),
                "models": 1,
                "seed": settings.seed + number,
                "output": os.path.join(settings.output, f"model-{number + 1}"),
            }
        )
        for number in range(settings.models)
    ]


def write_ensemble(settings: SimpleNamespace, trained: Sequence[SimpleNamespace]) -> Any:
    """Save the ensemble of the trained models as the best model of the run.

    Args:
        settings: Namespace of all settings.
        trained: Sequence of the settings of each training.

    Returns:
        The `Translator` of the ensemble.
    """
    translators = [load_translator(run_folder.best_path(member)) for member in trained]
    first = translators[0]
    together = s2s.Ensemble([translator.model for translator in translators])
    translator = s2s.Translator(
        together,
        first.source,
        first.target,
        search=first.search,
        replace_unknown=first.replace_unknown,
    )
    translator.save(run_folder.best_path(settings))
    return translator
