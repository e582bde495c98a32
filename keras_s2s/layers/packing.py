"""Packed sequences: the real tokens of a padded batch, and nothing else.

A padded batch of shape `(batch, length, ...)` is kept as rows of shape `(tokens, ...)`: step 0
of every sequence first, the longest sequence in front, then step 1 of those that have one, and
so on. The rows of one step are therefore a slice, every product over the rows touches real
tokens only, and a recurrent step shrinks as the shorter sequences end.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Packing(NamedTuple):
    """Where each real token of one padded batch stands among its packed rows."""

    indices: tf.Tensor  # int32 (tokens,): place of each row in the flattened (batch * length)
    sizes: tf.Tensor  # int32 (length,): how many sequences are alive at each step
    starts: tf.Tensor  # int32 (length,): the first row of each step
    order: tf.Tensor  # int32 (batch,): sequences by falling length
    inverse_order: tf.Tensor  # int32 (batch,): where each sequence went
    shape: tf.Tensor  # int32 (2,): batch, length


class PackedLogits(NamedTuple):
    """The logits of the real tokens of a batch."""

    rows: tf.Tensor  # float32 (tokens, vocabulary_size)
    packing: Packing

    def pack(self, values: tf.Tensor) -> tf.Tensor:
        """Return the rows of other values `(batch, length, ...)`, one for each of the logits."""
        return pack(values, self.packing)

    def unpack(self) -> tf.Tensor:
        """Return the logits `(batch, length, vocabulary_size)`, zeros at the padding."""
        return unpack(self.rows, self.packing)


class PaddedLogits(NamedTuple):
    """The logits of all positions of a padded batch, also of the padding."""

    rows: tf.Tensor  # float32 (batch * length, vocabulary_size)
    shape: tf.Tensor  # int32 (2,): batch, length

    def pack(self, values: tf.Tensor) -> tf.Tensor:
        """Return the rows of other values `(batch, length, ...)`, one for each of the logits."""
        return tf.reshape(values, [-1, *values.shape[2:]])

    def unpack(self) -> tf.Tensor:
        """Return the logits `(batch, length, vocabulary_size)`."""
        return tf.reshape(self.rows, [self.shape[0], self.shape[1], self.rows.shape[1]])


def make_packing(mask: tf.Tensor) -> Packing:
    """Plan the packing of a batch.

    Args:
        mask: bool `(batch, length)`, true at real tokens, wherever they stand in their row.

    Returns:
        The `Packing` with which `pack` and `unpack` work.
    """
    shape = tf.shape(mask)
    batch_size, length = shape[0], shape[1]
    lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
    order = tf.argsort(lengths, direction="DESCENDING", stable=True)
    real_first = tf.argsort(tf.cast(mask, tf.int32), axis=1, direction="DESCENDING", stable=True)
    places = tf.gather(real_first + tf.range(batch_size)[:, tf.newaxis] * length, order)
    alive = tf.sequence_mask(tf.gather(lengths, order), length)  # (batch, length)
    sizes = tf.reduce_sum(tf.cast(alive, tf.int32), axis=0)
    return Packing(
        indices=tf.boolean_mask(tf.transpose(places), tf.transpose(alive)),
        sizes=sizes,
        starts=tf.cumsum(sizes, exclusive=True),
        order=order,
        inverse_order=tf.argsort(order),
        shape=shape,
    )


def pack(values: tf.Tensor, packing: Packing) -> tf.Tensor:
    """Take the real tokens' rows `(tokens, ...)` out of `(batch, length, ...)`."""

    @tf.custom_gradient
    def forward(values: tf.Tensor) -> tuple[tf.Tensor, object]:
        return _pack(values, packing), lambda upstream: _unpack(
            tf.convert_to_tensor(upstream), packing
        )

    return forward(values)


def unpack(rows: tf.Tensor, packing: Packing) -> tf.Tensor:
    """Put packed rows `(tokens, ...)` back into `(batch, length, ...)`, zeros at the padding."""

    @tf.custom_gradient
    def forward(rows: tf.Tensor) -> tuple[tf.Tensor, object]:
        return _unpack(rows, packing), lambda upstream: _pack(
            tf.convert_to_tensor(upstream), packing
        )

    return forward(rows)


def _pack(values: tf.Tensor, packing: Packing) -> tf.Tensor:
    flat_shape = tf.concat([[-1], tf.shape(values)[2:]], axis=0)
    return tf.gather(tf.reshape(values, flat_shape), packing.indices)


def _unpack(rows: tf.Tensor, packing: Packing) -> tf.Tensor:
    feature_shape = tf.shape(rows)[1:]
    flat_shape = tf.concat([[tf.reduce_prod(packing.shape)], feature_shape], axis=0)
    flat = tf.scatter_nd(packing.indices[:, tf.newaxis], rows, flat_shape)
    padded = tf.reshape(flat, tf.concat([packing.shape, feature_shape], axis=0))
    padded.set_shape([None, None, *rows.shape[1:]])
    return padded
