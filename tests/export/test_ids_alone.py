"""Exports that take only ids run without tensorflow-text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from helpers.served import WORDS, shared_translator

import keras_s2s as s2s
from keras_s2s.export.litert_export import output_shapes
from keras_s2s.export.sessions import CompiledSession, LiteRTSession
from keras_s2s.export.text_tokenizer import load_tokenizers
from keras_s2s.export.warmup import WARMUP_FILE

IDS = ("ids", "greedy_ids", "score_ids")
BATCHING = s2s.export.Batching(8)


@pytest.fixture(scope="module")
def translator():
    return shared_translator()


@pytest.fixture(scope="module")
def folder(translator, tmp_path_factory):
    path = tmp_path_factory.mktemp("ids") / "g"
    return s2s.export.saved_model(translator, path, signatures=IDS, batching=BATCHING)


@pytest.fixture(scope="module")
def fixed(translator, tmp_path_factory):
    path = tmp_path_factory.mktemp("fixed") / "g.tflite"
    return s2s.export.litert(translator, path, signatures=("ids",), source_length=20)


def test_the_given_batching_settings_are_stored_in_the_version(folder):
    stored = (Path(folder) / "batching_params.pbtxt").read_bytes()
    assert stored == BATCHING.to_file() != s2s.export.Batching().to_file()


@pytest.mark.slow
def test_warm_up_requests_have_the_fixed_length(translator, tmp_path):
    prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    warmup = s2s.export.Warmup(lengths=(3,))
    path = s2s.export.saved_model(
        translator, tmp_path / "g", signatures=("ids",), source_length=8, warmup=warmup
    )
    records = tf.data.TFRecordDataset(str(Path(path) / "assets.extra" / WARMUP_FILE))
    (record,) = records.as_numpy_iterator()
    request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
    (source_ids,) = tf.make_ndarray(request.inputs["source_ids"])
    assert (source_ids != 0).tolist() == 4 * [True] + 4 * [False]  # with eos


def is_about_text(operation):
    return operation.startswith("TFText>") or "String" in operation or "Table" in operation


def test_a_saved_model_of_ids_has_no_text_operation(folder):
    card = s2s.export.read_card(folder)
    assert list(card["signatures"]) == list(IDS)
    assert not any(map(is_about_text, set(card["operations"]) - {"StringJoin"}))
    assert card["parity"]["num_same_texts"] == card["parity"]["num_texts"] > 0


@pytest.mark.slow
def test_a_saved_model_of_ids_runs_without_tensorflow_text(folder, translator):
    ids = translator.source.tokenize(["hello", "a"]).numpy().tolist()
    code = f"""
import json, sys
sys.modules["tensorflow_text"] = None
import tensorflow as tf
run = tf.saved_model.load({folder!r}).signatures["ids"]
found = run(source_ids=tf.constant({ids!r}, tf.int32))["target_ids"].numpy()
print(json.dumps(found.tolist()))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = translator.search_ids(tf.constant(ids), translator.search)["target_ids"]
    assert json.loads(found.stdout) == expected.numpy().tolist()


@pytest.mark.slow
def test_saved_model_cli_runs_ids_alone(folder, translator, tmp_path):
    ids = translator.source.tokenize(["hello"]).numpy().tolist()
    program = "from tensorflow.python.tools.saved_model_cli import main; main()"
    command = [sys.executable, "-c", program, "run", "--dir", folder, "--tag_set", "serve"]
    command += ["--signature_def", "ids", "--outdir", tmp_path]
    np.save(tmp_path / "source_ids.npy", np.array(ids, np.int32))
    command += ["--inputs", f"source_ids={tmp_path / 'source_ids.npy'}"]
    subprocess.run(command, capture_output=True, text=True, check=True)
    expected = translator.search_ids(tf.constant(ids), translator.search)["target_ids"]
    np.testing.assert_array_equal(np.load(tmp_path / "target_ids.npy"), expected)


def test_ids_are_the_first_and_only_subgraph_with_a_fixed_length(fixed, translator):
    interpreter = Interpreter(fixed)  # as a runtime without signatures and resizing uses it
    interpreter.allocate_tensors()
    assert list(interpreter.get_signature_list()) == ["ids"]
    (source,) = interpreter.get_input_details()
    assert source["shape"].tolist() == source["shape_signature"].tolist() == [1, 20]
    shapes = sorted(output["shape"].tolist() for output in interpreter.get_output_details())
    assert shapes == [[1, 2], [1, 2], [1, 2], [1, 2, 12]]
    source_ids = np.zeros((1, 20), np.int32)
    row = translator.source.tokenize("hello").numpy()
    source_ids[0, : len(row)] = row
    interpreter.set_tensor(source["index"], source_ids)
    interpreter.invoke()
    found = {tuple(o["shape"]): o["index"] for o in interpreter.get_output_details()}
    expected = translator.search_ids(tf.constant([row]), translator.search)["target_ids"].numpy()
    target_ids = interpreter.get_tensor(found[1, 2, 12])
    np.testing.assert_array_equal(target_ids[:, :, : expected.shape[2]], expected)


def test_compiled_model_runs_a_file_of_ids(fixed, translator):
    shapes = {"ids": output_shapes(2, 12)}
    del shapes["ids"]["confidences"]  # an output of calibrated translators only
    source_ids = np.zeros((1, 20), np.int32)
    source_ids[0, :6] = translator.source.tokenize("hello").numpy()
    found = CompiledSession(fixed, 20, shapes)("ids", {"source_ids": source_ids})
    expected = LiteRTSession(fixed, text_operations=False)("ids", {"source_ids": source_ids})
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name])


@pytest.mark.slow
def test_a_compiled_model_with_other_answers_is_refused(translator, tmp_path, monkeypatch):
    def answer(self, signature, inputs):
        shapes = self._shapes[signature]
        return {name: np.ones(shape, np.int32) for name, shape in shapes.items()}

    monkeypatch.setattr(CompiledSession, "__call__", answer)
    with pytest.raises(
        ValueError, match="CompiledModel and its Interpreter return different outputs"
    ):
        s2s.export.litert(
            translator, tmp_path / "g.tflite", signatures=("greedy_ids",), source_length=8
        )
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_quantized_ids_are_compared_on_their_own_answers(translator, tmp_path):
    path = s2s.export.litert(
        translator, tmp_path / "g.tflite", signatures=("ids",), quantization="int8"
    )
    parity = s2s.export.read_card(path)["parity"]
    assert parity["compared"] == "log_probs per token"
    assert parity["num_texts"] > len(WORDS)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"signatures": "ids"}, TypeError, "must be a list of names. Received: signatures='ids'"),
        ({"signatures": 3}, TypeError, "Received: signatures=3"),
        ({"signatures": ["idz"]}, ValueError, "must be some of serving_default, .*score_ids"),
        ({"signatures": []}, ValueError, "each once"),
        ({"signatures": ["ids", "ids"]}, ValueError, "each once"),
        ({"source_length": 8}, ValueError, "requires signatures that take only ids"),
        ({"signatures": ["ids"], "source_length": 0}, ValueError, "must be a positive integer"),
    ],
)
@pytest.mark.parametrize("name", ["litert", "saved_model"])
def test_invalid_signatures_are_refused(translator, tmp_path, name, options, error, message):
    path = tmp_path / ("g.tflite" if name == "litert" else "g")
    with pytest.raises(error, match=message):
        getattr(s2s.export, name)(translator, path, **options)
    assert os.listdir(tmp_path) == []


def test_warm_up_texts_must_fit_the_fixed_length(translator, tmp_path):
    warmup = s2s.export.Warmup(lengths=(8,))
    with pytest.raises(ValueError, match="at most `source_length` tokens, 8"):
        s2s.export.saved_model(
            translator, tmp_path / "g", signatures=("ids",), source_length=8, warmup=warmup
        )


@pytest.mark.parametrize("kind", ["folder", "fixed"])
def test_vocabularies_are_read_and_written(kind, request, translator, tmp_path):
    path = request.getfixturevalue(kind)
    expected = {side: getattr(translator, side).vocabulary for side in ("source", "target")}
    assert s2s.export.vocabularies(path) == expected
    assert s2s.export.vocabularies(path, tmp_path / "assets") == expected
    source, target = load_tokenizers(tmp_path / "assets")
    ids = source.tokenize("naïve café")
    assert ids == translator.source.tokenize("naïve café").numpy().tolist()
    assert target.detokenize([4, 5, 3]) == "AA AE"


def test_a_folder_without_vocabularies_is_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no 'source_vocabulary\.json' in"):
        s2s.export.vocabularies(tmp_path)


def test_damaged_vocabularies_are_reported(tmp_path):
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "target_vocabulary.json").write_text("[")
    (tmp_path / "assets.extra" / "source_vocabulary.json").write_text("[")
    with pytest.raises(ValueError, match=r"'source_vocabulary\.json' in .* is damaged"):
        s2s.export.vocabularies(tmp_path)
