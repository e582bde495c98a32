"""Settings of a model that determine what it computes from its weights."""

from __future__ import annotations

from typing import Any

from keras_s2s.models.ensemble import Ensemble
from keras_s2s.models.searchable import Searchable

# Settings of the encoder and decoder that do not change what they compute at inference.
_FREE = {
    "name",
    "trainable",
    "trainable_embeddings",
    "dtype",
    "dropout",
    "recurrent_dropout",
    "word_dropout",
}


def find_different_setting(model: Searchable, other: Searchable) -> tuple[str, Any, Any] | None:
    """Compare the settings of two models that determine what their weights mean.

    Args:
        model: A `Seq2Seq` or an `Ensemble`.
        other: Another model.

    Returns:
        The name of the first setting that differs and its two values, or `None` if the weights of
        one model fit the other.
    """
    here, there = _settings(model), _settings(other)
    for name in [*here, *there]:
        if here.get(name) != there.get(name):
            return name, here.get(name), there.get(name)
    return None


def _settings(model: Searchable) -> dict[str, Any]:
    """Return the settings by name, such as "units of the encoder"."""
    found = {"class": type(model).__name__}
    if isinstance(model, Ensemble):
        found["average"] = model.average
        for number, member in enumerate(model.members(), 1):
            settings = _settings(member)
            found |= {f"{name} of model {number}": value for name, value in settings.items()}
        return found
    config = model.get_config()
    found["share_embeddings"] = config["share_embeddings"]
    for part in ("encoder", "decoder"):
        found[part] = config[part]["class_name"]
        for name, value in config[part]["config"].items():
            if name not in _FREE:
                found[f"{name} of the {part}"] = _without_names(value)
    return {**found, "copy_ids": config["copy_ids"]}


def _without_names(value: Any) -> Any:
    """Return a setting; for a serialized layer, its class and settings that are not free."""
    if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
        return value
    kept = {name: it for name, it in value["config"].items() if name not in _FREE}
    return value.get("registered_name") or value["class_name"], kept
