from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text
from ai_edge_litert.interpreter import Interpreter

from keras_s2s.export.litert_file import (
    add_metadata,
    list_operations,
    pack,
    read_metadata,
)
from keras_s2s.export.litert_runner import checksum, import_litert, is_intact
from keras_s2s.export.parts import read_card


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A small LiteRT file with the bytes of a text and an unrelated product."""
    kernel = tf.Variable(tf.random.normal([300, 7]))
    module = tf.Module()
    module.kernel = kernel
    inputs = [tf.TensorSpec([None, 300], name="inputs")]
    texts = [tf.TensorSpec([None], tf.string, name="texts")]
    module.run = tf.function(lambda inputs: {"y": inputs @ kernel}, input_signature=inputs)
    module.split = tf.function(
        lambda texts: {"y": tensorflow_text.ByteSplitter().split(texts).flat_values},
        input_signature=texts,
    )
    folder = str(tmp_path_factory.mktemp("metadata"))
    tf.saved_model.save(module, folder, signatures={"run": module.run, "split": module.split})
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["run", "split"])
    converter.allow_custom_ops = True
    return converter.convert()


def test_metadata_are_read_as_written(content, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(add_metadata(content, {"card": b"{}", "words": "é\0\n".encode()}))
    assert read_metadata(str(path))["card"] == b"{}"
    assert read_metadata(str(path))["words"] == "é\0\n".encode()


def test_only_metadata_of_the_same_name_are_replaced(content, tmp_path):
    path = tmp_path / "model.tflite"
    first = add_metadata(content, {"card": b"old", "other": b"kept"})
    path.write_bytes(add_metadata(first, {"card": b"new"}))
    assert read_metadata(str(path))["card"] == b"new"
    assert read_metadata(str(path))["other"] == b"kept"
    assert read_metadata(str(path))["min_runtime_version"]


def test_metadata_do_not_change_the_model(content):
    inputs = np.random.default_rng(0).normal(size=(3, 300)).astype(np.float32)
    answers = [
        Interpreter(model_content=each).get_signature_runner("run")(inputs=inputs)["y"]
        for each in (content, add_metadata(content, {"card": b"{}" * 1000}))
    ]
    np.testing.assert_array_equal(*answers)


def test_the_checksum_detects_a_changed_byte(content, tmp_path):
    path = tmp_path / "model.tflite"
    whole = add_metadata(content, {"card": b"{}"})
    told = []
    for place in range(0, len(whole), len(whole) // 100):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            read_metadata(str(path))
        except (ValueError, FileNotFoundError) as error:
            told.append(str(error))
        else:  # the entry of the checksum itself, as in a file of an earlier version
            assert checksum(path.read_bytes()) is None
    # the weights are a third of this file; elsewhere it may be unreadable
    assert sum("does not match its checksum" in it for it in told) > len(told) / 3
    assert is_intact(whole)
    assert is_intact(content)  # a file of an earlier version has no checksum


def test_operations_are_listed_with_those_that_are_not_built_in(content):
    found = list_operations(content)
    assert found == sorted(found)
    assert {"FULLY_CONNECTED", "TFText>ByteSplitWithOffsets"} <= set(found)


def test_a_file_without_a_card_is_refused(content, tmp_path):
    (tmp_path / "model.tflite").write_bytes(content)
    with pytest.raises(FileNotFoundError, match=r"There is no 'model_card.json' in"):
        read_card(tmp_path / "model.tflite")


@pytest.mark.parametrize("content", [b"", b"PK\3\4 a zip archive"])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "model.tflite").write_bytes(content)
    with pytest.raises(ValueError, match="is not a LiteRT file"):
        read_card(tmp_path / "model.tflite")


def test_a_file_that_does_not_exist_is_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_card(tmp_path / "model.tflite")


@pytest.fixture(scope="module")
def looped():
    """A small quantized LiteRT file: two signatures that run the same loop."""
    kernel = tf.Variable(np.random.default_rng(0).normal(size=[96, 96]).astype(np.float32))

    def run(inputs):
        (found,) = tf.while_loop(
            lambda _: True, lambda x: (tf.tanh(x @ kernel),), [inputs], maximum_iterations=3
        )
        return {"y": found}

    inputs = [tf.TensorSpec([None, 96], name="inputs")]
    names = ("first", "second")
    functions = [tf.function(run, input_signature=inputs).get_concrete_function() for _ in names]
    module = tf.Module()
    module.kernel = kernel
    converter = tf.lite.TFLiteConverter.from_concrete_functions(functions, module)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return bytes(converter.convert())


@pytest.fixture(scope="module")
def packed(looped):
    return pack(unpacked(looped))


def unpacked(looped):
    return import_litert("schema_py_generated").ModelT.InitFromPackedBuf(looped, 0)


def test_packing_does_not_change_the_answers(looped, packed):
    inputs = np.random.default_rng(1).normal(size=(5, 96)).astype(np.float32)
    answers = []
    for each in (looped, packed):
        interpreter = Interpreter(model_content=each)
        name = next(iter(interpreter.get_signature_list()))
        answers.append(interpreter.get_signature_runner(name)(inputs=inputs))
    for name, value in answers[0].items():
        np.testing.assert_array_equal(answers[1][name], value)


def test_a_packed_file_is_smaller_and_cannot_be_packed_further(looped, packed):
    assert len(packed) < len(looped)
    assert pack(unpacked(packed)) == packed


def test_names_of_inputs_and_outputs_are_kept(packed):
    for graph in unpacked(packed).subgraphs:
        outside = {*graph.inputs.tolist(), *graph.outputs.tolist()}
        for number, tensor in enumerate(graph.tensors):
            assert bool(tensor.name) == (number in outside)


def test_every_buffer_except_the_first_is_used_and_has_data(packed):
    model = unpacked(packed)
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    used |= {entry.buffer for entry in model.metadata}
    assert used == set(range(len(model.buffers)))
    assert [buffer.data is None for buffer in model.buffers] == [
        number == 0 for number in range(len(model.buffers))
    ]
