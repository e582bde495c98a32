"""In which precision layers compute: products in that of their kernel, and a way out of autocast.

With a mixed policy, `layer(inputs)` reads the weights of the layer in 16 bits (Keras's autocast).
Training wants that. A search, a log probability and an export do not: they compute in float32,
whatever the model was trained in. So a layer runs its sublayers by `compute`, which leaves the
precision to its caller: 16 bits where the outermost layer was called as `layer(inputs)`, and
float32 where the outermost call was `compute` too.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


def compute(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
    """Run a built layer in the precision of its caller, without the layer's own autocast.

    A quantized layer computes with its quantized weights, as by `layer(inputs)`.

    Args:
        layer: Built layer.
        *args: Arguments of its `call`.
        **kwargs: Arguments of its `call`.

    Returns:
        The outputs of its `call`.
    """
    run = layer.call if layer.quantization_mode is None else layer.quantized_call
    return run(*args, **kwargs)


def dense(layer: keras.layers.Dense, values: tf.Tensor) -> tf.Tensor:
    """Run a built dense layer by `compute` and keep the dtype of the values.

    A dense layer with LoRA or int8 weights returns its own compute dtype.

    Args:
        layer: Built dense layer.
        values: Float tensor `(..., units)`.

    Returns:
        Float tensor `(..., layer.units)` of the dtype of the values.
    """
    return tf.cast(compute(layer, values), values.dtype)


def product(values: tf.Tensor, kernel: tf.Tensor, *, transpose_b: bool = False) -> tf.Tensor:
    """Multiply in the precision of the kernel and return the dtype of the values.

    Args:
        values: Float tensor `(rows, units)`.
        kernel: Float tensor `(units, outputs)`, or `(outputs, units)` with `transpose_b`.
        transpose_b: Whether the kernel is transposed. Defaults to `False`.

    Returns:
        Float tensor `(rows, outputs)` of the dtype of the values.
    """
    products = tf.matmul(tf.cast(values, kernel.dtype), kernel, transpose_b=transpose_b)
    return tf.cast(products, values.dtype)
