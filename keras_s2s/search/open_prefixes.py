"""The open prefixes of an exact search: those that may lead to a better output."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from keras_s2s.search.step import HypothesisState, gather_state
from keras_s2s.special_ids import IMPOSSIBLE, PAD_ID


class OpenPrefixes(NamedTuple):
    """Prefixes that may lead to a better output, in the order in which they will be expanded.

    Every row has as many places (`room`) as the row with the most prefixes. To save memory, the
    large tensors, ids and states, have slots only for the prefixes that exist.
    """

    lengths: tf.Tensor  # (batch, room) int32
    log_probs: tf.Tensor  # (batch, room) float32; IMPOSSIBLE in empty places
    last_ids: tf.Tensor  # (batch, room) int32
    slots: tf.Tensor  # (batch, room) int32
    ids: tf.Tensor  # (slots, longest) int32
    hypotheses: HypothesisState  # nest of (slots, ...)

    def first(self, count: tf.Tensor) -> OpenPrefixes:
        """Return the first `count` of every row, with the slots of all."""
        return self._replace(
            lengths=self.lengths[:, :count],
            log_probs=self.log_probs[:, :count],
            last_ids=self.last_ids[:, :count],
            slots=self.slots[:, :count],
        )

    def append(self, parents: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
        """Append `tokens` `(batch, any)` to the prefixes `parents` `(batch, any)`.

        Returns:
            int32 `(batch, any, longest)`.
        """
        ids = tf.gather(self.ids, tf.gather(self.slots, parents, batch_dims=1))
        ends = tf.gather(self.lengths, parents, batch_dims=1)
        return _write_tokens(ids, ends, tokens)


class Children(NamedTuple):
    """One-token continuations of the first prefixes of every row."""

    ids: tf.Tensor  # (batch, children) int32: the new token
    lengths: tf.Tensor  # (batch, children) int32, including the new token
    log_probs: tf.Tensor  # (batch, children) float32, of the whole prefix
    parents: tf.Tensor  # (children,) int32: index of the prefix, the same in every row
    places: tf.Tensor  # (batch, prefixes) int32: index of the new state of each prefix


def largest(log_probs: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Return the largest of `(batch, any)` where `where` is true, or IMPOSSIBLE: `(batch, 1)`."""
    log_probs = tf.where(where, log_probs, IMPOSSIBLE)
    return tf.maximum(tf.reduce_max(log_probs, axis=1, keepdims=True), IMPOSSIBLE)


def merge_open(
    open_: OpenPrefixes,
    children: Children,
    hypotheses: HypothesisState,
    waits: tf.Tensor,
    max_open: tf.Tensor,
) -> tuple[OpenPrefixes, tf.Tensor]:
    """Merge and sort the old prefixes and the children that are still to be expanded.

    The longest come first, so that outputs are completed early and few prefixes are open. Of equal
    lengths, the most probable comes first.

    Args:
        open_: The old prefixes.
        children: The children of the first old prefixes.
        hypotheses: New states of the children's parents, by `children.places`: nest of
            `(any, ...)`.
        waits: bool `(batch, room + children)`, true for prefixes to expand.
        max_open: Maximum number of open prefixes of a row.

    Returns:
        The open prefixes, and the largest log_prob of the prefixes that were dropped,
        `(batch, 1)`.
    """
    rows, old_room = tf.shape(open_.slots)[0], tf.shape(open_.slots)[1]
    lengths = tf.concat([open_.lengths, children.lengths], axis=1)
    log_probs = tf.concat([open_.log_probs, children.log_probs], axis=1)
    order = tf.where(waits, tf.cast(lengths, tf.float32) + 1.0 / (1.0 - log_probs), IMPOSSIBLE)
    waiting = tf.reduce_sum(tf.cast(waits, tf.int32), axis=1, keepdims=True)
    room = tf.clip_by_value(tf.reduce_max(waiting), 1, max_open)
    order_kept, places = tf.math.top_k(order, room)
    # Prefixes that tie with the last kept one count as dropped, which can only loosen the bound.
    dropped = largest(log_probs, waits & (waiting > room) & (order <= order_kept[:, -1:]))

    kept = tf.reshape(order_kept > 0.0, [-1])
    is_child = places >= old_room
    child = tf.maximum(places - old_room, 0)
    parents = tf.where(is_child, tf.gather(children.parents, child), places)
    tokens = tf.where(is_child, tf.gather(children.ids, child, batch_dims=1), PAD_ID)
    old_slots = tf.gather(open_.slots, parents, batch_dims=1)
    # The parents' new states come after all the old ones.
    new_slots = tf.gather(children.places, tf.where(is_child, parents, 0), batch_dims=1)
    sources = tf.where(is_child, tf.shape(open_.ids)[0] + new_slots, old_slots)
    both = tf.nest.map_structure(
        lambda old, new: tf.concat([old, new], axis=0), open_.hypotheses, hypotheses
    )
    numbers = tf.reshape(tf.where(kept), [-1])

    def select_kept(values: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.reshape(values, [-1]), numbers)

    ends = tf.gather(open_.lengths, parents, batch_dims=1)
    ids = tf.gather(open_.ids, select_kept(old_slots))
    slots = tf.cumsum(tf.cast(kept, tf.int32)) - 1
    reopened = OpenPrefixes(
        lengths=tf.gather(lengths, places, batch_dims=1),
        log_probs=tf.where(
            order_kept > 0.0, tf.gather(log_probs, places, batch_dims=1), IMPOSSIBLE
        ),
        last_ids=tf.where(is_child, tokens, tf.gather(open_.last_ids, parents, batch_dims=1)),
        slots=tf.reshape(tf.maximum(slots, 0), [rows, room]),
        ids=_write_tokens(ids, select_kept(ends), select_kept(tokens)),
        hypotheses=gather_state(both, select_kept(sources)),
    )
    return reopened, dropped


def _write_tokens(ids: tf.Tensor, ends: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
    """Write `tokens` `(...)` into `ids` `(..., longest)` at the positions `ends`."""
    here = tf.equal(tf.range(tf.shape(ids)[-1]), tf.expand_dims(ends, -1))
    return tf.where(here, tf.expand_dims(tokens, -1), ids)
