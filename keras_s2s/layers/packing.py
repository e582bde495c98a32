"""Packed sequences: only the real tokens of a padded batch.

A padded batch `(batch, length, ...)` is packed into rows `(tokens, ...)`: first step 0 of every
sequence, longest sequence first, then step 1 of the sequences that have one, and so on. The rows of
one step are therefore a slice. Every product over the rows computes real tokens only, and later
steps have fewer rows, because shorter sequences have ended.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from keras_s2s.gradients import custom_gradient
from keras_s2s.special_ids import PAD_ID


class Packing(NamedTuple):
    """Order of the real tokens of a padded batch in its packed rows."""

    indices: tf.Tensor  # int32 (tokens,): position of each row in the flattened (batch * length)
    sizes: tf.Tensor  # int32 (length,): number of sequences that have not ended at each step
    starts: tf.Tensor  # int32 (length,): first row of each step
    order: tf.Tensor  # int32 (batch,): sequences by descending length
    inverse_order: tf.Tensor  # int32 (batch,): position of each sequence in `order`
    shape: tf.Tensor  # int32 (2,): batch, length


class PackedLogits(NamedTuple):
    """The logits of the real tokens of a batch."""

    rows: tf.Tensor  # float32 (tokens, vocabulary_size)
    packing: Packing

    def pack(self, values: tf.Tensor) -> tf.Tensor:
        """Pack values `(batch, length, ...)` into rows that match the rows of the logits."""
        return pack(values, self.packing)

    def unpack(self) -> tf.Tensor:
        """Return the logits `(batch, length, vocabulary_size)`, zeros at the padding."""
        return unpack(self.rows, self.packing)


class PaddedLogits(NamedTuple):
    """The logits of all positions of a padded batch, including the padding."""

    rows: tf.Tensor  # float32 (batch * length, vocabulary_size)
    shape: tf.Tensor  # int32 (2,): batch, length

    def pack(self, values: tf.Tensor) -> tf.Tensor:
        """Flatten values `(batch, length, ...)` into rows that match the rows of the logits."""
        return tf.reshape(values, [-1, *values.shape[2:]])

    def unpack(self) -> tf.Tensor:
        """Return the logits `(batch, length, vocabulary_size)`."""
        return tf.reshape(self.rows, [self.shape[0], self.shape[1], self.rows.shape[1]])


def make_packing(mask: tf.Tensor) -> Packing:
    """Compute the packing of a padded batch.

    Args:
        mask: Bool `(batch, length)`, true at real tokens, which may be anywhere in a row.

    Returns:
        The `Packing` for `pack` and `unpack`.
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


def places_with_padding_last(ids: tf.Tensor) -> tf.Tensor:
    """Compute where the ids of a batch are after the padding has moved to the end of each row.

    Counting the ids takes less time than sorting them.

    Args:
        ids: Integers `(batch, length)`, 0 at the padding.

    Returns:
        int32 `(batch * length,)`: the place of each id in the flattened batch.
    """
    real = tf.not_equal(ids, PAD_ID)
    batch_size, length = tf.shape(ids)[0], tf.shape(ids)[1]
    counts = tf.cumsum(tf.cast(real, tf.int32), axis=1)  # of real ids, up to each position
    columns = tf.where(real, counts - 1, counts[:, -1:] + tf.range(length) - counts)
    return tf.reshape(tf.range(batch_size)[:, tf.newaxis] * length + columns, [-1])


def pack(values: tf.Tensor, packing: Packing) -> tf.Tensor:
    """Gather the packed rows `(tokens, ...)` from `(batch, length, ...)`."""

    @custom_gradient
    def forward(values: tf.Tensor) -> tuple[tf.Tensor, object]:
        return _pack(values, packing), lambda upstream: _unpack(
            tf.convert_to_tensor(upstream), packing
        )

    return forward(values)


def unpack(rows: tf.Tensor, packing: Packing) -> tf.Tensor:
    """Scatter packed rows `(tokens, ...)` to `(batch, length, ...)`, with zeros at the padding."""

    @custom_gradient
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
