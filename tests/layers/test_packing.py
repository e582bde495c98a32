"""Packing takes the real tokens out of a padded batch and puts them back."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.layers.packing import make_packing, pack, places_with_padding_last, unpack

MASKS = {
    "ragged": [[1, 1, 0], [1, 1, 1], [1, 0, 0]],
    "padding inside": [[0, 1, 0, 1], [1, 0, 0, 1]],
    "an empty row": [[1, 1], [0, 0], [1, 0]],
    "nothing but padding": [[0, 0, 0], [0, 0, 0]],
    "batch of one": [[1, 1, 0, 0]],
    "one token": [[1]],
    "no rows": np.zeros([0, 3]),
    "no columns": np.zeros([2, 0]),
}

every_mask = pytest.mark.parametrize(
    "mask", [np.array(mask, bool) for mask in MASKS.values()], ids=MASKS
)


def numbers(*shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)


@every_mask
def test_unpacking_gives_back_the_real_tokens_and_zeros(mask):
    values, packing = numbers(*mask.shape, 2), make_packing(tf.constant(mask))
    rows = pack(values, packing)
    assert rows.shape == (mask.sum(), 2)
    np.testing.assert_array_equal(unpack(rows, packing), values * mask[:, :, np.newaxis])


@every_mask
def test_ids_are_packed_as_vectors_are(mask):
    ids = tf.constant(np.arange(mask.size).reshape(mask.shape) + 1, tf.int32)
    packing = make_packing(tf.constant(mask))
    np.testing.assert_array_equal(unpack(pack(ids, packing), packing), ids * mask)


def test_each_step_is_a_slice_with_the_longest_sequence_first():
    ids = tf.constant([[11, 12, 0], [0, 21, 0], [31, 32, 33], [0, 0, 0]])
    packing = make_packing(tf.not_equal(ids, 0))
    np.testing.assert_array_equal(pack(ids, packing), [31, 11, 21, 32, 12, 33])
    np.testing.assert_array_equal(packing.sizes, [3, 2, 1])
    np.testing.assert_array_equal(packing.starts, [0, 3, 5])
    np.testing.assert_array_equal(packing.order, [2, 0, 1, 3])
    np.testing.assert_array_equal(tf.gather(packing.order, packing.inverse_order), range(4))


@every_mask
def test_the_gradients_are_each_others_adjoint(mask):
    packing = make_packing(tf.constant(mask))
    values, rows = numbers(*mask.shape, 2), numbers(int(mask.sum()), 2)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([values, rows])
        packed, unpacked = pack(values, packing), unpack(rows, packing)
    # <pack(v), r> = <v, unpack(r)>, so the gradient of the one is the other
    np.testing.assert_array_equal(tape.gradient(packed, values, rows), unpacked)
    np.testing.assert_array_equal(tape.gradient(unpacked, rows, values), packed)


def test_the_gradient_of_a_gather_after_it_is_taken_too():
    packing = make_packing(tf.constant([[True, True]]))
    values = tf.ones([1, 2, 1])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(values)
        first = tf.gather(pack(values, packing), [0])  # its gradient comes as IndexedSlices
        again = tf.gather(unpack(pack(values, packing), packing), [0])
    np.testing.assert_array_equal(tape.gradient(first, values), [[[1], [0]]])
    np.testing.assert_array_equal(tape.gradient(again, values), [[[1], [1]]])


@every_mask
def test_the_padding_is_last_in_each_row_and_the_order_is_kept(mask):
    ids = np.where(mask, np.arange(mask.size).reshape(mask.shape) + 1, 0)
    moved = np.full(mask.size, -1)
    moved[places_with_padding_last(tf.constant(ids))] = ids.ravel()
    order = np.argsort(~mask, axis=1, kind="stable")
    expected = np.take_along_axis(ids, order, axis=1)
    np.testing.assert_array_equal(moved.reshape(mask.shape), expected)
