"""Every search, tokenizer and context, and an ensemble, passes the parity check."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_s2s as s2s
from keras_s2s.export import litert_export, saved_model_export
from keras_s2s.export.served_module import ServedModule
from keras_s2s.export.signatures import SIGNATURES
from keras_s2s.special_ids import EOS_ID, UNK_ID

pytestmark = pytest.mark.slow

TEXTS = ["new newest", "low lower lowest", "wide é", "日本"]
LEXICON = [[4, 5, 3], [4, 3], [6, 5, 4, 3], [5, 3]]


@keras.saving.register_keras_serializable(package="tests.kinds")
class Gate(keras.layers.Layer):
    """A context layer with a weight."""

    def build(self, memory_shape):
        self.kernel = self.add_weight(shape=(memory_shape[-1],), initializer="normal")

    def call(self, memory, mask):
        return tf.reduce_sum(tf.sigmoid(self.kernel) * memory, axis=1)


@keras.saving.register_keras_serializable(package="tests.kinds")
def first_state(memory, mask):
    return memory[:, 0]


class Kind(NamedTuple):
    """A test case; `contexts` and `attention` are those of each member."""

    source: type[Any]
    target: type[Any]
    search: Any
    contexts: list[Any]
    attention: list[str | None]
    options: Mapping[str, Any] = MappingProxyType({})


# Each value of each of them at least once.
KINDS = {
    "ensemble, unknown tokens copied": Kind(
        s2s.WordTokenizer,
        s2s.WordTokenizer,
        s2s.BeamSearch(beam_width=3, num_hypotheses=2, max_length=6, coverage_penalty=0.2),
        ["attention_pool", "mean"],
        ["bahdanau", "luong"],
        {"replace_unknown": True},
    ),
    "ensemble of log probabilities, lexicon": Kind(
        s2s.CharTokenizer,
        s2s.WordTokenizer,
        s2s.BeamSearch(num_hypotheses=3, stopping="bound", lexicon=LEXICON),
        ["last_state", "max"],
        [None, "luong"],
        {"average": "log_probabilities"},
    ),
    "exact": Kind(
        s2s.ByteTokenizer,
        s2s.CharTokenizer,
        s2s.ExactSearch(max_length=5, num_hypotheses=2),
        [Gate()],
        [None],
    ),
    "sampling": Kind(
        s2s.CharTokenizer,
        s2s.ByteTokenizer,
        s2s.Sampling(num_hypotheses=2, top_k=4, top_p=0.9, temperature=0.8, max_length=6),
        [first_state],
        ["luong"],
    ),
    "diverse": Kind(
        s2s.SentencePieceTokenizer,
        s2s.SentencePieceTokenizer,
        s2s.DiverseBeamSearch(beam_width=4, num_groups=2, num_hypotheses=2, max_length=6),
        ["max"],
        ["luong"],
    ),
    "exhaustive": Kind(
        s2s.CharTokenizer,
        s2s.WordTokenizer,
        s2s.ExhaustiveSearch(max_length=3, min_length=2, num_hypotheses=2),
        ["mean"],
        [None],
    ),
}


def train(tokenizer: type[Any]) -> Any:
    if tokenizer is s2s.SentencePieceTokenizer:
        texts = ["low lower lowest", "new newer newest", "wide wider widest"]
        return tokenizer.train(texts, vocabulary_size=18)
    return tokenizer.train(["new low wide é"])


def make_translator(kind: Kind, units: int = 4) -> s2s.Translator:
    source, target = train(kind.source), train(kind.target)
    random = np.random.default_rng(3)
    members = []
    for context, attention in zip(kind.contexts, kind.attention, strict=True):
        model = s2s.Seq2Seq(
            s2s.LSTMEncoder(source.vocabulary_size, units, bidirectional=True, context=context),
            s2s.LSTMDecoder(target.vocabulary_size, units, attention=attention),
        )
        for weight in model.weights:
            weight.assign(random.normal(size=weight.shape) / max(1, units / 8))
        bias = model.decoder.logits.bias.numpy()
        copies = kind.options.get("replace_unknown")
        bias[[EOS_ID, UNK_ID]] = 0, 3 if copies else -9
        model.decoder.logits.bias.assign(bias)
        members.append(model)
    options = dict(kind.options)
    average = options.pop("average", "probabilities")
    model = members[0] if len(members) == 1 else s2s.Ensemble(members, average=average)
    return s2s.Translator(model, source, target, search=kind.search, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_litert_file_of_every_kind_returns_the_answers_of_the_model(name, tmp_path, monkeypatch):
    # without "greedy", which is another search
    monkeypatch.setattr(litert_export, "LITERT_SIGNATURES", ("serving_default", "ids", "score"))
    translator = make_translator(KINDS[name])
    path = s2s.export.litert(translator, tmp_path / "t.tflite", probes=TEXTS)
    parity = s2s.export.read_card(path)["parity"]
    assert parity["num_same_texts"] == parity["num_texts"] > len(TEXTS)
    answers = translator(tf.constant(TEXTS))["target"].numpy()
    assert len({tuple(row) for row in answers}) > 1


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """SavedModel of an ensemble that copies unknown words."""
    translator = make_translator(KINDS["ensemble, unknown tokens copied"], units=64)
    folder = tmp_path_factory.mktemp("serving") / "t"
    with pytest.MonkeyPatch.context() as patch:
        some = {name: SIGNATURES[name] for name in ("serving_default", "score")}
        patch.setattr(saved_model_export, "SIGNATURES", some)
        return translator, s2s.export.saved_model(translator, folder, probes=TEXTS)


def test_a_saved_model_of_an_ensemble_returns_its_answers(served):
    translator, path = served
    parity = s2s.export.read_card(path)["parity"]
    assert parity["num_same_texts"] == parity["num_texts"] > len(TEXTS)
    answers = tf.saved_model.load(path).signatures["serving_default"](source=tf.constant(TEXTS))
    found = [text.decode() for text in answers["target"].numpy()[:, 0]]
    assert found == translator.translate(TEXTS)
    assert any("日本" in text for text in found)


def test_the_weights_of_an_ensemble_are_stored_once(served):
    translator, path = served
    stored = os.path.getsize(os.path.join(path, "variables/variables.data-00000-of-00001"))
    weights = ServedModule(translator).size()
    assert weights == sum(4 * np.prod(weight.shape) for weight in translator.model.weights)
    assert weights <= stored <= 1.05 * weights
