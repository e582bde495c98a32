"""Lexicon: a list of the allowed outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_s2s.errors import InputError
from keras_s2s.search.rules import mark_ids
from keras_s2s.search.step import State
from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID

# Nodes of every tree. Nothing follows the first. bos leads from the second to the third, where the
# outputs begin.
_NOWHERE, _BEFORE_BOS, _ROOT = 0, 1, 2


@keras.saving.register_keras_serializable(package="keras_s2s")
class Lexicon:
    """List of the only outputs that a search may return.

    Args:
        outputs: Sequences of target ids, for example `[(4, 5), (6,)]` or the rows that a
            tokenizer's `tokenize` returns. A sequence ends before its first eos or pad.

    Raises:
        ValueError: If the list is empty, or an output contains bos or a negative id.

    Example:
        >>> lexicon = Lexicon([(4, 5), (6,)])
        >>> lexicon
        Lexicon(2 outputs)
        >>> lexicon.outputs
        ((4, 5), (6,))
    """

    def __init__(self, outputs: Iterable[Sequence[int]]) -> None:
        ended = sorted({_until_eos(output) for output in outputs})
        if not ended:
            raise InputError("`outputs` of a lexicon must not be empty. Received: no output")
        for output in ended:
            if BOS_ID in output or min(output, default=0) < 0:
                raise InputError(
                    "An output of a lexicon must consist of ids of at least 1, without bos. "
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
            edges.append((path[-1] if path else _ROOT, EOS_ID, _NOWHERE))
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
        return f"Lexicon({len(self.outputs)} outputs)"


class InLexicon:
    """Rule that allows only the outputs of a lexicon.

    Args:
        lexicon: `Lexicon`.
        vocabulary_size: Number of ids.

    Raises:
        ValueError: If an id of the lexicon is outside the vocabulary.
    """

    def __init__(self, lexicon: Lexicon, vocabulary_size: int) -> None:
        if lexicon.largest_id >= vocabulary_size:
            raise InputError(
                "Every id of a lexicon must be below the vocabulary's size. Received: id "
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
        self.vocabulary_size = vocabulary_size

    def initial_state(self, batch_size: int | tf.Tensor) -> State:
        """Return the node before bos."""
        return tf.fill([batch_size], _BEFORE_BOS)

    def __call__(self, last_ids: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """Advance along the edge of the last token. Allow the tokens of the edges from there."""
        tokens, next_nodes = self._edges_from(state)
        taken = tf.equal(tokens, tf.expand_dims(last_ids, 1))
        # A hypothesis that has left the tree stays outside.
        node = tf.reduce_max(tf.where(taken, next_nodes, _NOWHERE), axis=1)
        tokens, _ = self._edges_from(node)
        return mark_ids(tokens, self.vocabulary_size), node

    def _edges_from(self, nodes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return tokens and next nodes `(n, most)` of the nodes `(n,)`, padded."""
        offsets = tf.range(self.most)
        edges = tf.expand_dims(tf.gather(self.starts, nodes), 1) + offsets
        exists = offsets < tf.expand_dims(tf.gather(self.counts, nodes), 1)
        tokens = tf.where(exists, tf.gather(self.tokens, edges), PAD_ID)
        return tokens, tf.where(exists, tf.gather(self.next_nodes, edges), _NOWHERE)


def _until_eos(output: Sequence[int]) -> tuple[int, ...]:
    """Truncate an output before its first eos or pad."""
    ids = tuple(int(id_) for id_ in output)
    ends = [place for place, id_ in enumerate(ids) if id_ in (EOS_ID, PAD_ID)]
    return ids[: ends[0]] if ends else ids


def _shared_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Return the length of the common prefix."""
    for place, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return place
    return min(len(first), len(second))
