from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers.served import shared_translator

import keras_s2s as s2s
from keras_s2s.export import saved_model_export
from keras_s2s.export.signatures import ALL_SIGNATURES, SIGNATURES
from keras_s2s.export.warmup import Warmup, _make_texts, check_warmup, make_requests, write_requests


@pytest.fixture(scope="module")
def translator():
    return shared_translator()


@pytest.fixture(scope="module")
def requests(translator):
    return make_requests(translator, Warmup(batch_sizes=(1, 3), lengths=(4,), texts=("日本",)))


def test_each_signature_size_and_text_has_a_request(requests):
    found = [
        (name, {len(value) for value in inputs.values()}, next(iter(inputs.values()))[0])
        for name, inputs in requests
        if name != "ids"
    ]
    (made,) = {text for _, _, text in found} - {"日本".encode()}
    assert [(name, sizes, text) for name, sizes, text in found if name == "greedy"] == [
        ("greedy", {1}, "日本".encode()),
        ("greedy", {3}, "日本".encode()),
        ("greedy", {1}, made),
        ("greedy", {3}, made),
    ]
    assert [name for name, _ in requests] == [name for name in SIGNATURES for _ in range(4)]


def test_requests_have_the_inputs_of_their_signatures(requests):
    for name, inputs in requests:
        promised = {spec.name: spec for spec in SIGNATURES[name].inputs}
        assert set(inputs) == set(promised)
        for key, value in inputs.items():
            dtype = tf.string if value.dtype == object else tf.as_dtype(value.dtype)
            assert dtype == promised[key].dtype
            assert promised[key].shape.is_compatible_with(value.shape)


def test_score_requests_contain_an_answer(requests, translator):
    inputs = next(inputs for name, inputs in requests if name == "score")
    found = translator.search_texts(tf.constant(["日本"]), translator.greedy_search())
    assert inputs["target"][0] == found["target"].numpy()[0, 0]


def test_options_are_the_settings_of_the_search(requests):
    inputs = next(inputs for name, inputs in requests if name == "options")
    assert (inputs["max_length"], inputs["min_length"]) == (12, 1)
    assert inputs["length_penalty"] == 0.75


@pytest.mark.parametrize(
    "tokenizer",
    [
        s2s.CharTokenizer.train(["ab cdé日"]),
        s2s.WordTokenizer.train(["one two three"]),
        s2s.ByteTokenizer(),
    ],
    ids=["char", "word", "byte"],
)
def test_texts_have_the_requested_lengths(tokenizer):
    texts = _make_texts(tokenizer, [1, 7])
    ids = tokenizer.tokenize(texts).numpy()
    assert np.count_nonzero(ids, axis=1).tolist() == [2, 8]  # with eos
    assert 1 not in ids
    assert _make_texts(tokenizer, [1, 7]) == texts


def test_a_server_can_read_the_requests(requests, tmp_path):
    prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    path = str(tmp_path / "requests")
    write_requests(requests, path)
    records = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
    assert len(records) == len(requests)
    for record, (name, inputs) in zip(records, requests, strict=True):
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.signature_name == name
        assert set(request.inputs) == set(inputs)
        for key, value in inputs.items():
            np.testing.assert_array_equal(tf.make_ndarray(request.inputs[key]), value)


def test_a_missing_package_is_reported_before_tracing(translator, tmp_path, monkeypatch):
    monkeypatch.setattr(saved_model_export, "trace", None)
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.raises(ImportError, match=r"tensorflow-serving-api.*'keras-s2s\[serving\]'"):
        s2s.export.saved_model(translator, tmp_path / "model", warmup=Warmup(lengths=(3,)))
    assert os.listdir(tmp_path) == []


def check(translator, warmup, batching=None, names=tuple(SIGNATURES)):
    check_warmup(warmup, batching or s2s.export.Batching(), translator, names)


def test_a_request_larger_than_a_batch_is_refused(translator):
    with pytest.raises(
        ValueError, match=r"at most the `max_batch_size` of `batching`, 4,.*\(1, 8\)"
    ):
        check(translator, Warmup(batch_sizes=(1, 8), lengths=(3,)), s2s.export.Batching(4))


def test_warmup_must_be_a_warmup(translator):
    with pytest.raises(TypeError, match=r"`warmup` must be a `Warmup`. Received: warmup=True"):
        check(translator, True)


@pytest.mark.parametrize("settings", [{}, {"batch_sizes": (), "lengths": (1,)}])
def test_a_warmup_makes_requests(settings):
    with pytest.raises(ValueError, match="needs `batch_sizes`, and `lengths` or `texts`"):
        Warmup(**settings)


def test_the_requests_to_the_exported_signatures_are_limited(translator):
    pytest.importorskip("tensorflow_serving.apis")
    warmup = Warmup(batch_sizes=range(1, 21), lengths=[3] * 10)
    check(translator, warmup)  # five signatures
    check(translator, Warmup(lengths=[3] * 300), names=("ids",))
    message = (
        "at most 1000 requests.* Received: 1400 requests, for 7 signatures, 20 batch sizes and 10"
    )
    with pytest.raises(ValueError, match=message):
        check(translator, warmup, names=tuple(ALL_SIGNATURES))


@pytest.mark.parametrize("sources", [{"lengths": [2, 5]}, {"texts": ["a", "hello"]}])
def test_a_source_that_the_graph_rejects_is_refused(translator, sources):
    pytest.importorskip("tensorflow_serving.apis")
    parts = translator.model, translator.source, translator.target
    for limit, truncate in ((6, False), (5, True)):
        longer = s2s.Translator(*parts, max_source_length=limit, truncate_source=truncate)
        check(longer, Warmup(**sources))
    limited = s2s.Translator(*parts, max_source_length=5)
    with pytest.raises(ValueError, match=r"`max_source_length` tokens, 5, .* Received: 6 tokens"):
        check(limited, Warmup(**sources))


@pytest.mark.parametrize("name", ["batch_sizes", "lengths"])
def test_sizes_must_be_positive(name):
    with pytest.raises(ValueError, match=rf"`{name}\[0\]` must be an integer of at least 1"):
        Warmup(**{"lengths": (1,), name: (0,)})
    with pytest.raises(TypeError, match=f"`{name}` must be a list of integers. Received: {name}=3"):
        Warmup(**{"lengths": (1,), name: 3})


def test_any_iterable_of_sizes_and_texts_is_kept_as_a_tuple():
    warmup = Warmup(batch_sizes=np.array([1, 8]), lengths=iter([4]), texts=iter(["a"]))
    assert warmup == Warmup(batch_sizes=(1, 8), lengths=(4,), texts=("a",))


@pytest.mark.parametrize("texts", ["hello", [b"hello"], 5])
def test_texts_must_be_a_list(texts):
    with pytest.raises(TypeError, match="`texts` must be a list of str"):
        Warmup(texts=texts)


def test_a_full_disk_is_reported(requests, tmp_path):
    pytest.importorskip("tensorflow_serving.apis")
    path = str(tmp_path / "missing" / "requests")
    with pytest.raises(OSError, match=f"Could not write the warm-up requests to '{path}'"):
        write_requests(requests, path)
