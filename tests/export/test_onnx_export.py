"""Export to ONNX: ONNX Runtime returns the answers of the model."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers.served import WORDS, shared_translator, tiny_translator

import keras_s2s as s2s
from keras_s2s.export import onnx_export
from keras_s2s.export.sessions import OnnxSession

pytest.importorskip("tf2onnx")


@pytest.fixture(scope="module")
def translator():
    return shared_translator()


@pytest.fixture(scope="module")
def exported(translator, tmp_path_factory):
    return translator.export(tmp_path_factory.mktemp("onnx") / "g.onnx", format="onnx")


def test_any_batch_and_length_gets_the_answers_of_the_model(exported, translator):
    session = OnnxSession(exported)
    for texts in (WORDS, WORDS[:1], WORDS[::-1] * 5):
        source_ids = translator.source.tokenize(texts).numpy()
        found = session("ids", {"source_ids": source_ids})
        expected = translator.search_ids(tf.constant(source_ids), translator.search)
        assert list(found) == sorted(expected)
        np.testing.assert_array_equal(found["target_ids"], expected["target_ids"])
        np.testing.assert_array_equal(found["lengths"], expected["lengths"])
        np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-5)
        np.testing.assert_allclose(found["log_probs"], expected["log_probs"], rtol=1e-5, atol=1e-5)


def test_the_card_and_the_vocabularies_are_in_the_file(exported, translator):
    card = s2s.export.read_card(exported)
    assert card["format"] == "ONNX float32"
    assert card["parity"]["num_same_texts"] == card["parity"]["num_texts"] > 0
    assert {"Loop", "TopK"} <= set(card["operations"])
    assert s2s.export.vocabularies(exported)["target"] == translator.target.vocabulary


@pytest.mark.slow
@pytest.mark.parametrize("signature", ["ids", "score_ids"])
def test_int8_answers_are_close_to_those_of_the_model(tmp_path, signature):
    translator = tiny_translator(units=64, scale=0.2)
    path = tmp_path / "g.onnx"
    s2s.export.onnx(translator, path, signature=signature, quantization="int8", source_length=24)
    card = s2s.export.read_card(path)
    assert "MatMulInteger" in card["operations"]
    assert 0 < card["parity"]["difference"] < 0.1


def test_an_operation_that_onnx_lacks_is_refused_by_name(translator, tmp_path, monkeypatch):
    def search_ids(source_ids, search):
        return {"scores": tf.linalg.cholesky(tf.cast(source_ids, tf.float32))}

    monkeypatch.setattr(translator, "search_ids", search_ids)
    with pytest.raises(ValueError, match="Cannot convert the operation 'Cholesky' at node"):
        onnx_export._check_operators(onnx_export._convert(translator, "ids", None))
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_an_export_with_other_answers_leaves_the_old_file(translator, tmp_path, monkeypatch):
    def answer(self, signature, inputs):
        return {
            **found(self, signature, inputs),
            "scores": np.full((len(inputs["source_ids"]), 1), 0.5, np.float32),
        }

    found = OnnxSession.__call__
    monkeypatch.setattr(OnnxSession, "__call__", answer)
    (tmp_path / "g.onnx").write_text("before")
    with pytest.raises(
        ValueError,
        match="The export and the model return different outputs, so the export was removed",
    ):
        s2s.export.onnx(translator, tmp_path / "g.onnx", signature="greedy_ids", source_length=9)
    assert (tmp_path / "g.onnx").read_text() == "before"
    assert os.listdir(tmp_path) == ["g.onnx"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantization": "float16"}, "`quantization` must be"),
        ({"signature": "serving_default"}, "`signature` must be"),
        ({"source_length": 0}, "`source_length` must be a positive integer"),
        ({"path": "g.tflite"}, "must end in '.onnx'"),
    ],
)
def test_invalid_arguments_are_refused(translator, tmp_path, options, message):
    path = tmp_path / options.pop("path", "g.onnx")
    with pytest.raises(ValueError, match=message):
        s2s.export.onnx(translator, path, **options)


def test_a_missing_package_is_named_with_its_extra(translator, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-s2s\[onnx\]'"):
        s2s.export.onnx(translator, tmp_path / "g.onnx")


def test_a_file_that_is_not_onnx_is_reported(tmp_path):
    path = tmp_path / "g.onnx"
    with pytest.raises(FileNotFoundError, match="There is no file"):
        OnnxSession(str(path))
    with pytest.raises(FileNotFoundError, match="There is no file"):
        s2s.export.read_card(path)
    path.write_bytes(b"PK\3\4")
    with pytest.raises(ValueError, match="not an ONNX file, or damaged"):
        OnnxSession(str(path))
    with pytest.raises(ValueError, match="is not an ONNX file, or is damaged"):
        s2s.export.read_card(path)


def test_an_onnx_file_of_another_program_has_no_card(tmp_path):
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([], "g", [], [])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "g.onnx")
    with pytest.raises(FileNotFoundError, match=r"was not written by `keras_s2s\.export\.onnx`"):
        s2s.export.read_card(tmp_path / "g.onnx")


def test_translator_export_accepts_only_its_formats(translator, tmp_path):
    with pytest.raises(ValueError, match="`format` must be"):
        translator.export(tmp_path / "g", format="openvino")
    with pytest.raises(ValueError, match=r"must end in '\.tflite'"):
        translator.export(tmp_path / "g", format="litert")
    with pytest.raises(ValueError, match="must be a local folder"):
        translator.export("gs://bucket/g", format="tf_saved_model")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("serving", "saved_model"),
        ("g.v2", "saved_model"),
        ("g.tflite", "litert"),
        ("g.onnx", "onnx"),
    ],
)
def test_the_format_follows_the_suffix(translator, monkeypatch, path, name):
    monkeypatch.setattr(s2s.export, name, lambda *arguments: (name, arguments))
    assert translator.export(path) == (name, (translator, path))


def test_export_of_a_bare_model_points_to_translator_export(translator, tmp_path):
    with pytest.raises(NotImplementedError, match=r"use `Translator\(.*\)\.export\(path\)`"):
        translator.model.export(tmp_path / "g", format="litert")
