"""The trained models that a training starts from or distills."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras_s2s as s2s
from keras_s2s.cli.models import load_translator
from keras_s2s.cli.several_models import load_alike
from keras_s2s.cli.training_data import TOKENIZERS, tokenizer_kind
from keras_s2s.errors import InputError

# Encoder and decoder settings that do not affect the weights.
_FREE = {"name", "trainable", "dtype", "dropout", "recurrent_dropout", "word_dropout"}


def load_initial(settings: SimpleNamespace) -> Any:
    """Load the translator that training starts from.

    Args:
        settings: Namespace of all settings.

    Returns:
        The `Translator` at `init_from`, or `None` if it is not set.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not a translator with a single model, or its tokenizers are not
            of the kind in the settings.
    """
    path = settings.init_from
    if path is None:
        return None
    translator = load_translator(path)
    if not isinstance(translator.model, s2s.Seq2Seq):
        raise InputError(f"{path}: an ensemble. Expected: one model")
    _check_tokenizers(settings, translator, path)
    return translator


def load_teacher(settings: SimpleNamespace) -> Any:
    """Load the teacher for distillation.

    Args:
        settings: Namespace of all settings.

    Returns:
        The `Translator` at `teacher`, with one model or an ensemble, or `None` if it is not set.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not a translator, or its tokenizers do not match the settings or
            the model at `init_from`.
    """
    path = settings.teacher
    if path is None:
        return None
    translator = load_translator(path)
    _check_tokenizers(settings, translator, path)
    if settings.init_from is not None:
        load_alike([settings.init_from, path])
    return translator


def _check_tokenizers(settings: SimpleNamespace, translator: Any, path: str) -> None:
    for side in ("source", "target"):
        kind = tokenizer_kind(settings, side)
        found, wanted = type(getattr(translator, side)), TOKENIZERS[kind]
        if found is not wanted:
            raise InputError(
                f"{path}: its {side} tokenizer is a {found.__name__}. Expected: a "
                f"{wanted.__name__}, by the setting `{side}_tokenizer: {kind}`"
            )


def take_weights(model: Any, initial: Any, path: str) -> None:
    """Copy the weights of the initial model into a new model.

    Args:
        model: The new `Seq2Seq`.
        initial: The `Translator` to copy the weights from.
        path: Path of `initial`, for error messages.

    Raises:
        ValueError: If the settings of the two models differ.
    """
    here, there = _sizes(model), _sizes(initial.model)
    for name in [*here, *there]:
        if here.get(name) != there.get(name):
            raise InputError(
                f"{path}: its model does not match the settings: {name} is {there.get(name)!r} in "
                f"the file and {here.get(name)!r} in the settings. Use --config with the "
                "settings.yaml of its run"
            )
    model.set_weights(initial.model.get_weights())


def _sizes(model: Any) -> dict[str, Any]:
    """Return the model settings that affect the weights."""
    config = model.get_config()
    sizes = {"share_embeddings": config["share_embeddings"]}
    for part in ("encoder", "decoder"):
        sizes[part] = config[part]["class_name"]
        for name, value in config[part]["config"].items():
            if name not in _FREE:
                sizes[f"{name} of the {part}"] = value
    return sizes
