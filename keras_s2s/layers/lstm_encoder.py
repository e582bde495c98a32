"""The encoder: source ids to the states h_1 ... h_T and the context c = q(h_1, ..., h_T)."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_s2s.checks import check_number, check_positive_int
from keras_s2s.layers.contexts import (
    Context,
    apply_context,
    resolve_context,
    serialize_context,
)
from keras_s2s.layers.lstm import LSTM
from keras_s2s.layers.packing import make_packing, pack, unpack
from keras_s2s.layers.token_embedding import TokenEmbedding
from keras_s2s.special_ids import PAD_ID


class EncoderOutput(NamedTuple):
    """What an encoder gives for a batch of sources."""

    context: tf.Tensor  # (batch, context_units): c
    memory: tf.Tensor  # (batch, source_length, memory_units): h_1 ... h_T, zero at the padding
    mask: tf.Tensor  # bool (batch, source_length): true at real tokens


@keras.saving.register_keras_serializable(package="keras_s2s")
class LSTMEncoder(keras.layers.Layer):
    """Reads a source and gives all its states and one context vector.

    h_t = LSTM(x_t, h_{t-1}) with x_t the embedding of the t-th id, through any number of layers;
    c = q(h_1, ..., h_T) with q the user's choice.

    Masking: the mask is `source_ids != 0` and is given out with the memory. Neither the padding
    nor the other rows of a batch change a row's answer.

    Args:
        vocabulary_size: how many source ids there are.
        units: size of the state, of each direction.
        embedding_dim: size of an embedding; `units` by default.
        num_layers: how many LSTM layers stand on one another.
        bidirectional: read in both directions; the memory then has `2 * units` values.
        reverse_source: read from the end to the beginning, in one direction. The memory stays in
            the order of the source.
        context: q. "last_state": the state after the last token read (of both directions);
            "mean", "max": over the positions; a Keras layer called as `q(memory, mask=mask)`; or
            a function `q(memory, mask)` registered with
            `keras.saving.register_keras_serializable`.
        dropout: rate at which the inputs of each layer and the memory are dropped in training.

    Call arguments:
        source_ids: int32 `(batch, source_length)`, padded with 0 on the right.
        packed: compute on the real tokens only, as training on a CPU does. The answer is the same.
        training: whether dropout is on.

    Returns:
        An `EncoderOutput`: `context` (batch, context_units), `memory` (batch, source_length,
        memory_units), `mask` bool (batch, source_length).

    Raises:
        ValueError: if an argument is out of its range, or `context` could not be saved.

    Example:
        >>> encoder = LSTMEncoder(vocabulary_size=10, units=4, bidirectional=True)
        >>> encoder(tf.constant([[5, 6, 3, 0]])).memory.shape
        TensorShape([1, 4, 8])

    References:
        - [Sequence to sequence learning with neural networks (Sutskever et al., 2014)](
          https://arxiv.org/abs/1409.3215)
        - [Bidirectional recurrent neural networks (Schuster and Paliwal, 1997)](
          https://doi.org/10.1109/78.650093)
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        *,
        embedding_dim: int | None = None,
        num_layers: int = 1,
        bidirectional: bool = False,
        reverse_source: bool = False,
        context: Context = "last_state",
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = check_positive_int("vocabulary_size", vocabulary_size)
        self.units = check_positive_int("units", units)
        self.embedding_dim = check_positive_int(
            "embedding_dim", units if embedding_dim is None else embedding_dim
        )
        self.num_layers = check_positive_int("num_layers", num_layers)
        self.bidirectional = bool(bidirectional)
        self.reverse_source = bool(reverse_source)
        if self.bidirectional and self.reverse_source:
            raise ValueError(
                "A bidirectional encoder reads the source both ways already: `reverse_source` "
                "goes with `bidirectional=False`. Received: bidirectional=True, "
                "reverse_source=True"
            )
        self.context = resolve_context(context)
        self.dropout = check_number("dropout", dropout, minimum=0.0, maximum=1.0)
        self.memory_units = self.units * (2 if self.bidirectional else 1)
        self._make_sublayers()

    def build(self, source_ids_shape: tuple[int | None, ...]) -> None:
        self.embedding.build(source_ids_shape)
        inputs_shape = (*source_ids_shape, self.embedding_dim)
        for directions in self._directions():
            for lstm in directions:
                lstm.build(inputs_shape)
            inputs_shape = (*source_ids_shape, self.memory_units)
        self.context_units = self._measure_context()
        self.built = True

    def call(
        self, source_ids: tf.Tensor, packed: bool = False, training: bool | None = None
    ) -> EncoderOutput:
        mask = tf.not_equal(source_ids, PAD_ID)
        packing = make_packing(mask) if packed else None
        ids = source_ids if packing is None else pack(source_ids, packing)
        values = self.embedding.call(ids)
        last: list[tf.Tensor] = []
        for directions in self._directions():
            values = self.dropout_layer.call(values, training=training)
            runs = [lstm.call(values, mask=mask, packing=packing) for lstm in directions]
            values = tf.concat([outputs for outputs, _ in runs], axis=-1)
            last = [state.hidden for _, state in runs]
        memory = values if packing is None else unpack(values, packing)
        memory = self.dropout_layer.call(memory, training=training)
        context = apply_context(self.context, memory, mask, tf.concat(last, axis=-1))
        return EncoderOutput(context, memory, mask)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "units": self.units,
            "embedding_dim": self.embedding_dim,
            "num_layers": self.num_layers,
            "bidirectional": self.bidirectional,
            "reverse_source": self.reverse_source,
            "context": serialize_context(self.context),
            "dropout": self.dropout,
        }

    def _measure_context(self) -> int:
        """Find the size of c; a layer of the user's is built by its first call."""
        memory = tf.zeros([1, 1, self.memory_units], self.compute_dtype)
        mask = tf.ones([1, 1], tf.bool)
        context = apply_context(self.context, memory, mask, memory[:, 0])
        if context.shape.rank != 2:
            raise ValueError(
                "`context` must give one vector for each row, of shape (batch, context_units). "
                f"Received: context={self.context!r}, which gives shape {tuple(context.shape)} "
                f"for a memory of shape {tuple(memory.shape)}"
            )
        return int(context.shape[-1])

    def _make_sublayers(self) -> None:
        dtype = self.dtype_policy
        self.embedding = TokenEmbedding(
            self.vocabulary_size, self.embedding_dim, dtype=dtype, name="embedding"
        )
        self.dropout_layer = keras.layers.Dropout(self.dropout, dtype=dtype, name="dropout")
        self.forward_lstms = [] if self.reverse_source else self._stack(go_backwards=False)
        self.backward_lstms = (
            self._stack(go_backwards=True) if self.bidirectional or self.reverse_source else []
        )

    def _stack(self, *, go_backwards: bool) -> list[LSTM]:
        """Make the LSTM layers of one direction."""
        name = "backward" if go_backwards else "forward"
        return [
            LSTM(
                self.units,
                go_backwards=go_backwards,
                dtype=self.dtype_policy,
                name=f"{name}_{number}",
            )
            for number in range(self.num_layers)
        ]

    def _directions(self) -> list[tuple[LSTM, ...]]:
        """Give each layer's one or two directions, from the bottom up."""
        stacks = [stack for stack in (self.forward_lstms, self.backward_lstms) if stack]
        return list(zip(*stacks, strict=True))
