from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers.served import shared_translator

from keras_s2s.export.probes import NASTY_TEXTS, make_probes, probe_calls
from keras_s2s.export.signatures import ALL_SIGNATURES, SIGNATURES
from keras_s2s.search import GreedySearch
from keras_s2s.translator import Translator


@pytest.fixture(scope="module")
def translator():
    return shared_translator()


def test_probes_are_user_texts_then_generated_ones_then_difficult_ones(translator):
    probes = make_probes(translator, ["mine", "yours"])
    known = probes[2 : -len(NASTY_TEXTS)]
    assert probes[:2] == ["mine", "yours"]
    assert tuple(probes[-len(NASTY_TEXTS) :]) == NASTY_TEXTS
    assert [len(text) for text in known] == [2, 4, 6, 8, 10, 12, 14, 16]
    ids = translator.source.tokenize(known).numpy()
    assert not np.any(ids == 1)
    assert make_probes(translator, ["mine", "yours"]) == probes


@pytest.mark.parametrize("probes", ["one text", b"one text", ["text", 3], [b"bytes"], 3])
def test_probes_must_be_texts(translator, probes):
    with pytest.raises(TypeError, match="`probes` must be a list of str"):
        make_probes(translator, probes)


@pytest.mark.parametrize("signature", SIGNATURES)
def test_probe_calls_have_the_documented_inputs_and_outputs(translator, signature):
    batches = []
    for name, call in probe_calls(translator, [signature], ["hello", "a", "zebra"]):
        assert name == signature
        batches.append(call.texts)
        for side, arrays in zip(SIGNATURES[signature], (call.inputs, call.expected), strict=True):
            assert set(arrays) == {spec.name for spec in side}
            for spec in side:
                tensor = tf.convert_to_tensor(arrays[spec.name])
                assert tensor.dtype == spec.dtype
                assert spec.shape.is_compatible_with(tensor.shape)
                assert tensor.shape[0] == len(call.texts)
    assert batches == [["hello", "a"], ["hello"], [""], ["zebra", ""]]


def test_many_probes_are_compared_in_parts(translator):
    probes = [*(f"text {number}" for number in range(130)), "last"]
    calls = [call.texts for _, call in probe_calls(translator, ["greedy_ids"], probes)]
    assert [len(texts) for texts in calls] == [64, 64, 2, 1, 1, 2]
    assert [*calls[0], *calls[1], *calls[2]] == probes[:-1]


@pytest.mark.parametrize("signature", SIGNATURES)
def test_the_model_confirms_its_own_answers(translator, signature):
    ((_, call), *_) = probe_calls(translator, [signature], ["hello", "a", "zebra"])
    rescored = call.rescore(call.expected)
    np.testing.assert_allclose(rescored, call.expected["log_probs"], atol=1e-4)


def test_each_search_runs_once(translator, monkeypatch):
    calls = []
    search = type(translator.model).search

    def count(model, source_ids, *arguments, **options):
        calls.append(source_ids.shape[0])
        return search(model, source_ids, *arguments, **options)

    monkeypatch.setattr(type(translator.model), "search", count)
    found = list(probe_calls(translator, [*ALL_SIGNATURES], ["hello", "a", "zebra"]))
    assert len(found) == 4 * len(ALL_SIGNATURES)
    assert calls == [4, 4, 4]  # the translator's search, greedy, options: three texts and ""


def test_texts_that_are_too_long_have_a_score_of_an_empty_slot(translator):
    limited = Translator(
        translator.model,
        translator.source,
        translator.target,
        search=GreedySearch(max_length=2),
        max_source_length=2,
    )
    (_, call), *_ = probe_calls(limited, ["score_ids"], ["hello", "zebra"])
    assert call.inputs["target_ids"].tolist() == [[0]]  # a runtime may need one column
    assert call.expected["scores"].tolist() == [np.float32(-1e9)]
