"""Rules that restrict the next token of an output.

A rule is a step function, like that of a decoder. A rule takes the last token of each hypothesis
and its own state, and returns the mask of the tokens that may follow. If a search has several
rules, it applies all of them. `Lexicon` is the list of outputs that the rule `InLexicon` allows.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_s2s.checks import count_of, short_repr
from keras_s2s.errors import InputError
from keras_s2s.search.step import State
from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID

# The first nodes of every prefix tree. No edge leaves the first. bos leads from the second to the
# third, where the outputs begin.
_DEAD_END, _BEFORE_BOS, _ROOT = 0, 1, 2


class BeginsWith:
    """Rule that each output begins with the prefix of its row.

    Args:
        prefix: int32 `(batch, prefix_length)`. Each prefix ends before its first pad or eos.
        vocabulary_size: Number of ids.
    """

    def __init__(self, prefix: tf.Tensor, vocabulary_size: int) -> None:
        is_end = tf.equal(prefix, PAD_ID) | tf.equal(prefix, EOS_ID)
        ended = tf.cumsum(tf.cast(is_end, tf.int32), axis=1) > 0
        # Append one pad, so that there is always a first column.
        self.prefix = tf.pad(tf.where(ended, PAD_ID, prefix), [[0, 0], [0, 1]])
        self.vocabulary_size = vocabulary_size

    def initial_state(self, batch_size: int | tf.Tensor) -> State:
        """Return the rest of each prefix, which is the whole prefix before bos."""
        return self.prefix

    def __call__(self, last_ids: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """Allow only the next id of the prefix. After the prefix, allow every id."""
        wanted = state[:, :1]
        allowed = tf.equal(tf.range(self.vocabulary_size), wanted) | tf.equal(wanted, PAD_ID)
        return allowed, tf.pad(state[:, 1:], [[0, 0], [0, 1]])


class NoRepeatedNgram:
    """Rule that no n-gram occurs twice in the output.

    Args:
        size: Length n of the n-grams, at least 1.
        max_length: Maximum number of tokens in an output.
        vocabulary_size: Number of ids.
    """

    def __init__(self, size: int, max_length: int | tf.Tensor, vocabulary_size: int) -> None:
        self.size = size
        self.max_length = max_length
        self.vocabulary_size = vocabulary_size

    def initial_state(self, batch_size: int | tf.Tensor) -> State:
        """Return the history of tokens, newest last, which is empty before bos."""
        # This holds all windows of `size` over the longest output.
        return tf.fill([batch_size, self.max_length + self.size], PAD_ID)

    def __call__(self, last_ids: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """Forbid each token that followed the same n - 1 tokens earlier in the output."""
        history = tf.concat([state[:, 1:], tf.expand_dims(last_ids, 1)], axis=1)
        length = tf.shape(history)[1]
        windows = length - self.size + 1  # number of n-grams
        repeated = tf.fill([tf.shape(history)[0], windows], True)
        for place in range(self.size - 1):
            newest = history[:, length - self.size + 1 + place :][:, :1]
            repeated = repeated & tf.equal(history[:, place : place + windows], newest)
        followers = tf.where(repeated, history[:, self.size - 1 :], PAD_ID)
        return tf.logical_not(_mark_ids(followers, self.vocabulary_size)), history


@keras.saving.register_keras_serializable(package="keras_s2s")
class Lexicon:
    """List of all outputs that a search may return.

    Args:
        outputs: Sequences of target ids, for example `[(4, 5), (6,)]`, or the rows that the
            `tokenize` of a tokenizer returns. A sequence ends before its first eos or pad.

    Raises:
        TypeError: If `outputs` does not contain sequences of integers.
        ValueError: If the list is empty, or an output contains bos or a negative id.

    Example:
        >>> lexicon = Lexicon([(4, 5), (6,)])
        >>> lexicon
        Lexicon(2 outputs)
        >>> lexicon.outputs
        ((4, 5), (6,))
    """

    def __init__(self, outputs: Iterable[Sequence[int]]) -> None:
        try:
            ended = sorted({_until_eos(output) for output in outputs})
        except TypeError as error:
            raise TypeError(
                "`outputs` of a lexicon must be sequences of ids, such as [(4, 5), (6,)]. "
                f"Received: outputs={short_repr(outputs)}"
            ) from error
        if not ended:
            raise InputError("`outputs` of a lexicon must not be empty. Received: no output")
        for output in ended:
            if BOS_ID in output or min(output, default=0) < 0:
                raise InputError(
                    "An output of a lexicon must consist of ids above 0 other than bos. "
                    f"Received: {output}"
                )
        self.outputs = tuple(ended)
        self._hash = hash(self.outputs)

    @property
    def largest_id(self) -> int:
        """Largest id in any output."""
        return max(max(output, default=EOS_ID) for output in self.outputs)

    def edges(self) -> np.ndarray:
        """Return the prefix tree: int32 `(edges, 3)` of (node, token, next node), sorted."""
        edges = [(_BEFORE_BOS, BOS_ID, _ROOT)]
        path: list[int] = []  # nodes after each token of the previous output
        before: tuple[int, ...] = ()
        number = _ROOT
        for output in self.outputs:
            shared = _shared_length(before, output)
            path = path[:shared]
            for token in output[shared:]:
                number += 1
                edges.append((path[-1] if path else _ROOT, token, number))
                path.append(number)
            edges.append((path[-1] if path else _ROOT, EOS_ID, _DEAD_END))
            before = output
        return np.array(sorted(edges), np.int32)

    def get_config(self) -> dict[str, Any]:
        """Return the outputs, for `from_config`."""
        return {"outputs": [list(output) for output in self.outputs]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Lexicon:
        """Create a lexicon from its config."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lexicon) and self.outputs == other.outputs

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Lexicon({count_of(len(self.outputs), 'output')})"


class InLexicon:
    """Rule that allows only the outputs of a lexicon that end in time.

    Args:
        lexicon: `Lexicon`.
        vocabulary_size: Number of ids.
        max_length: Maximum number of tokens in an output, including eos: an integer, or int32
            `(batch, 1)`.

    Raises:
        ValueError: If an id of the lexicon is outside the vocabulary.
    """

    def __init__(self, lexicon: Lexicon, vocabulary_size: int, max_length: int | tf.Tensor) -> None:
        if lexicon.largest_id >= vocabulary_size:
            raise InputError(
                "Every id of a lexicon must be below the vocabulary size. Received: id "
                f"{lexicon.largest_id}, vocabulary_size={vocabulary_size}"
            )
        edges = lexicon.edges()
        counts = np.bincount(edges[:, 0], minlength=edges.max() + 1).astype(np.int32)
        self.counts = tf.constant(counts)
        self.starts = tf.constant(np.cumsum(counts, dtype=np.int32) - counts)
        self.most = int(counts.max())
        # Pad with `most` rows, so that the last nodes can also read `most` edges.
        padded = np.pad(edges, [(0, self.most), (0, 0)])
        self.tokens, self.next_nodes = tf.constant(padded[:, 1]), tf.constant(padded[:, 2])
        self.rest = tf.constant(_shortest_rests(edges))
        self.max_length = max_length
        self.vocabulary_size = vocabulary_size

    def initial_state(self, batch_size: int | tf.Tensor) -> State:
        """Return the node before bos, and the number of tokens that an output may still have."""
        left = tf.zeros([batch_size, 1], tf.int32) + self.max_length
        return tf.fill([batch_size], _BEFORE_BOS), left

    def __call__(self, last_ids: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """Follow the edge of the last token. Allow the tokens of the edges from the new node."""
        node, left = state
        tokens, next_nodes = self._edges_from(node)
        taken = tf.equal(tokens, tf.expand_dims(last_ids, 1))
        # A hypothesis that has left the tree stays outside.
        node = tf.reduce_max(tf.where(taken, next_nodes, _DEAD_END), axis=1)
        tokens, next_nodes = self._edges_from(node)
        tokens = tf.where(tf.gather(self.rest, next_nodes) < left, tokens, PAD_ID)
        return _mark_ids(tokens, self.vocabulary_size), (node, left - 1)

    def _edges_from(self, nodes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the tokens and next nodes `(n, most)`, padded, of the edges of nodes `(n,)`."""
        offsets = tf.range(self.most)
        edges = tf.expand_dims(tf.gather(self.starts, nodes), 1) + offsets
        exists = offsets < tf.expand_dims(tf.gather(self.counts, nodes), 1)
        tokens = tf.where(exists, tf.gather(self.tokens, edges), PAD_ID)
        return tokens, tf.where(exists, tf.gather(self.next_nodes, edges), _DEAD_END)


def _shortest_rests(edges: np.ndarray) -> np.ndarray:
    """Return the least number of tokens from each node to the end of an output."""
    rests = np.full(edges.max() + 1, np.iinfo(np.int32).max, np.int32)
    rests[_DEAD_END] = 0
    for node, _, next_node in edges[::-1]:  # a node comes after the nodes that lead to it
        rests[node] = min(rests[node], rests[next_node] + 1)
    return rests


def _mark_ids(ids: tf.Tensor, vocabulary_size: int) -> tf.Tensor:
    """Mark the ids `(n, count)` that occur in each row: bool `(n, vocabulary)`."""
    number, count = tf.shape(ids)[0], tf.shape(ids)[1]
    rows = tf.range(number * count) // count
    places = tf.stack([rows, tf.reshape(ids, [-1])], axis=1)
    counts = tf.scatter_nd(places, tf.ones_like(rows), [number, vocabulary_size])
    return counts > 0


def _until_eos(output: Sequence[int]) -> tuple[int, ...]:
    """Truncate an output before its first eos or pad."""
    ids = tuple(operator.index(id_) for id_ in output)
    ends = [place for place, id_ in enumerate(ids) if id_ in (EOS_ID, PAD_ID)]
    return ids[: ends[0]] if ends else ids


def _shared_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Return the length of the common prefix."""
    for place, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return place
    return min(len(first), len(second))
