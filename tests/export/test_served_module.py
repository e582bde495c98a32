from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text
from helpers.rounding import ONE_PATH, assert_close
from helpers.served import WORDS, shared_translator, tiny_translator

from keras_s2s import BeamSearch
from keras_s2s.export.served_module import ServedModule, check_operations, save, trace
from keras_s2s.export.signatures import OPTIONS_MAX_LENGTH, SIGNATURES


@pytest.fixture(scope="module")
def translator():
    return shared_translator()


@pytest.fixture(scope="module")
def searches():
    """The searches that the fixture `functions` traces."""
    return []


@pytest.fixture(scope="module")
def functions(translator, searches):
    search = type(translator.model).search

    def watched(model, source_ids, how, **options):
        searches.append(how)
        return search(model, source_ids, how, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(translator.model), "search", watched)
        return trace(translator, SIGNATURES)


def test_a_module_references_each_weight_and_table_once(translator):
    module = ServedModule(translator)
    assert len(module.variables) == len(translator.model.weights)
    assert module.tables == [*translator.source.tables, *translator.target.tables]
    assert module.size() == sum(4 * np.prod(weight.shape) for weight in translator.model.weights)


def test_dropout_leaves_nothing_in_the_module():
    translator = tiny_translator(encoder={"dropout": 0.5}, decoder={"dropout": 0.5})
    assert ServedModule(translator).size() == ServedModule(tiny_translator()).size()


@pytest.mark.parametrize("name", SIGNATURES)
@pytest.mark.parametrize("change", [-1, 1])
def test_an_input_of_another_rank_is_an_error(functions, name, change):
    # the operations of tensorflow-text would end the process
    values = {tf.string: "a", tf.int32: 3, tf.float32: 1.0}
    inputs = {
        spec.name: tf.fill([1] * spec.shape.rank, values[spec.dtype])
        for spec in SIGNATURES[name].inputs
    }
    for given, value in inputs.items():
        wrong = tf.reshape(value, [1] * (value.shape.rank + change))
        with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible with expected"):
            functions[name](**{**inputs, given: wrong})


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_traced_signature_is_the_documented_one(functions, name):
    function = functions[name]
    inputs = tuple(function.structured_input_signature[0]) or tuple(
        function.structured_input_signature[1].values()
    )
    assert inputs == SIGNATURES[name].inputs
    outputs = {spec.name: spec for spec in SIGNATURES[name].outputs}
    assert set(function.structured_outputs) == set(outputs)
    for key, output in function.structured_outputs.items():
        assert output.dtype == outputs[key].dtype
        assert output.shape.is_compatible_with(outputs[key].shape)
        assert output.shape[0] is None


def test_a_search_is_traced_once_for_text_and_for_ids(translator, functions, searches):
    assert set(functions) == set(SIGNATURES)
    # "serving_default" with "ids", "greedy" alone, and "options"
    assert searches.count(translator.search) == 2
    assert searches.count(translator.greedy_search()) == 1


def test_padding_added_by_a_server_is_ignored(translator, functions):
    ids = translator.source.tokenize(["hello", "a"]).numpy()
    padded = np.pad(ids, [(0, 0), (0, 3)], constant_values=ids[0, 0])
    padded[1, 2:] = ids[0, 0]
    expected, found = (functions["ids"](tf.constant(each)) for each in (ids, padded))
    for name in ("target_ids", "lengths"):
        np.testing.assert_array_equal(found[name], expected[name])
    for name in ("scores", "log_probs"):  # products over more columns, summed in another order
        assert_close(found[name], expected[name], ONE_PATH)


def test_options_with_the_settings_of_the_search_return_its_answer(translator, functions):
    rows = np.ones(len(WORDS))
    search = translator.search
    found = functions["options"](
        tf.constant(WORDS),
        tf.constant(rows * search.max_length, tf.int32),
        tf.constant(rows * search.min_length, tf.int32),
        tf.constant(rows * search.length_penalty, tf.float32),
    )
    expected = functions["serving_default"](tf.constant(WORDS))
    np.testing.assert_array_equal(found["target"], expected["target"])
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-6)


def test_the_length_of_a_request_is_limited():
    translator = tiny_translator(search=BeamSearch(beam_width=1, max_length=4))
    bias = translator.model.decoder.logits.bias
    bias.assign(bias - 100 * np.eye(bias.shape[0])[3])  # never ends by itself
    (function,) = trace(translator, ["options"]).values()
    found = function(
        tf.constant(["a"]), tf.constant([10**9]), tf.constant([10**9]), tf.constant([0.0])
    )
    assert len(found["target"].numpy()[0, 0].split()) == OPTIONS_MAX_LENGTH


def test_a_disk_error_is_an_os_error(translator, functions, tmp_path):
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "model")
    with pytest.raises(OSError, match=f"Could not write the SavedModel to '{path}'"):
        save(ServedModule(translator), functions, path)


def graph_of(function, *specs):
    return tf.function(function).get_concrete_function(*specs).graph.as_graph_def()


def test_operations_of_a_graph_and_of_its_functions_are_listed_in_order():
    def count(x):
        return tf.while_loop(lambda k: k < x, lambda k: (k + 1,), (tf.constant(0),))

    found = check_operations(graph_of(count, tf.TensorSpec([], tf.int32)))
    assert found == sorted(set(found))
    assert {"StatelessWhile", "Less", "AddV2", "Const"} <= set(found)


def test_operations_of_tensorflow_text_are_allowed():
    graph = graph_of(tensorflow_text.ByteSplitter().split, tf.TensorSpec([None], tf.string))
    assert "TFText>ByteSplitWithOffsets" in check_operations(graph)


@pytest.mark.parametrize("name", ["CudnnRNN", "CudnnRNNV3", "CudnnRNNBackprop"])
def test_an_operation_that_needs_a_gpu_is_refused_with_its_layer(name):
    graph = tf.compat.v1.GraphDef()
    graph.node.add(name="my_context/lstm/CudnnRNN", op=name)
    message = f"operation '{name}' at node 'my_context/lstm/CudnnRNN': it runs only on a GPU"
    with pytest.raises(ValueError, match=message):
        check_operations(graph)


def test_python_functions_in_the_graph_are_refused():
    def inner(x):
        return tf.reshape(tf.numpy_function(np.sin, [x], tf.float32, stateful=False), [1])

    def outer(x):
        return tf.while_loop(lambda x: tf.reduce_all(x < 1), lambda x: (inner(x),), (x,))

    graph = graph_of(outer, tf.TensorSpec([1]))
    with pytest.raises(ValueError, match=r"'PyFuncStateless' at node .* of function .*Python"):
        check_operations(graph)


@pytest.mark.parametrize("name", ["XlaConv", "TPUReplicate", "ConfigureDistributedTPU"])
def test_operations_of_other_builds_are_refused(name):
    graph = tf.compat.v1.GraphDef()
    graph.node.add(name="node", op=name)
    with pytest.raises(ValueError, match=f"'{name}' at node 'node': a stock server"):
        check_operations(graph)


def test_an_operation_of_another_library_is_refused():
    graph = tf.compat.v1.GraphDef()
    graph.node.add(name="layer/node", op="Addons>Sparsemax")
    message = re.escape("'Addons>Sparsemax' at node 'layer/node': it is neither")
    with pytest.raises(ValueError, match=message):
        check_operations(graph)


def test_a_function_compiled_by_xla_is_refused():
    compiled = tf.function(lambda x: x + 1, jit_compile=True)
    with pytest.raises(ValueError, match="_XlaMustCompile"):
        check_operations(graph_of(compiled, tf.TensorSpec([None])))


def test_a_node_compiled_by_xla_is_refused():
    graph = tf.compat.v1.GraphDef()
    node = graph.node.add(name="layer/node", op="AddV2")
    node.attr["_XlaMustCompile"].b = True
    with pytest.raises(ValueError, match="_XlaMustCompile' at node 'layer/node'"):
        check_operations(graph)


def test_a_tokenizer_of_a_user_may_normalize_texts():
    def normalize(texts):
        return tensorflow_text.normalize_utf8(tensorflow_text.case_fold_utf8(texts), "NFKC")

    found = check_operations(graph_of(normalize, tf.TensorSpec([None], tf.string)))
    assert {"CaseFoldUTF8", "NormalizeUTF8"} <= set(found)


LIST_OPERATIONS = """
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session

def names():
    registered = op_def_pb2.OpList()
    registered.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return {operation.name for operation in registered.op}

before = names()
import tensorflow_text
print(*sorted(names() - before))
"""


@pytest.mark.slow
def test_every_operation_of_tensorflow_text_is_allowed():
    found = subprocess.run(
        [sys.executable, "-c", LIST_OPERATIONS], capture_output=True, text=True, check=True
    )
    graph = tf.compat.v1.GraphDef()
    for name in found.stdout.split():
        graph.node.add(name="node", op=name)
    assert "WordpieceTokenizeWithOffsets" in check_operations(graph)
