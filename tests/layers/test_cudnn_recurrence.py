"""What cuDNN is asked for, and what is made of its answers, by a stand-in and in real graphs."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.fake_cudnn import cudnn_rnn_v3
from helpers.stacks import MASKS, make_stack, train

from keras_s2s.layers import (
    GRUDecoder,
    GRUEncoder,
    LSTMDecoder,
    LSTMEncoder,
    MaskedGRU,
    MaskedLSTM,
    cudnn_recurrence,
)
from keras_s2s.layers.cudnn_recurrence import has_cudnn, runs_on_gpu
from keras_s2s.losses import SequenceLoss
from keras_s2s.metrics import Perplexity
from keras_s2s.models import Seq2Seq, batches
from keras_s2s.search import GreedySearch

UNITS = 3
# Padding inside and at the start, which is moved before a step.
SOURCES = [[0, 5, 0, 6, 3], [7, 3, 0, 0, 0], [0, 0, 0, 0, 3]]
TARGETS = [[2, 0, 5], [0, 2, 7], [2, 6, 8]]
LABELS = [[5, 0, 3], [0, 7, 3], [6, 8, 3]]

every_kind = pytest.mark.parametrize("kind", [MaskedLSTM, MaskedGRU])


@pytest.fixture
def with_gpu(monkeypatch):
    """Let training believe that it runs on a GPU."""
    monkeypatch.setattr(batches, "runs_on_gpu", lambda: True)


@pytest.fixture
def stand_in(monkeypatch):
    """Count what is asked of the operation, which has no form for a CPU."""
    calls = []

    def counted(**kwargs):
        calls.append((kwargs["rnn_mode"], len(kwargs["input_h"])))
        return cudnn_rnn_v3(**kwargs)

    monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", counted)
    return calls


@every_kind
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize(
    ("options", "states", "calls"),
    [
        ({}, False, [2]),
        ({}, True, [2]),
        ({"bidirectional": True}, False, [4]),
        ({"residual": True}, True, [1, 1]),
        ({"layer_normalization": True, "bidirectional": True}, False, [2, 2]),
    ],
    ids=["from zeros", "from a state", "bidirectional", "residual", "normalized"],
)
@pytest.mark.sampled(5)
def test_cudnn_matches_the_loop(kind, mask, options, states, calls, stand_in):
    stack = make_stack(kind, **options)
    expected = train(stack, mask, states, lengths=False)
    assert not stand_in
    got = train(stack, mask, states, lengths=True)
    assert stand_in == [({MaskedLSTM: "lstm", MaskedGRU: "gru"}[kind], count) for count in calls]
    for number, (ours, theirs) in enumerate(zip(got, expected, strict=True)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5, err_msg=f"number {number}")


def test_layers_with_dropout_between_them_are_computed_one_by_one(stand_in):
    stack = make_stack(MaskedLSTM, dropout=0.5)
    train(stack, MASKS["ragged"], states=False, lengths=True)
    assert stand_in == [("lstm", 1), ("lstm", 1)]
    stand_in.clear()
    ids = tf.constant([[5, 6, 3], [7, 3, 0]])
    encoder = LSTMEncoder(9, UNITS, num_layers=2, dropout=0.5)
    encoder(ids, cudnn=True, training=False)
    assert stand_in == [("lstm", 2)]


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_in_mixed_precision_the_outputs_keep_their_precision(dtype, stand_in):
    encoder = LSTMEncoder(9, UNITS, dtype=dtype)
    encoded = encoder(tf.constant([[5, 6, 3], [7, 3, 0]]), cudnn=True, training=True)
    assert stand_in == [("lstm", 1)]
    assert encoded.memory.dtype == dtype.removeprefix("mixed_")


def test_the_loop_runs_what_cudnn_does_not_support(stand_in):
    ids = tf.constant([[5, 6, 3], [7, 3, 0]])
    LSTMEncoder(9, UNITS, recurrent_dropout=0.5)(ids, cudnn=True, training=True)
    LSTMEncoder(9, UNITS)(ids)  # as searches and exports call it
    assert not stand_in


def make_model(encoder=LSTMEncoder, decoder=LSTMDecoder, **kwargs):
    shared = {"num_layers": 2}
    return Seq2Seq(
        encoder(9, UNITS, bidirectional=True, **shared),
        decoder(9, UNITS, attention="luong", **shared, **kwargs),
    )


@pytest.mark.parametrize(
    ("encoder", "decoder"), [(LSTMEncoder, LSTMDecoder), (GRUEncoder, GRUDecoder)]
)
@pytest.mark.parametrize("sample_weight", [None, "row", "token"])
@pytest.mark.sampled(1)
def test_a_step_and_an_evaluation_are_those_of_a_cpu(
    encoder, decoder, sample_weight, stand_in, monkeypatch
):
    """Whatever stands in the rows: padding on either side and in the middle."""
    model = make_model(encoder, decoder, input_feeding=False)
    data = {"source_ids": np.array(SOURCES), "target_inputs": np.array(TARGETS)}
    weights = {"row": np.array([1.0, 0.5, 2.0]), "token": np.linspace(0.5, 2, 9).reshape(3, 3)}
    before, ended = model.get_weights(), []
    for on_gpu in (False, True):
        monkeypatch.setattr(batches, "runs_on_gpu", lambda on_gpu=on_gpu: on_gpu)
        model.set_weights(before)
        model.compile(
            keras.optimizers.SGD(0.5),
            loss=SequenceLoss(label_smoothing=0.1),
            metrics=[Perplexity()],
            weighted_metrics=[Perplexity(name="weighted")],
            run_eagerly=True,
        )
        weight = weights.get(sample_weight)
        trained = model.train_on_batch(data, np.array(LABELS), weight, return_dict=True)
        evaluated = model.evaluate(
            data, np.array(LABELS), sample_weight=weight, verbose=0, return_dict=True
        )
        ended.append((trained, evaluated, model.get_weights()))
        assert bool(stand_in) == on_gpu
    (trained, evaluated, weights), (*figures, other_weights) = ended
    for ours, theirs in zip(figures, (trained, evaluated), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    for ours, theirs in zip(other_weights, weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_another_loss_gets_the_padded_logits(stand_in, with_gpu):
    model = make_model()
    seen = []

    def loss(labels, logits):
        seen.append((labels.shape, logits.shape))
        return tf.reduce_mean(logits, axis=-1)

    model.compile("sgd", loss=loss, run_eagerly=True)
    data = {"source_ids": np.array(SOURCES), "target_inputs": np.array(TARGETS)}
    model.train_on_batch(data, np.array(LABELS))
    assert seen[-1] == ((3, 3), (3, 3, 9))
    assert stand_in


@pytest.mark.parametrize("encoder", [LSTMEncoder, GRUEncoder])
@pytest.mark.usefixtures("with_gpu")
@pytest.mark.sampled(1)
def test_a_training_step_holds_cudnn_and_its_gradient_and_a_search_does_not(encoder):
    model = Seq2Seq(encoder(9, UNITS, bidirectional=True), LSTMDecoder(9, UNITS, attention="luong"))
    model.compile("adam", loss=SequenceLoss())
    assert not model.jit_compile
    ids = tf.TensorSpec([None, None], tf.int32)

    @tf.function(input_signature=[{"source_ids": ids, "target_inputs": ids}, ids], autograph=False)
    def step(inputs, labels):
        return model.train_step((inputs, labels))

    @tf.function(input_signature=[ids], autograph=False)
    def search(source_ids):
        return model.search(source_ids, GreedySearch(max_length=4)).ids

    trained, searched = (operations(function) for function in (step, search))
    assert trained.count("CudnnRNNV3") == trained.count("CudnnRNNBackpropV3") == 2
    assert not [name for name in searched if "Cudnn" in name]


def operations(function):
    graph = function.get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(node for called in graph.library.function for node in called.node_def)]
    return [node.op for node in nodes]


@pytest.fixture
def pretend_gpu(monkeypatch):
    """Let TensorFlow say that it sees a GPU and was built for one."""
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [kind])
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_cuda_build": True})


@pytest.mark.usefixtures("pretend_gpu")
def test_on_a_gpu_keras_does_not_choose_xla_by_itself():
    assert not MaskedLSTM(UNITS).supports_jit
    assert not MaskedGRU(UNITS).supports_jit


def test_without_a_gpu_there_is_no_cudnn(monkeypatch):
    assert not has_cudnn()
    assert MaskedLSTM(UNITS).supports_jit
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [kind])
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_cuda_build": True})
    assert has_cudnn()
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_cuda_build": False})
    assert not has_cudnn()


@pytest.mark.usefixtures("pretend_gpu")
def test_cudnn_is_used_only_on_the_gpu():
    answers = []

    def ask():
        answers.append(runs_on_gpu())

    def ask_on_a_gpu():
        with tf.device("GPU:0"):
            ask()

    tf.function(ask_on_a_gpu, autograph=False).get_concrete_function()
    with tf.device("CPU:0"):
        tf.function(ask, autograph=False)()
        ask()
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    tf.function(lambda: strategy.run(ask), autograph=False)()
    assert answers == [True, False, False, False]


def test_without_a_gpu_a_training_runs_on_the_cpu(monkeypatch):
    monkeypatch.setattr(cudnn_recurrence, "has_cudnn", lambda: False)
    assert not runs_on_gpu()


@pytest.mark.slow
def test_threads_can_be_set_after_creating_a_layer():
    program = (
        "import tensorflow as tf; from keras_s2s.layers import MaskedLSTM; MaskedLSTM(3);"
        "tf.config.threading.set_intra_op_parallelism_threads(1)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
