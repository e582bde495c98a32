from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter
from helpers.served import WORDS, shared_translator, tiny_translator

import keras_s2s as s2s
from keras_s2s.export import litert_export
from keras_s2s.export.litert_export import fix_sizes, remove_updates
from keras_s2s.export.litert_file import read_metadata
from keras_s2s.export.litert_runner import import_litert
from keras_s2s.export.served_module import ServedModule, save, trace
from keras_s2s.export.sessions import LiteRTSession
from keras_s2s.export.signatures import input_specs

NUM_HYPOTHESES, MAX_LENGTH = 2, 12  # those of the search
SPECS = input_specs("ids")


@pytest.fixture(scope="module")
def translator():
    return shared_translator()


@pytest.fixture(scope="module")
def exported(translator, tmp_path_factory):
    path = tmp_path_factory.mktemp("litert") / "model.tflite"
    return s2s.export.litert(translator, path, probes=WORDS, figures={"WER": 30.5})


def strings(texts):
    return np.array([text.encode() for text in texts], dtype=object)


def test_the_file_stands_alone(exported):
    assert os.listdir(os.path.dirname(exported)) == ["model.tflite"]


def test_the_export_has_the_documented_signatures(exported):
    assert Interpreter(exported).get_signature_list() == {
        "serving_default": {"inputs": ["source"], "outputs": ["log_probs", "scores", "target"]},
        "greedy": {"inputs": ["source"], "outputs": ["log_probs", "scores", "target"]},
        "ids": {
            "inputs": ["source_ids"],
            "outputs": ["lengths", "log_probs", "scores", "target_ids"],
        },
        "score": {"inputs": ["source", "target"], "outputs": ["log_probs", "scores"]},
    }


def test_the_card_and_the_vocabularies_are_in_the_file(exported, translator):
    card = s2s.export.read_card(exported)
    assert card["format"] == "LiteRT float32"
    assert card["figures"] == {"WER": 30.5}
    assert card["parity"]["compared"] == "scores"
    assert card["parity"]["num_same_texts"] == card["parity"]["num_texts"] > len(WORDS)
    assert {"WHILE", "TFText>ByteSplitWithOffsets"} <= set(card["operations"])
    for name in ("source", "target"):
        vocabulary = json.loads(read_metadata(exported)[f"{name}_vocabulary.json"])
        assert vocabulary == getattr(translator, name).vocabulary


@pytest.mark.parametrize("texts", [WORDS, WORDS[:1], WORDS[::-1] * 9, []])
def test_any_batch_gets_the_answers_of_the_model(exported, translator, texts):
    found = LiteRTSession(exported)("serving_default", {"source": strings(texts)})
    expected = translator(tf.constant(texts, tf.string))
    np.testing.assert_array_equal(found["target"], expected["target"])
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-5)


def test_ids_need_only_built_in_operations(exported, translator):
    run = Interpreter(exported).get_signature_runner("ids")
    for texts in (WORDS, WORDS[:1]):
        ids = translator.source.tokenize(texts).numpy()
        found, expected = run(source_ids=ids), translator.search_ids(ids, translator.search)
        longest = expected["target_ids"].shape[2]
        np.testing.assert_array_equal(found["target_ids"][:, :, :longest], expected["target_ids"])
        assert not np.any(found["target_ids"][:, :, longest:])
        np.testing.assert_allclose(found["log_probs"], expected["log_probs"], atol=1e-5)


def test_an_unsupported_operation_is_named(exported):
    session = LiteRTSession(exported, text_operations=False)
    with pytest.raises(ValueError, match=r"cannot run the signature 'greedy'.*TFText>ByteSplit"):
        session("greedy", {"source": strings(WORDS)})


@pytest.fixture(scope="module")
def wide_translator():
    """A translator whose weights are most of its file."""
    return tiny_translator(units=128, scale=0.2)


@pytest.mark.parametrize(
    ("quantization", "smallest", "largest"), [("float16", 1.5, 2.0), ("int8", 2.0, 4.0)]
)
@pytest.mark.slow
def test_a_quantized_file_is_smaller_by_the_documented_factor(
    wide_translator, tmp_path, quantization, smallest, largest
):
    path = s2s.export.litert(wide_translator, tmp_path / "g2p.tflite", quantization=quantization)
    weights = ServedModule(wide_translator).size()
    assert smallest < weights / os.path.getsize(path) < largest
    card = s2s.export.read_card(path)
    assert card["format"] == f"LiteRT {quantization}"
    assert card["parity"]["compared"] == "log_probs per token"
    assert 0 < card["parity"]["difference"] < card["parity"]["tolerance"]


@pytest.mark.slow
def test_an_empty_slot_has_the_same_score_in_a_float16_file(tmp_path):
    # -1e9 is -65504 in float16
    size = tiny_translator().target.vocabulary_size
    translator = tiny_translator(
        search=s2s.BeamSearch(beam_width=size, num_hypotheses=size, max_length=1)
    )
    path = s2s.export.litert(translator, tmp_path / "g2p.tflite", quantization="float16")
    expected = translator(tf.constant(["hello", "a"]))["scores"].numpy()
    assert 0 < np.count_nonzero(expected == -1e9) < expected.size
    scores = LiteRTSession(path)("serving_default", {"source": strings(["hello", "a"])})["scores"]
    assert ((scores == -1e9) == (expected == -1e9)).all()
    runner = s2s.export.LiteRTRunner(path)
    assert len(runner.search(["hello"])[0]) == np.count_nonzero(expected[0] > -1e9)


@pytest.mark.parametrize("quantization", ["full_int8", "int4", "", 8])
def test_an_unknown_quantization_is_refused_with_the_reason(translator, tmp_path, quantization):
    message = "must be one of None, 'float16', 'int8'. Full integer .* calibrator crashes"
    with pytest.raises(ValueError, match=message):
        s2s.export.litert(translator, tmp_path / "g2p.tflite", quantization=quantization)


@pytest.fixture
def corrupted(monkeypatch):
    """An export that writes other weights than the model's."""
    convert = litert_export._convert

    def convert_other_weights(translator, *arguments):
        weight = translator.model.weights[-1].value
        kept = tf.identity(weight)
        weight.assign_add(tf.range(weight.shape[0], dtype=tf.float32) * 1e-3)
        content = convert(translator, *arguments)
        weight.assign(kept)
        return content

    monkeypatch.setattr(litert_export, "_convert", convert_other_weights)


@pytest.mark.slow
def test_an_export_with_other_answers_leaves_the_old_file(translator, tmp_path, corrupted):
    path = tmp_path / "g2p.tflite"
    path.write_text("before")
    with pytest.raises(
        ValueError,
        match="The export and the model return different outputs, so the export was removed",
    ):
        s2s.export.litert(translator, path)
    assert os.listdir(tmp_path) == ["g2p.tflite"]
    assert path.read_text() == "before"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_export_leaves_the_old_file(translator, tmp_path, monkeypatch, error):
    def interrupt(*arguments):
        raise error

    path = tmp_path / "g2p.tflite"
    path.write_text("before")
    monkeypatch.setattr(litert_export, "_convert", lambda *arguments: b"content")
    monkeypatch.setattr(litert_export, "list_operations", lambda content: [])
    monkeypatch.setattr(litert_export, "add_metadata", lambda content, files: content)
    monkeypatch.setattr(litert_export, "_check", interrupt)
    with pytest.raises(error):
        s2s.export.litert(translator, path)
    assert os.listdir(tmp_path) == ["g2p.tflite"]
    assert path.read_text() == "before"


def test_without_the_runtime_the_extra_is_named(translator, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-s2s\[litert\]'"):
        s2s.export.litert(translator, tmp_path / "g2p.tflite")


@pytest.mark.parametrize("name", ["g2p", "g2p.tflite.gz", "g2p.keras"])
def test_another_suffix_is_refused(translator, tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in '.tflite'. Received: path='.*g2p"):
        s2s.export.litert(translator, tmp_path / name)


def test_a_folder_is_not_a_file(translator, tmp_path):
    (tmp_path / "g2p.tflite").mkdir()
    with pytest.raises(IsADirectoryError, match="must be the name of a file"):
        s2s.export.litert(translator, tmp_path / "g2p.tflite")


def test_a_folder_that_does_not_exist_is_reported(translator, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        s2s.export.litert(translator, tmp_path / "missing" / "g2p.tflite")


def test_only_a_translator_can_be_exported(tmp_path):
    with pytest.raises(TypeError, match=r"Only a `Translator` .* can be exported"):
        s2s.export.litert("g2p.keras", tmp_path / "g2p.tflite")


@pytest.fixture(scope="module")
def function(translator):
    ids = trace(translator, ["ids"])["ids"]
    return fix_sizes(ids, SPECS, NUM_HYPOTHESES, MAX_LENGTH)


@pytest.fixture(scope="module")
def ids_alone(translator, function, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("sizes"))
    save(ServedModule(translator), {"ids": function}, folder)
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["ids"])
    return bytes(converter.convert())


def check_sizes(found, translator, source_ids):
    expected = translator.search_ids(source_ids, translator.search)
    longest = expected["target_ids"].shape[2]
    assert found["target_ids"].shape == (len(source_ids), NUM_HYPOTHESES, MAX_LENGTH)
    np.testing.assert_array_equal(found["target_ids"][:, :, :longest], expected["target_ids"])
    assert not np.any(found["target_ids"][:, :, longest:])
    np.testing.assert_array_equal(found["lengths"], expected["lengths"])
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-5)
    np.testing.assert_allclose(found["log_probs"], expected["log_probs"], atol=1e-5)


@pytest.mark.parametrize("texts", [WORDS, WORDS[:1], WORDS[1:3]])
def test_the_interpreter_returns_outputs_of_the_fixed_size(ids_alone, translator, texts):
    source_ids = translator.source.tokenize(texts).numpy()
    run = Interpreter(model_content=ids_alone).get_signature_runner("ids")
    check_sizes(run(source_ids=source_ids), translator, source_ids)


def test_the_compiled_model_accepts_any_source_length(ids_alone, translator):
    model = CompiledModel.from_buffer(ids_alone)
    for text in ("hello", "a", "zebra crossing", "hello"):
        source_ids = translator.source.tokenize([text]).numpy()
        model.resize_input_tensor_by_name("ids", "source_ids", list(source_ids.shape))
        inputs = model.create_input_buffer_by_name("ids", "source_ids")
        inputs.write(source_ids.ravel())
        sizes = {"target_ids": (1, NUM_HYPOTHESES, MAX_LENGTH)}
        outputs = {
            output: model.create_output_buffer_by_name("ids", output)
            for output in ("target_ids", "lengths", "scores", "log_probs")
        }
        model.run_by_name("ids", {"source_ids": inputs}, outputs)
        found = {}
        for output, buffer in outputs.items():
            shape = sizes.get(output, (1, NUM_HYPOTHESES))
            dtype = np.int32 if output in ("target_ids", "lengths") else np.float32
            found[output] = buffer.read(int(np.prod(shape)), dtype).reshape(shape)
        check_sizes(found, translator, source_ids)


def test_without_a_maximum_length_the_signature_is_unchanged(translator):
    ids = trace(translator, ["ids"])["ids"]
    assert fix_sizes(ids, SPECS, NUM_HYPOTHESES, None) is ids


def test_only_buffer_updates_are_removed(function):
    graph_def = function.graph.as_graph_def()
    kept = remove_updates(graph_def)
    before = {node.op for node in graph_def.node} | _of_functions(graph_def)
    after = {node.op for node in kept.node} | _of_functions(kept)
    assert before - after == {"XlaDynamicUpdateSlice"}


def _of_functions(graph_def):
    return {node.op for function in graph_def.library.function for node in function.node_def}


def test_no_loop_copies_its_outputs_at_each_step(exported):
    schema = import_litert("schema_py_generated")
    with open(exported, "rb") as file:
        model = schema.ModelT.InitFromPackedBuf(file.read(), 0)
    number = schema.BuiltinOperator
    loops = [
        {model.operatorCodes[operator.opcodeIndex].builtinCode for operator in graph.operators}
        for graph in model.subgraphs
        if b"body" in graph.name
    ]
    assert any(number.DYNAMIC_UPDATE_SLICE in loop for loop in loops)
    assert not any(number.SCATTER_ND in loop for loop in loops)
