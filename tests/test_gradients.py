"""Models that are gone leave no graphs behind."""

from __future__ import annotations

import gc

import keras
import pytest
import tensorflow as tf
from helpers.small import KINDS, SOURCE_IDS, TARGET_LABELS, inputs, make_model
from helpers.translators import make_translator
from tensorflow.python.framework.func_graph import FuncGraph
from tensorflow.python.framework.ops import gradient_registry

from keras_s2s.export import litert, onnx, saved_model
from keras_s2s.losses import SequenceLoss
from keras_s2s.search import GreedySearch


def graphs() -> int:
    gc.collect()
    return sum(isinstance(each, FuncGraph) for each in gc.get_objects())


def gradients() -> set[str]:
    gc.collect()
    return {name for name in gradient_registry.list() if name.startswith("CustomGradient")}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_is_gone_leaves_no_graph(kind):
    counts = []
    for _ in range(3):
        model = make_model(kind)
        model.compile("adam", loss=SequenceLoss())
        model.fit(inputs(), TARGET_LABELS, verbose=0, validation_data=(inputs(), TARGET_LABELS))
        model.search(SOURCE_IDS, GreedySearch(max_length=3))
        model.log_prob(SOURCE_IDS, TARGET_LABELS)
        del model
        keras.backend.clear_session()
        counts.append(graphs())
    assert counts[1] == counts[2]


def test_searches_that_are_no_longer_cached_leave_no_graph():
    model, counts = make_model("luong"), []
    for start in (1, 21, 41):
        for length in range(start, start + 20):  # more than the cache holds
            model.search(SOURCE_IDS, GreedySearch(max_length=length))
        counts.append(graphs())
    assert counts[1] == counts[2]


@pytest.mark.parametrize(
    ("export", "path"), [(saved_model, "serving"), (litert, "m.tflite"), (onnx, "m.onnx")]
)
def test_an_export_leaves_no_gradients(tmp_path, export, path):
    translator = make_translator()
    before = gradients()
    export(translator, tmp_path / path, verbose=False)
    del translator
    assert gradients() <= before


def test_a_gradient_can_be_computed_after_the_call():
    model = make_model("bahdanau")
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(model.log_prob(SOURCE_IDS, TARGET_LABELS))
    gradients = tape.gradient(total, model.trainable_weights)
    assert all(gradient is not None for gradient in gradients)
