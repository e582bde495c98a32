"""A call is compiled once for all batch sizes and lengths."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from keras_s2s.graphs import CompiledCalls, GraphState

ANY_SIZE = [tf.TensorSpec([None, None], tf.int32)]


def test_other_batch_sizes_and_lengths_cause_no_retracing():
    traced = []

    def total(ids):
        traced.append(ids.shape)
        return tf.reduce_sum(ids)

    call = CompiledCalls().get("total", total, ANY_SIZE)
    for shape in [(1, 2), (3, 2), (3, 5), (0, 1)]:
        assert call(tf.ones(shape, tf.int32)) == shape[0] * shape[1]
    assert len(traced) == 1


def test_each_key_has_its_own_function():
    calls = CompiledCalls()
    one = calls.get("one", lambda ids: ids + 1, ANY_SIZE)
    assert calls.get("two", lambda ids: ids + 2, ANY_SIZE)(tf.constant([[0]])) == 2
    assert one(tf.constant([[0]])) == 1
    assert calls.get("one", lambda ids: ids + 3, ANY_SIZE) is one


def test_many_searches_of_one_model_are_no_reason_to_warn(caplog):
    calls = CompiledCalls()
    for key in range(40):
        calls.get(key, _double, [tf.TensorSpec([])])(tf.constant(1.0))
    assert not [record for record in caplog.records if "retracing" in record.getMessage()]


def test_only_the_functions_that_were_used_last_are_kept():
    calls = CompiledCalls()
    functions = [calls.get(key, _double, [tf.TensorSpec([])]) for key in range(17)]
    assert calls.get(16, _double, [tf.TensorSpec([])]) is functions[16]
    assert calls.get(1, _double, [tf.TensorSpec([])]) is functions[1]
    assert calls.get(0, _double, [tf.TensorSpec([])]) is not functions[0]


def test_functions_of_a_changed_layer_are_compiled_again():
    layer, calls = keras.layers.Dense(2), CompiledCalls()
    layer.build((None, 2))

    def get():
        return calls.get("call", _double, [tf.TensorSpec([])], state=GraphState(layer))

    first = get()
    layer.set_weights([np.zeros([2, 2]), np.zeros([2])])
    assert get() is first  # values are no part of a graph
    layer.enable_lora(1)
    second = get()
    assert second is not first
    assert get() is second


def _double(value):
    return 2.0 * value
