"""On a real GPU, cuDNN computes the same as the loop, and trained models run anywhere.

CUDA_VISIBLE_DEVICES=0 python -m pytest -m gpu
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.reversing import compile_model, make_data, make_model
from helpers.stacks import MASKS, make_stack, train

from keras_s2s.callbacks import Resume
from keras_s2s.layers import MaskedGRU, MaskedLSTM
from keras_s2s.search import BeamSearch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(
        not tf.config.list_physical_devices("GPU"),
        reason="sees no GPU; run with CUDA_VISIBLE_DEVICES=0",
    ),
]

INPUTS, LABELS = make_data(96, seed=0)
SIZES = {"small": (3, 2), "large": (64, 32)}


@pytest.fixture(autouse=True)
def full_precision():
    """Turn TensorFloat-32 off, which rounds the operands of products."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    yield
    tf.config.experimental.enable_tensor_float_32_execution(before)


@pytest.mark.parametrize("kind", [MaskedLSTM, MaskedGRU])
@pytest.mark.parametrize("mask", [*MASKS.values(), "long"], ids=[*MASKS, "long"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(
    ("options", "states"),
    [
        ({}, False),
        ({}, True),
        ({"bidirectional": True}, False),
        ({"residual": True}, True),
        ({"layer_normalization": True, "bidirectional": True}, False),
    ],
    ids=["from zeros", "from a state", "bidirectional", "residual", "normalized"],
)
def test_cudnn_computes_the_same_as_the_loop(kind, mask, size, options, states):
    if mask == "long":
        mask = np.arange(21) < np.arange(33)[:, None] % 22
    units, input_units = size
    stack = make_stack(kind, units, input_units, **options)
    expected, got = (train(stack, mask, states, lengths, input_units) for lengths in (False, True))
    for number, (ours, theirs) in enumerate(zip(got, expected, strict=True)):
        scale = max(1.0, float(tf.reduce_max(tf.abs(theirs))))
        np.testing.assert_allclose(ours, theirs, atol=2e-4 * scale, err_msg=f"number {number}")


def fit(model, epochs=2, **kwargs):
    compile_model(model, learning_rate=0.01)
    history = model.fit(
        INPUTS, LABELS, batch_size=32, epochs=epochs, verbose=0, shuffle=False, **kwargs
    )
    return history.history


@pytest.mark.parametrize("attention", [None, "luong", "bahdanau"])
def test_training_is_the_same_as_on_a_cpu(attention):
    ended = []
    for device in ("GPU:0", "CPU:0"):
        keras.utils.set_random_seed(0)
        with tf.device(device):
            model = make_model(units=16, attention=attention)
            ended.append((fit(model), model.evaluate(INPUTS, LABELS, verbose=0, return_dict=True)))
    (ours, evaluated), (theirs, expected) = ended
    for name, values in theirs.items():
        assert ours[name] == pytest.approx(values, rel=2e-3, abs=2e-3)
    for name, value in expected.items():
        assert evaluated[name] == pytest.approx(value, rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_model_learns_in_16_bits(policy):
    losses = fit(make_model(units=32, attention="luong", dtype=policy), epochs=6)["loss"]
    assert losses[-1] < 0.8 * losses[0]


def test_a_search_returns_the_ids_of_a_cpu():
    model = make_model(units=16, attention="luong")
    fit(model)
    search = BeamSearch(beam_width=3, max_length=6)
    found = model.search(INPUTS["source_ids"], search)
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    with tf.device("CPU:0"):
        expected = other.search(INPUTS["source_ids"], search)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_allclose(found.log_probs, expected.log_probs, atol=1e-4)


def test_a_search_traced_on_a_gpu_contains_no_cudnn():
    model = make_model(units=8, attention="luong")

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
    def search(source_ids):
        return model.search(source_ids, BeamSearch(beam_width=3, max_length=6)).ids

    graph = search.get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(node for called in graph.library.function for node in called.node_def)]
    assert not [node.op for node in nodes if "Cudnn" in node.op]


def test_a_resumed_run_ends_with_nearly_the_same_weights(tmp_path):
    """The bits differ, because a GPU sums the gradient of an embedding in no fixed order."""
    keras.utils.set_random_seed(0)
    whole = make_model(units=16, attention="luong")
    before = whole.get_weights()
    fit(whole, epochs=3)
    for epochs in (1, 3):
        model = make_model(units=16, attention="luong")
        model.set_weights(before)
        fit(model, epochs=epochs, callbacks=[Resume(tmp_path)])
    for ours, theirs in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
