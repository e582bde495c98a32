"""Changed settings of the sublayers of an encoder or a decoder, as a part of its config.

The arguments of an encoder define its sublayers. Later changes to them, as with any Keras layer,
are not arguments: `encoder.stack.trainable = False`, `model.quantize("int8")`,
`decoder.bridge.enable_lora(4)`. They are stored in the config, so that loaded, copied and cloned
layers have them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras


def sublayer_settings(
    layer: keras.layers.Layer, foreign: keras.layers.Layer | None = None
) -> dict[str, Any]:
    """Return the changed settings of the sublayers of a layer.

    Args:
        layer: Encoder or decoder.
        foreign: Sublayer whose own sublayers are left to its own config.

    Returns:
        A dict to be saved as JSON; empty if nothing was changed.
    """
    settings: dict[str, Any] = {}
    trainable = {path: bool(part.trainable) for path, part in _walk(layer, foreign)}
    usual = dict.fromkeys(trainable, bool(layer.trainable))
    if "embedding" in usual and not layer.trainable_embeddings:
        usual["embedding"] = False
    if trainable != usual:
        settings["trainable"] = trainable
    dense = {
        path: keras.saving.serialize_keras_object(part)
        for path, part in _walk(layer, foreign)
        if isinstance(part, keras.layers.Dense)
        and part is not foreign
        and (part.lora_enabled or part.quantization_mode is not None)
    }
    if dense:
        settings["dense"] = dense
    return settings


def restore_sublayers(
    layer: keras.layers.Layer,
    settings: dict[str, Any],
    foreign: keras.layers.Layer | None = None,
) -> None:
    """Apply changed settings to the sublayers of a layer that is not built yet.

    Args:
        layer: Encoder or decoder.
        settings: Output of `sublayer_settings`.
        foreign: Sublayer whose own sublayers are left to its own config.
    """
    parts = dict(_walk(layer, foreign))
    for path, trainable in settings.get("trainable", {}).items():  # parents come first
        parts[path].trainable = trainable
    for path, config in settings.get("dense", {}).items():
        changed = keras.saving.deserialize_keras_object(
            {key: value for key, value in config.items() if key != "build_config"}
        )
        part = parts[path]
        part.lora_rank, part.lora_alpha = changed.lora_rank, changed.lora_alpha
        part.quantization_config = changed.quantization_config
        part.dtype_policy = changed.dtype_policy


def _walk(
    layer: keras.layers.Layer, foreign: keras.layers.Layer | None
) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yield each sublayer once with its path, parents first."""
    seen = {id(layer)}

    def walk(parent: keras.layers.Layer, prefix: str) -> Iterator[tuple[str, keras.layers.Layer]]:
        for part in parent._layers:
            if id(part) in seen:
                continue
            seen.add(id(part))
            path = prefix + ("context" if part is foreign else part.name)
            yield path, part
            if part is not foreign:
                yield from walk(part, f"{path}/")

    return walk(layer, "")
