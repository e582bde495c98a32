"""The model that a training begins with, where it does not begin from nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras_s2s as s2s
from keras_s2s.cli.models import load_translator
from keras_s2s.cli.several_models import load_alike
from keras_s2s.cli.training_data import TOKENIZERS, tokenizer_kind
from keras_s2s.errors import InputError

# Settings of an encoder or a decoder that have nothing to do with its weights.
_FREE = {"name", "trainable", "dtype", "dropout", "recurrent_dropout", "word_dropout"}


def load_initial(settings: SimpleNamespace) -> Any:
    """Load the translator that a training begins with.

    Args:
        settings: all settings.

    Returns:
        The `Translator` at `init_from`; None where there is none.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no translator of one model, or has tokenizers of another kind than the
            settings say.
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
    """Load the translator whose predictions a training learns.

    Args:
        settings: All settings.

    Returns:
        The `Translator` at `teacher`, of one model or an ensemble; None if there is none.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a translator, or its tokenizers are not those of the settings or of
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
                f"{path}: its {side} tokenizer is a {found.__name__}. Expected: that of "
                f"`{side}_tokenizer: {kind}`, a {wanted.__name__}"
            )


def take_weights(model: Any, initial: Any, path: str) -> None:
    """Give a model the weights that a training begins with.

    Args:
        model: the model that is to be trained.
        initial: the `Translator` that has them.
        path: where it came from.

    Raises:
        ValueError: if its model has other settings.
    """
    here, there = _sizes(model), _sizes(initial.model)
    for name in [*here, *there]:
        if here.get(name) != there.get(name):
            raise InputError(
                f"{path}: its model is not that of the settings: {name} is {there.get(name)!r} in "
                f"it, {here.get(name)!r} by the settings. --config with the settings.yaml of its "
                "run has them all"
            )
    model.set_weights(initial.model.get_weights())


def _sizes(model: Any) -> dict[str, Any]:
    """Give the settings of a model that its weights have to do with."""
    config = model.get_config()
    sizes = {"share_embeddings": config["share_embeddings"]}
    for part in ("encoder", "decoder"):
        sizes[part] = config[part]["class_name"]
        for name, value in config[part]["config"].items():
            if name not in _FREE:
                sizes[f"{name} of the {part}"] = value
    return sizes
