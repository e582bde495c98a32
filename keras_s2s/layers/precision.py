"""Precision of layers: products in the precision of their kernel, and a way to avoid autocast.

With a mixed policy, `layer(inputs)` reads the weights of the layer in 16 bits (Keras's autocast).
Training needs this. Searches, log probabilities and exports compute in float32, whatever precision
the model was trained in. A layer therefore runs its sublayers with `compute`, which leaves the
precision to the caller: 16 bits if the outermost layer was called as `layer(inputs)`, and float32
if the outermost call was also `compute`.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.layers.products import Transposed, matmul


def compute(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
    """Run a built layer in the precision of its caller, without the layer's own autocast.

    A quantized layer uses its quantized weights, as with `layer(inputs)`.

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
    """Run a built dense layer with `compute`, and keep the dtype of the values.

    A dense layer with LoRA or int8 weights returns its own compute dtype.

    Args:
        layer: Built dense layer.
        values: Float tensor `(..., units)`.

    Returns:
        Float tensor `(..., layer.units)` of the dtype of the values.
    """
    return tf.cast(compute(layer, values), values.dtype)


def product(
    values: tf.Tensor, kernel: tf.Tensor | Transposed, *, transpose_b: bool = False
) -> tf.Tensor:
    """Multiply in the precision of the kernel and return the dtype of the values.

    Args:
        values: Float tensor `(rows, units)`.
        kernel: Float tensor `(units, outputs)`, or `(outputs, units)` with `transpose_b`; or a
            `Transposed` kernel.
        transpose_b: Whether the kernel is transposed. Defaults to `False`.

    Returns:
        Float tensor `(rows, outputs)` of the dtype of the values.
    """
    if isinstance(kernel, Transposed):
        kernel, transpose_b = kernel.matrix, True
    products = matmul(tf.cast(values, kernel.dtype), kernel, transpose_b=transpose_b)
    return tf.cast(products, values.dtype)
