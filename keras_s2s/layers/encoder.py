"""Base class of encoders: the states h_1 ... h_T and the context c = q(h_1, ..., h_T) of a source.

A custom q is exported with the model. An export to LiteRT fails if q uses an operation that LiteRT
does not support. For example, add a last axis with `tf.expand_dims(x, -1)` and not
with `x[:, tf.newaxis]`.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import keras
import tensorflow as tf

from keras_s2s.checks import check_bool, short_repr
from keras_s2s.errors import InputError
from keras_s2s.layers.attention import AttentionPool
from keras_s2s.layers.cudnn_recurrence import row_lengths
from keras_s2s.layers.dropout import Rates
from keras_s2s.layers.embedding import check_integers
from keras_s2s.layers.packing import make_packing, pack, unpack
from keras_s2s.layers.products import compute
from keras_s2s.layers.recurrent_part import RecurrentPart
from keras_s2s.special_ids import EOS_ID, PAD_ID

Context: TypeAlias = str | keras.layers.Layer | Callable[..., tf.Tensor]
"""The function q: a name, a Keras layer, or a function `q(memory, mask)`."""

_CONTEXTS = ("last_state", "mean", "max", "attention_pool")
_EXPECTED = (
    "'last_state', 'mean', 'max', 'attention_pool', a Keras layer or a "
    "registered function `q(memory, mask)`"
)


class EncoderOutput(NamedTuple):
    """Outputs of an encoder for a batch of sources."""

    context: tf.Tensor  # (batch, context_units): c
    memory: tf.Tensor  # (batch, source_length, memory_units): h_1 ... h_T, zero at the padding
    mask: tf.Tensor  # bool (batch, source_length): true at real tokens


class Encoder(RecurrentPart):
    """Base class of `LSTMEncoder` and `GRUEncoder`, which differ only in their recurrent layer.

    Its arguments, call arguments and outputs are those of `LSTMEncoder`.
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
        dropout: Rates = 0.0,
        recurrent_dropout: Rates = 0.0,
        word_dropout: float = 0.0,
        residual: bool = False,
        layer_normalization: bool = False,
        trainable_embeddings: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            vocabulary_size,
            units,
            embedding_dim=embedding_dim,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            word_dropout=word_dropout,
            residual=residual,
            layer_normalization=layer_normalization,
            trainable_embeddings=trainable_embeddings,
            **kwargs,
        )
        self.bidirectional = check_bool("bidirectional", bidirectional)
        self.reverse_source = check_bool("reverse_source", reverse_source)
        if self.bidirectional and self.reverse_source:
            raise InputError(
                "`reverse_source` requires `bidirectional=False`: a bidirectional encoder already "
                "reads the source in both directions. Received: bidirectional=True, "
                "reverse_source=True"
            )
        self.context = resolve_context(context, dtype=self.dtype_policy)
        self._freeze()
        self.memory_units = self.units * (2 if self.bidirectional else 1)

    def build(self, source_ids_shape: tuple[int | None, ...]) -> None:
        if not self.embedding.built:
            self.embedding.build(source_ids_shape)
        self.stack.build((*source_ids_shape, self.embedding_dim))
        self.context_units = self._measure_context()
        self.built = True

    def call(
        self,
        source_ids: tf.Tensor,
        packed: bool = False,
        training: bool | None = None,
        cudnn: bool = False,
    ) -> EncoderOutput:
        check_integers("source_ids", source_ids)
        mask = tf.not_equal(source_ids, PAD_ID)
        order = _reverse_order(source_ids, mask) if self.reverse_source else None
        ids = source_ids if order is None else tf.gather(source_ids, order, batch_dims=1)
        read_mask = tf.not_equal(ids, PAD_ID)
        ids = self.dropout_layer.words(ids, training)
        packing = make_packing(read_mask) if packed else None
        values = compute(self.embedding, ids if packing is None else pack(ids, packing))
        lengths = row_lengths(source_ids) if cudnn else None
        stacked = compute(
            self.stack,
            values,
            mask=read_mask,
            packing=packing,
            lengths=lengths,
            training=training,
        )
        memory = stacked.outputs if packing is None else unpack(stacked.outputs, packing)
        if lengths is not None:  # cuDNN was given one token for empty rows
            memory = tf.where(tf.expand_dims(read_mask, 2), memory, tf.zeros_like(memory))
        memory = self.dropout_layer.values(memory, self.num_layers, training)
        memory = memory if order is None else tf.gather(memory, order, batch_dims=1)
        return EncoderOutput(apply_context(self.context, memory, mask, stacked.last), memory, mask)

    def compute_output_shape(self, source_ids_shape: tuple[int | None, ...]) -> EncoderOutput:
        """Return the shapes of the context, the memory and the mask."""
        if not self.built:
            self.build(source_ids_shape)
        rows, length = source_ids_shape
        return EncoderOutput(
            (rows, self.context_units), (rows, length, self.memory_units), (rows, length)
        )

    def compute_output_spec(self, source_ids: Any, *args: Any, **kwargs: Any) -> EncoderOutput:
        """Return the specs of the context, the memory and the mask."""
        shapes = self.compute_output_shape(source_ids.shape)
        dtypes = (self.compute_dtype, self.compute_dtype, "bool")
        return EncoderOutput(*map(keras.KerasTensor, shapes, dtypes))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **self._own_arguments(Encoder),
            "context": serialize_context(self.context),
        }

    def _measure_context(self) -> int:
        """Return the size of c, by calling q on a single state. This also builds a custom layer."""
        memory = tf.zeros([1, 1, self.memory_units], self.compute_dtype)
        mask = tf.ones([1, 1], tf.bool)
        context = apply_context(self.context, memory, mask, memory[:, 0])
        if context.shape.rank != 2:
            raise InputError(
                "`context` must return one vector per sequence, of shape (batch, context_units). "
                f"Received: context={self.context!r}, which returns shape {tuple(context.shape)} "
                f"for a memory of shape {tuple(memory.shape)}"
            )
        return int(context.shape[-1])


def resolve_context(context: Any, dtype: Any = None) -> Context:
    """Check the argument `context`, and resolve names and configs.

    Args:
        context: "last_state", "mean", "max", "attention_pool", a Keras layer, the config of one
            of these, or a function `q(memory, mask)` registered with Keras.
        dtype: Dtype policy of the layer created for "attention_pool".

    Returns:
        "last_state", "mean", "max", or a layer or function of the memory and the mask.

    Raises:
        ValueError: If the name is unknown, a layer does not accept a mask, or a function is not
            registered with Keras.
        TypeError: If the type is wrong, or a function does not accept two arguments.
    """
    if isinstance(context, dict):
        context = keras.saving.deserialize_keras_object(context)
    if isinstance(context, str):
        if context not in _CONTEXTS:
            raise InputError(
                f"`context` must be {_EXPECTED}. Received: context={short_repr(context)}"
            )
        return AttentionPool(dtype=dtype) if context == "attention_pool" else context
    if isinstance(context, keras.layers.Layer):
        _check_takes_mask(context)
        context.supports_masking = True  # otherwise Keras warns about the mask
        return context
    if isinstance(context, types.FunctionType):
        _check_function(context)
        return context
    if isinstance(context, functools.partial):
        raise InputError(
            "A `functools.partial` as `context` cannot be loaded again from a saved model. Write "
            f"a Keras layer with a `get_config`. Received: context={short_repr(context)}"
        )
    raise TypeError(
        f"`context` must be {_EXPECTED}. "
        f"Received: context={short_repr(context)} (of type {type(context).__name__})"
    )


def serialize_context(context: Context) -> Any:
    """Convert a resolved context to a value that can be stored in a config."""
    return context if isinstance(context, str) else keras.saving.serialize_keras_object(context)


def apply_context(
    context: Context,
    memory: tf.Tensor,
    mask: tf.Tensor,
    last_state: tf.Tensor,
) -> tf.Tensor:
    """Compute c `(batch, context_units)` from the memory, its mask and the last state."""
    if isinstance(context, AttentionPool) and context.built:  # keep a search in float32
        return tf.cast(compute(context, memory, mask), memory.dtype)
    if isinstance(context, keras.layers.Layer):
        return tf.cast(context(memory, mask=mask), memory.dtype)
    if not isinstance(context, str):
        return tf.cast(context(memory, mask), memory.dtype)
    if context == "last_state":
        return last_state
    return mean_context(memory, mask) if context == "mean" else max_context(memory, mask)


def mean_context(memory: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Average the states over the real tokens. Return zeros for a source without real tokens.

    Args:
        memory: Float `(batch, source_length, units)`, zero at the padding.
        mask: Bool `(batch, source_length)`, true at real tokens.

    Returns:
        The context, `(batch, units)`.
    """
    weights = tf.expand_dims(tf.cast(mask, memory.dtype), 2)
    total = tf.reduce_sum(memory * weights, axis=1)
    return total / tf.maximum(tf.reduce_sum(weights, axis=1), 1)


def max_context(memory: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Compute the maximum of each unit over the real tokens. Return zeros for an empty source.

    Args:
        memory: Float `(batch, source_length, units)`.
        mask: Bool `(batch, source_length)`, true at real tokens.

    Returns:
        The context, `(batch, units)`.
    """
    real = tf.expand_dims(mask, 2)
    greatest = tf.reduce_max(tf.where(real, memory, memory.dtype.min), axis=1)
    some = tf.reduce_any(mask, axis=1, keepdims=True)
    return tf.where(some, greatest, tf.zeros_like(greatest))


def _reverse_order(source_ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Return the positions of each row in reverse order, except those of eos and padding.

    The permutation is its own inverse.
    """
    positions = tf.expand_dims(tf.range(tf.shape(mask)[1]), 0)  # (1, source_length)
    lengths = tf.reduce_max((positions + 1) * tf.cast(mask, tf.int32), axis=1, keepdims=True)
    at_end = tf.equal(positions, lengths - 1)
    is_final_eos = tf.logical_and(at_end, tf.equal(source_ids, EOS_ID))
    ends_in_eos = tf.reduce_any(is_final_eos, axis=1, keepdims=True)
    lengths -= tf.cast(ends_in_eos, tf.int32)
    return tf.where(positions < lengths, lengths - 1 - positions, positions)


def _check_takes_mask(layer: keras.layers.Layer) -> None:
    """Check that a layer accepts a mask, because it must ignore the padding."""
    parameters = inspect.signature(layer.call).parameters.values()
    if not any(
        parameter.name == "mask" or parameter.kind is parameter.VAR_KEYWORD
        for parameter in parameters
    ):
        raise InputError(
            "A layer as `context` is called as `layer(memory, mask=mask)`, so its `call` must take "
            f"`mask`. Received: context={layer!r}"
        )


def _check_function(function: types.FunctionType) -> None:
    """Check that a function takes two arguments and is registered with Keras."""
    try:
        inspect.signature(function).bind("memory", "mask")
    except TypeError as error:
        raise TypeError(
            "A function as `context` is called as `q(memory, mask)`. Received: "
            f"{function.__name__}{inspect.signature(function)}: {error}"
        ) from None
    name = keras.saving.get_registered_name(function)
    if keras.saving.get_registered_object(name) is not function:
        raise InputError(
            f"The function {function.__name__!r} given as `context` cannot be loaded from "
            "a saved model, because it is not registered with Keras. Decorate a named function "
            'with `@keras.saving.register_keras_serializable(package="...")`, or write a Keras '
            f"layer. Received: context={function!r}"
        )
