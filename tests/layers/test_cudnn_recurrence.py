"""What cuDNN is asked for, and what is made of its answers, by a stand-in and in real graphs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers.fake_cudnn import cudnn_rnn_v3

from keras_s2s.layers import GRU, LSTM, GRUEncoder, LSTMDecoder, LSTMEncoder, recurrent
from keras_s2s.layers.cudnn_recurrence import has_cudnn
from keras_s2s.layers.packing import make_packing, pack
from keras_s2s.losses import SequenceLoss
from keras_s2s.models import Seq2Seq
from keras_s2s.search import GreedySearch

UNITS, INPUT_UNITS = 3, 2
MASKS = {
    "ragged": [[1, 1, 0], [1, 1, 1], [1, 0, 0]],
    "padding inside and in front, an empty row": [[1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 1, 1]],
    "nothing but padding": [[0, 0], [0, 0]],
    "no rows": np.zeros([0, 3]),
}

every_kind = pytest.mark.parametrize("kind", [LSTM, GRU])


@pytest.fixture
def with_gpu(monkeypatch):
    """Let the layers believe that there is a GPU."""
    monkeypatch.setattr(recurrent, "has_cudnn", lambda: True)


@pytest.fixture
def stand_in(monkeypatch):
    """Count what is asked of the operation, which has no form for a CPU."""
    calls = []

    def counted(**kwargs):
        calls.append(kwargs["rnn_mode"])
        return cudnn_rnn_v3(**kwargs)

    monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", counted)
    return calls


def make_layer(kind, **kwargs):
    layer = kind(UNITS, **kwargs)
    layer.build((None, None, INPUT_UNITS))
    random = np.random.default_rng(0)
    layer.set_weights([random.normal(size=weight.shape) for weight in layer.get_weights()])
    return layer


def train(layer, mask):
    """Outputs and last state, and the gradients of a sum of them, by what the layer takes."""
    packing = make_packing(tf.constant(np.array(mask, bool)))
    random = np.random.default_rng(1)
    count = len(np.array(mask))
    rows = pack(
        tf.constant(random.normal(size=(*np.shape(mask), INPUT_UNITS)), tf.float32), packing
    )
    parts = [random.normal(size=(count, UNITS)) for _ in layer.state_type._fields]
    state = layer.state_type(*[tf.constant(part, tf.float32) for part in parts])
    weights = [weight.value for weight in layer.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch([rows, *state])
        outputs, last = layer(rows, packing=packing, state=state)
        total = tf.add_n([tf.reduce_sum(tf.sin(3.0 * result)) for result in (outputs, *last)])
    gradients = tape.gradient(
        total, [rows, *state, *weights], unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return [outputs, *last, *map(tf.convert_to_tensor, gradients)]


@every_kind
@pytest.mark.parametrize("go_backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_with_a_gpu_it_gives_what_the_loop_gives(kind, go_backwards, mask, stand_in, monkeypatch):
    layer = make_layer(kind, go_backwards=go_backwards)
    expected = train(layer, mask)
    assert not stand_in
    monkeypatch.setattr(recurrent, "has_cudnn", lambda: True)
    got = train(layer, mask)
    assert stand_in == [{LSTM: "lstm", GRU: "gru"}[kind]]
    for number, (ours, theirs) in enumerate(zip(got, expected, strict=True)):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, err_msg=f"number {number}")


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.usefixtures("with_gpu")
def test_in_mixed_precision_the_rows_keep_their_precision(dtype, stand_in):
    encoder = LSTMEncoder(9, UNITS, dtype=dtype)
    encoded = encoder(tf.constant([[5, 6, 3], [7, 3, 0]]), packed=True, training=True)
    assert stand_in == ["lstm"]
    assert encoded.memory.dtype == dtype.removeprefix("mixed_")


@pytest.mark.usefixtures("with_gpu")
def test_what_cudnn_cannot_do_takes_the_loop(stand_in):
    ids = tf.constant([[5, 6, 3], [7, 3, 0]])
    LSTMEncoder(9, UNITS, recurrent_dropout=0.5)(ids, packed=True, training=True)
    LSTMEncoder(9, UNITS)(ids)  # padded, as searches and exports are
    assert not stand_in


@pytest.mark.parametrize("encoder", [LSTMEncoder, GRUEncoder])
@pytest.mark.usefixtures("with_gpu")
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
    assert trained.count("CudnnRNNV3") == trained.count("CudnnRNNBackpropV3") == 3
    assert not [name for name in searched if "Cudnn" in name]


def operations(function):
    graph = function.get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(node for called in graph.library.function for node in called.node_def)]
    return [node.op for node in nodes]


@pytest.mark.usefixtures("with_gpu")
def test_on_a_gpu_keras_does_not_choose_xla_by_itself():
    assert not LSTM(UNITS).supports_jit
    assert not GRU(UNITS).supports_jit


def test_without_a_gpu_there_is_no_cudnn(monkeypatch):
    assert not has_cudnn()
    assert LSTM(UNITS).supports_jit
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [kind])
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_cuda_build": True})
    assert has_cudnn()
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_cuda_build": False})
    assert not has_cudnn()


def test_threads_can_be_set_after_a_layer_was_made():
    program = (
        "import tensorflow as tf; from keras_s2s.layers import LSTM; LSTM(3);"
        "tf.config.threading.set_intra_op_parallelism_threads(1)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
