"""What an exact search holds: the prefixes still to be looked into, and the best outputs."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from keras_s2s.search.result import IMPOSSIBLE
from keras_s2s.search.search_step import Carried
from keras_s2s.search.step_function import gather_state
from keras_s2s.special_ids import PAD_ID


class OpenPrefixes(NamedTuple):
    """Prefixes that may lead to a better output, those to be looked into next in front.

    There is room for as many as the row with the most of them has. What takes much memory stands
    apart, in slots, of which there are only as many as there are prefixes.
    """

    lengths: tf.Tensor  # (batch, room) int32
    log_probs: tf.Tensor  # (batch, room) float32; IMPOSSIBLE where there is none
    last_ids: tf.Tensor  # (batch, room) int32
    slots: tf.Tensor  # (batch, room) int32
    ids: tf.Tensor  # (slots, longest) int32
    carried: Carried  # nest of (slots, ...)

    def first(self, count: tf.Tensor) -> OpenPrefixes:
        """Give the first `count` of every row, each in a slot of its own."""
        slots = self.slots[:, :count]
        flat = tf.reshape(slots, [-1])
        return OpenPrefixes(
            self.lengths[:, :count],
            self.log_probs[:, :count],
            self.last_ids[:, :count],
            tf.reshape(tf.range(tf.size(flat)), tf.shape(slots)),
            tf.gather(self.ids, flat),
            gather_state(self.carried, flat),
        )

    def lengthened(self, parents: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
        """Write tokens behind prefixes, both `(batch, any)`: the ids `(batch, any, longest)`."""
        ids = tf.gather(self.ids, tf.gather(self.slots, parents, batch_dims=1))
        ends = tf.gather(self.lengths, parents, batch_dims=1)
        return _write(ids, ends, tokens)


class Children(NamedTuple):
    """One-token continuations of the first prefixes of every row."""

    ids: tf.Tensor  # (batch, children) int32: the new token
    lengths: tf.Tensor  # (batch, children) int32, with it
    log_probs: tf.Tensor  # (batch, children) float32, of the whole
    parents: tf.Tensor  # (children,) int32: which prefix, alike in every row


class BestOutputs(NamedTuple):
    """The best outputs found so far."""

    ids: tf.Tensor  # (batch, num_hypotheses, longest) int32
    log_probs: tf.Tensor  # (batch, num_hypotheses) float32
    scores: tf.Tensor  # (batch, num_hypotheses) float32, best first


class ExactState(NamedTuple):
    """What the loop carries from step to step."""

    open: OpenPrefixes
    best: BestOutputs
    given_up: tf.Tensor  # (batch, 1) float32: the largest log_prob of what was not looked into
    nodes: tf.Tensor  # (batch, 1) int32: prefixes looked into


def largest(log_probs: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Give the largest of `(batch, any)` where it is asked for, IMPOSSIBLE if there is none."""
    asked = tf.where(where, log_probs, IMPOSSIBLE)
    return tf.maximum(tf.reduce_max(asked, axis=1, keepdims=True), IMPOSSIBLE)


def reopen(
    open_: OpenPrefixes,
    children: Children,
    carried: Carried,
    waits: tf.Tensor,
    count: tf.Tensor,
    max_open: int,
) -> tuple[OpenPrefixes, tf.Tensor]:
    """Put those of the old prefixes and of the children that wait into one order.

    The longest come first, so that what was begun is brought to an end and little waits; of one
    length, the most probable.

    Args:
        open_: The old prefixes.
        children: The children of the first of them.
        carried: What the children's parents carry now: nest of `(batch * count, ...)`.
        waits: bool `(batch, room + children)`: which of both are still to be looked into.
        count: Number of parents.
        max_open: For so many there is room.

    Returns:
        The prefixes, and the largest log_prob of those for which there was no room: `(batch, 1)`.
    """
    rows, old_room = tf.shape(open_.slots)[0], tf.shape(open_.slots)[1]
    lengths = tf.concat([open_.lengths, children.lengths], axis=1)
    log_probs = tf.concat([open_.log_probs, children.log_probs], axis=1)
    order = tf.where(waits, tf.cast(lengths, tf.float32) + 1.0 / (1.0 - log_probs), IMPOSSIBLE)
    waiting = tf.reduce_sum(tf.cast(waits, tf.int32), axis=1, keepdims=True)
    room = tf.clip_by_value(tf.reduce_max(waiting), 1, max_open)
    order_kept, places = tf.math.top_k(order, room)
    # Equals of the last one kept may have found room too; to count them in is on the safe side.
    forgotten = largest(log_probs, waits & (waiting > room) & (order <= order_kept[:, -1:]))

    kept = tf.reshape(order_kept > 0.0, [-1])
    is_child = places >= old_room
    child = tf.maximum(places - old_room, 0)
    parents = tf.where(is_child, tf.gather(children.parents, child), places)
    tokens = tf.where(is_child, tf.gather(children.ids, child, batch_dims=1), PAD_ID)
    old_slots = tf.gather(open_.slots, parents, batch_dims=1)
    # The parents' new states stand behind all the old ones, row by row.
    row_starts = tf.shape(open_.ids)[0] + tf.expand_dims(tf.range(rows) * count, 1)
    sources = tf.where(is_child, row_starts + parents, old_slots)
    both = tf.nest.map_structure(
        lambda old, new: tf.concat([old, new], axis=0), open_.carried, carried
    )
    numbers = tf.reshape(tf.where(kept), [-1])

    def of_kept(values: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.reshape(values, [-1]), numbers)

    ends = tf.gather(open_.lengths, parents, batch_dims=1)
    ids = tf.gather(open_.ids, of_kept(old_slots))
    slots = tf.cumsum(tf.cast(kept, tf.int32)) - 1
    reopened = OpenPrefixes(
        lengths=tf.gather(lengths, places, batch_dims=1),
        log_probs=tf.where(
            order_kept > 0.0, tf.gather(log_probs, places, batch_dims=1), IMPOSSIBLE
        ),
        last_ids=tf.where(is_child, tokens, tf.gather(open_.last_ids, parents, batch_dims=1)),
        slots=tf.reshape(tf.maximum(slots, 0), [rows, room]),
        ids=_write(ids, of_kept(ends), of_kept(tokens)),
        carried=gather_state(both, of_kept(sources)),
    )
    return reopened, forgotten


def _write(ids: tf.Tensor, ends: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
    """Write `tokens` `(...)` into `ids` `(..., longest)`, each at its end."""
    here = tf.equal(tf.range(tf.shape(ids)[-1]), tf.expand_dims(ends, -1))
    return tf.where(here, tf.expand_dims(tokens, -1), ids)
