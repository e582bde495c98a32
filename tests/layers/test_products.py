"""Matrix products: the same by either library, which is chosen for the processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import keras_s2s as s2s
from keras_s2s.layers import products
from keras_s2s.layers.products import product

needs_onednn = pytest.mark.usefixtures("onednn")

ROOT = Path(__file__).parents[2]
ZEN_3 = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: sse2 avx avx2 fma\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16\n"


def draw(*shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)


def operations(graph: tf.Graph) -> set[str]:
    """Return the types of all operations of a graph and of the functions that it calls."""
    library = graph.as_graph_def(add_shapes=False).library.function
    nested = {node.op for function in library for node in function.node_def}
    return nested | {operation.type for operation in graph.get_operations()}


@needs_onednn
@pytest.mark.parametrize("rows", [0, 1, 7])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_products_and_gradients_are_those_of_tensorflow(rows, transpose_b):
    a, b = draw(rows, 6), draw(*((5, 6) if transpose_b else (6, 5)))

    @tf.function(autograph=False)
    def run(multiply):
        with products.fast_products(), tf.GradientTape() as tape:
            tape.watch((a, b))
            result = multiply(a, b, transpose_b=transpose_b)
            total = tf.reduce_sum(result * tf.sin(result))
        with products.fast_products():
            return result, *tape.gradient(total, (a, b))

    graph = run.get_concrete_function(products.matmul).graph
    assert "_MklMatMul" in operations(graph)
    for own, other in zip(run(products.matmul), run(tf.matmul), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6)


@needs_onednn
def test_a_transposed_first_matrix_is_multiplied():
    run = tf.function(products.matmul, autograph=False)
    with products.fast_products():
        found = run(draw(7, 3), draw(7, 4), transpose_a=True)
    np.testing.assert_allclose(found, draw(7, 3).numpy().T @ draw(7, 4).numpy(), rtol=1e-5)


@needs_onednn
def test_the_operation_is_in_no_graph_but_that_of_a_training_step():
    kernel = draw(6, 5)
    outside = tf.function(lambda values: product(values, kernel), autograph=False)
    graph = outside.get_concrete_function(tf.TensorSpec([None, 6])).graph
    assert "_MklMatMul" not in operations(graph)


@needs_onednn
@pytest.mark.slow
def test_training_is_the_same_by_either_library(monkeypatch):
    ids = tf.constant([[5, 6, 3, 0], [4, 3, 0, 0], [7, 6, 5, 3]])
    batch = {"source_ids": ids, "target_inputs": tf.constant([[2, 4, 5], [2, 4, 0], [2, 0, 0]])}
    labels = tf.constant([[4, 5, 3], [4, 3, 0], [3, 0, 0]])
    losses = []
    for onednn in (True, False):
        monkeypatch.setattr(products, "uses_onednn", lambda onednn=onednn: onednn)
        tf.keras.utils.set_random_seed(1)
        model = s2s.Seq2Seq(
            s2s.LSTMEncoder(10, 8, bidirectional=True),
            s2s.LSTMDecoder(10, 8, attention="bahdanau"),
        )
        model.compile("adam", loss=s2s.SequenceLoss())
        losses.append([float(model.train_on_batch(batch, labels)) for _ in range(3)])
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Return a function that describes the processor of a text of /proc/cpuinfo."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.machine import describe_processor

    path = tmp_path / "cpuinfo"

    def describe(text):
        products.instruction_sets.cache_clear()
        products.cpuinfo.cache_clear()
        if text:
            path.write_text(text)
        monkeypatch.setattr(products, "_CPUINFO", path)
        return describe_processor(), products.has_avx512(), products.has_bfloat16()

    yield describe
    monkeypatch.undo()
    products.instruction_sets.cache_clear()
    products.cpuinfo.cache_clear()


def test_a_processor_is_described_by_its_name_and_vector_instructions(read):
    assert read(ZEN_3) == ("AMD EPYC (avx, avx2, fma)", False, False)


def test_bfloat16_of_arm_and_of_avx512_is_found(read):
    assert read(ARM)[2]


def test_nothing_is_known_without_the_file(read):
    name, *instructions = read("")
    assert name
    assert instructions == [False, False]
