from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from keras_s2s.export.litert_packing import import_schema, pack


@pytest.fixture(scope="module")
def content():
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
def packed(content):
    return pack(unpacked(content))


def unpacked(content):
    return import_schema().ModelT.InitFromPackedBuf(content, 0)


def test_a_packed_file_answers_as_before(content, packed):
    inputs = np.random.default_rng(1).normal(size=(5, 96)).astype(np.float32)
    answers = []
    for each in (content, packed):
        interpreter = Interpreter(model_content=each)
        name = next(iter(interpreter.get_signature_list()))
        answers.append(interpreter.get_signature_runner(name)(inputs=inputs))
    for name, value in answers[0].items():
        np.testing.assert_array_equal(answers[1][name], value)


def test_a_packed_file_is_smaller_and_cannot_be_packed_further(content, packed):
    assert len(packed) < len(content)
    assert pack(unpacked(packed)) == packed


def test_names_stay_where_a_user_meets_them(packed):
    for graph in unpacked(packed).subgraphs:
        outside = {*graph.inputs.tolist(), *graph.outputs.tolist()}
        for number, tensor in enumerate(graph.tensors):
            assert bool(tensor.name) == (number in outside)


def test_each_buffer_is_used_and_holds_data_but_the_first(packed):
    model = unpacked(packed)
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    used |= {entry.buffer for entry in model.metadata}
    assert used == set(range(len(model.buffers)))
    assert [buffer.data is None for buffer in model.buffers] == [
        number == 0 for number in range(len(model.buffers))
    ]
