"""Model to train: a new one, or one that starts from another model or learns from a teacher."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras

import keras_s2s as s2s
from keras_s2s.checks import short_repr
from keras_s2s.cli.loading import load_translator
from keras_s2s.cli.recommended_settings import tokenizer_kind
from keras_s2s.cli.setting import name_as_given, value_as_given
from keras_s2s.cli.training_data import TOKENIZERS
from keras_s2s.distillation import DistillationLoss
from keras_s2s.errors import InputError
from keras_s2s.models.model_settings import find_different_setting
from keras_s2s.translator_parts import find_different_vocabulary


def build_model(
    settings: SimpleNamespace,
    source_size: int,
    target_size: int,
    *,
    copy_ids: list[int] | None = None,
) -> Any:
    """Build and compile the model.

    Args:
        settings: Namespace of all settings.
        source_size: Integer. Size of the source vocabulary.
        target_size: Integer. Size of the target vocabulary.
        copy_ids: List of integers or None. Target id of each source id, for a model that copies.
            Defaults to `None`.

    Returns:
        The compiled `Seq2Seq`.

    Raises:
        ValueError: If the settings are incompatible with one another.
    """
    shared = {
        "embedding_dim": settings.embedding_dim,
        "dropout": settings.dropout,
        "recurrent_dropout": settings.recurrent_dropout,
        "word_dropout": settings.word_dropout,
        "residual": settings.residual,
        "layer_normalization": settings.layer_normalization,
    }
    lstm = settings.cell == "lstm"
    encoder_class: Any = s2s.LSTMEncoder if lstm else s2s.GRUEncoder
    decoder_class: Any = s2s.LSTMDecoder if lstm else s2s.GRUDecoder
    encoder = encoder_class(
        source_size,
        settings.units,
        num_layers=settings.encoder_layers,
        bidirectional=settings.bidirectional,
        context=_resolve_context(settings.context),
        **shared,
    )
    decoder = decoder_class(
        target_size,
        settings.units,
        num_layers=settings.decoder_layers,
        context_to=settings.context_to,
        attention=None if settings.attention == "none" else settings.attention,
        input_feeding=settings.input_feeding,
        copy=settings.copy,
        **shared,
    )
    model = s2s.Seq2Seq(encoder, decoder, copy_ids=copy_ids)
    _compile(model, settings)
    return model


def _compile(model: Any, settings: SimpleNamespace) -> None:
    """Compile a model with the optimizer and the loss of the settings."""
    optimizer = s2s.FusedAdam(
        settings.learning_rate, global_clipnorm=settings.gradient_clip or None
    )
    if settings.teacher is not None:  # the teacher's predictions are already smooth
        model.compile(optimizer, loss=DistillationLoss())
        return
    model.compile(
        optimizer,
        loss=s2s.SequenceLoss(settings.reduction, label_smoothing=settings.label_smoothing),
        metrics=[s2s.TokenAccuracy(), s2s.Perplexity()],
    )


def load_initial(settings: SimpleNamespace) -> Any:
    """Load the translator that training starts from.

    Args:
        settings: Namespace of all settings.

    Returns:
        The `Translator` at `init_from`, or `None` if it is not set.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not a translator, or its tokenizers are not of the kind in the
            settings.
    """
    path = settings.init_from
    if path is None:
        return None
    translator = load_translator(path)
    _check_tokenizers(settings, translator, path)
    return translator


def load_teacher(settings: SimpleNamespace, initial: Any) -> Any:
    """Load the teacher for distillation.

    Args:
        settings: Namespace of all settings.
        initial: The `Translator` that training starts from, or `None`.

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
    side = None if initial is None else find_different_vocabulary(initial, translator)
    if side is not None:
        raise InputError(
            f"{path}: its {side} tokenizer differs from that of {settings.init_from}. Expected: "
            "models trained with the same vocabularies"
        )
    return translator


def take_weights(model: Any, initial: Any, path: str) -> None:
    """Copy the weights of the initial model into a new model.

    Args:
        model: The new `Seq2Seq`.
        initial: The `Translator` to copy the weights from.
        path: Path of `initial`, for error messages.

    Raises:
        ValueError: If the settings of the two models differ.
    """
    different = find_different_setting(initial.model, model)
    if different is not None:
        name, there, here = different
        raise InputError(
            f"{path}: its model does not match the settings: {name} is {short_repr(there)} in "
            f"the file and {short_repr(here)} in the settings"
        )
    model.set_weights(initial.model.get_weights())


def _resolve_context(name: str) -> Any:
    """Return the name of a built-in context, or the user's registered object."""
    if ">" not in name:
        return name
    own = keras.saving.get_registered_object(name)
    if own is None:
        raise InputError(
            f"{name_as_given('context')} {name}: not registered with Keras. Use --import MODULE "
            "for the module that registers it"
        )
    return own() if isinstance(own, type) else own


def _check_tokenizers(settings: SimpleNamespace, translator: Any, path: str) -> None:
    for side in ("source", "target"):
        found, kind = type(getattr(translator, side)), tokenizer_kind(settings, side)
        if kind is None and found in TOKENIZERS.values():
            continue
        if kind is None:
            names = ", ".join(tokenizer.__name__ for tokenizer in TOKENIZERS.values())
            raise InputError(
                f"{path}: its {side} tokenizer is a {found.__name__}. Expected: one of {names}"
            )
        if found is not TOKENIZERS[kind]:
            raise InputError(
                f"{path}: its {side} tokenizer is a {found.__name__}. Expected: a "
                f"{TOKENIZERS[kind].__name__}, because of "
                f"{value_as_given(f'{side}_tokenizer', kind)}"
            )
