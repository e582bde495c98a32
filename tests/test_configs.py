"""Every layer, model, loss and metric is restored from its config."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import keras
import pytest
from helpers.small import make_model
from helpers.translators import make_translator

import keras_s2s
from keras_s2s import layers, losses, metrics, tokenizers
from keras_s2s.distillation import DistillationLoss
from keras_s2s.layers.monotonic_attention import MonotonicAttention
from keras_s2s.layers.output_projection import CopyGate
from keras_s2s.models import Ensemble, Seq2Seq
from keras_s2s.optimizers import FusedAdam, WarmupCosine

for module in pkgutil.walk_packages(keras_s2s.__path__, "keras_s2s."):
    importlib.import_module(module.name)

REGISTERED = {
    name.removeprefix("keras_s2s>"): value
    for name, value in keras.saving.get_custom_objects().items()
    if name.startswith("keras_s2s>") and not value.__module__.startswith("keras_s2s.search.")
}

SPECIAL = ["[PAD]", "[UNK]", "[BOS]", "[EOS]"]

# Each with all its arguments away from their defaults: one that is forgotten does not come back.
CASES = {
    "AttentionPool": lambda: layers.AttentionPool(name="a", dtype="float16"),
    "BahdanauAttention": lambda: layers.BahdanauAttention(3, name="a", dtype="float16"),
    "CopyGate": lambda: CopyGate(name="a"),
    "GRU": lambda: layers.MaskedGRU(3, go_backwards=True, name="a", dtype="float16"),
    "GRUDecoder": lambda: layers.GRUDecoder(9, 3, attention="luong_concat"),
    "GRUEncoder": lambda: layers.GRUEncoder(9, 3, context="attention_pool"),
    "LSTM": lambda: layers.MaskedLSTM(3, go_backwards=True, name="a", dtype="float16"),
    "LSTMDecoder": lambda: layers.LSTMDecoder(
        9,
        3,
        embedding_dim=3,
        num_layers=2,
        context_to="both",
        attention="luong",
        input_feeding=True,
        tie_output=True,
        copy=True,
        dropout=(0.1, 0.2, 0.3),
        recurrent_dropout=(0.2, 0.4),
        word_dropout=0.3,
        residual=True,
        layer_normalization=True,
        trainable_embeddings=False,
        name="a",
        dtype="mixed_bfloat16",
    ),
    "LSTMEncoder": lambda: layers.LSTMEncoder(
        9,
        3,
        embedding_dim=2,
        num_layers=2,
        bidirectional=True,
        context=keras.layers.GlobalAveragePooling1D(name="q"),
        dropout=(0.1, 0.2, 0.3),
        recurrent_dropout=(0.2, 0.4),
        word_dropout=0.3,
        residual=True,
        layer_normalization=True,
        trainable_embeddings=False,
        name="a",
        dtype="mixed_bfloat16",
    ),
    "LSTMEncoder, reversed": lambda: layers.LSTMEncoder(9, 3, reverse_source=True, context="max"),
    "LuongAttention": lambda: layers.LuongAttention(3, score="concat", name="a", dtype="float16"),
    "MonotonicAttention": lambda: MonotonicAttention(3, name="a", dtype="float16"),
    "TokenEmbedding": lambda: layers.TokenEmbedding(9, 3, name="a", dtype="float16"),
    "Ensemble": lambda: Ensemble([make_model("luong")], average="log_probabilities"),
    "Seq2Seq": lambda: make_model("luong"),
    "Seq2Seq, copying": lambda: Seq2Seq(
        layers.LSTMEncoder(6, 3),
        layers.LSTMDecoder(5, 3, attention="monotonic", copy=True),
        copy_ids=[-1, 1, -1, 3, 4, -1],
    ),
    "Translator": make_translator,
    "SequenceLoss": lambda: losses.SequenceLoss(
        "token", label_smoothing=0.1, name="a", dtype="float16"
    ),
    "DistillationLoss": lambda: DistillationLoss(name="a"),
    "FusedAdam": lambda: FusedAdam(0.1, beta_1=0.5, clipnorm=1.0, name="a"),
    "WarmupCosine": lambda: WarmupCosine(0.1, warmup_steps=2, steps=9),
    "TokenAccuracy": lambda: metrics.TokenAccuracy(name="a"),
    "Perplexity": lambda: metrics.Perplexity(name="a"),
    "ByteTokenizer": lambda: tokenizers.ByteTokenizer(name="a"),
    "CharTokenizer": lambda: tokenizers.CharTokenizer([*SPECIAL, "x"], name="a"),
    "DecomposedCharTokenizer": lambda: tokenizers.DecomposedCharTokenizer(
        [*SPECIAL, "x"], name="a"
    ),
    "FeatureTokenizer": lambda: tokenizers.FeatureTokenizer([*SPECIAL, "x", ";V"], name="a"),
    "WordTokenizer": lambda: tokenizers.WordTokenizer([*SPECIAL, "x"], name="a"),
    "SentencePieceTokenizer": lambda: tokenizers.SentencePieceTokenizer(name="a"),
}


def public_name(case: str) -> str:
    return case.split(",")[0]


def test_every_registered_class_has_a_case():
    assert set(REGISTERED) == {public_name(case) for case in CASES}


def config(instance: Any) -> dict[str, Any]:
    """The config, without what Keras adds about shapes."""

    def without_shapes(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            name: without_shapes(part) for name, part in value.items() if name != "build_config"
        }

    return without_shapes(instance.get_config())


@pytest.mark.parametrize("case", CASES)
def test_it_is_restored_from_its_config(case):
    instance = CASES[case]()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(instance))
    assert type(again) is type(instance) is REGISTERED[public_name(case)]
    assert again is not instance
    assert config(again) == config(instance)
    assert config(type(instance).from_config(instance.get_config())) == config(instance)


@pytest.mark.parametrize("case", CASES)
def test_its_config_holds_every_argument(case):
    kind = REGISTERED[public_name(case)]
    arguments = set(inspect.signature(kind).parameters) - {"kwargs", "vocabulary", "proto"}
    if issubclass(kind, keras.losses.Loss):
        arguments -= {"dtype"}  # which no loss of Keras keeps
    assert arguments <= set(CASES[case]().get_config())
