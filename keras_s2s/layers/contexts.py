"""The context c = q(h_1, ..., h_T), a vector computed from the states of the encoder.

A custom q is exported with the model. Exporting to LiteRT fails for operations that LiteRT does not
have. For example, add a last axis with `tf.expand_dims(x, -1)`, not with `x[:, tf.newaxis]`.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from keras_s2s.errors import InputError
from keras_s2s.layers.attention import AttentionPool
from keras_s2s.layers.products import compute

Context: TypeAlias = str | keras.layers.Layer | Callable[..., tf.Tensor]
"""A name, a Keras layer, or a function `q(memory, mask)`."""

_NAMES = ("last_state", "mean", "max", "attention_pool")
_EXPECTED = (
    "'last_state', 'mean', 'max', 'attention_pool', a Keras layer or a "
    "registered function `q(memory, mask)`"
)


def mean_context(memory: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Average the states over the real positions. A row without real positions gets zeros.

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
    """Compute the maximum of each unit over the real positions. An empty row gets zeros.

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


def resolve_context(context: Any, dtype: Any = None) -> Context:
    """Check the argument `context`, and resolve names and configs.

    Args:
        context: "last_state", "mean", "max", "attention_pool", a Keras layer, the config of one
            of these, or a function `q(memory, mask)` registered with Keras.
        dtype: Dtype policy of the layer created for "attention_pool".

    Returns:
        A name that needs no weights, or a layer or function of the memory and the mask.

    Raises:
        ValueError: If the name is unknown, a layer does not accept a mask, or a function could not
            be loaded from a file.
        TypeError: If the type is wrong, or a function takes other arguments.
    """
    if isinstance(context, dict):
        context = keras.saving.deserialize_keras_object(context)
    if isinstance(context, str):
        if context not in _NAMES:
            raise InputError(f"`context` must be {_EXPECTED}. Received: context={context!r}")
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
            f"a Keras layer with a `get_config`. Received: context={context!r}"
        )
    raise TypeError(
        f"`context` must be {_EXPECTED}. Received: context={context!r} (type {type(context)})"
    )


def serialize_context(context: Context) -> Any:
    """Return a resolved context in a form that can be stored in a config."""
    return context if isinstance(context, str) else keras.saving.serialize_keras_object(context)


def apply_context(
    context: Context,
    memory: tf.Tensor,
    mask: tf.Tensor,
    last_state: tf.Tensor,
) -> tf.Tensor:
    """Compute c `(batch, context_units)` from the memory, its mask and the last state."""
    if isinstance(context, AttentionPool) and context.built:  # so that a search stays float32
        return tf.cast(compute(context, memory, mask), memory.dtype)
    if isinstance(context, keras.layers.Layer):
        return tf.cast(context(memory, mask=mask), memory.dtype)
    if not isinstance(context, str):
        return tf.cast(context(memory, mask), memory.dtype)
    if context == "last_state":
        return last_state
    return mean_context(memory, mask) if context == "mean" else max_context(memory, mask)


def _check_takes_mask(layer: keras.layers.Layer) -> None:
    """Check that a layer accepts a mask, which it needs to ignore the padding."""
    parameters = inspect.signature(layer.call).parameters.values()
    if not any(it.name == "mask" or it.kind is it.VAR_KEYWORD for it in parameters):
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
