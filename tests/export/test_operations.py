from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text

from keras_s2s.export.operations import check_operations


def graph_of(function, *specs):
    return tf.function(function).get_concrete_function(*specs).graph.as_graph_def()


def test_operations_of_a_graph_and_of_its_functions_are_listed_in_order():
    def count(x):
        return tf.while_loop(lambda k: k < x, lambda k: (k + 1,), (tf.constant(0),))

    found = check_operations(graph_of(count, tf.TensorSpec([], tf.int32)))
    assert found == sorted(set(found))
    assert {"StatelessWhile", "Less", "AddV2", "Const"} <= set(found)


def test_operations_of_tensorflow_text_are_taken():
    graph = graph_of(tensorflow_text.ByteSplitter().split, tf.TensorSpec([None], tf.string))
    assert "TFText>ByteSplitWithOffsets" in check_operations(graph)


@pytest.mark.parametrize("name", ["CudnnRNN", "CudnnRNNV3", "CudnnRNNBackprop"])
def test_an_operation_of_the_gpu_only_is_refused_with_its_layer(name):
    graph = tf.compat.v1.GraphDef()
    graph.node.add(name="my_context/lstm/CudnnRNN", op=name)
    message = f"operation '{name}' at node 'my_context/lstm/CudnnRNN': it runs only on a GPU"
    with pytest.raises(ValueError, match=message):
        check_operations(graph)


def test_python_in_the_graph_is_refused_wherever_it_is():
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
def test_every_operation_that_tensorflow_text_registers_is_taken():
    found = subprocess.run(
        [sys.executable, "-c", LIST_OPERATIONS], capture_output=True, text=True, check=True
    )
    graph = tf.compat.v1.GraphDef()
    for name in found.stdout.split():
        graph.node.add(name="node", op=name)
    assert "WordpieceTokenizeWithOffsets" in check_operations(graph)
