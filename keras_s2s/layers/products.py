"""Matrix products of layers: their precision, and the library that computes them.

With a mixed policy, `layer(inputs)` reads the weights of the layer in 16 bits (Keras's autocast).
Training needs this. Searches, log probabilities and exports compute in float32, whatever precision
the model was trained in. A layer therefore runs its sublayers with `compute`, which leaves the
precision to the caller: 16 bits if the outermost layer was called as `layer(inputs)`, and float32
if the outermost call was also `compute`.

TensorFlow multiplies with oneDNN on processors with AVX-512 and with Eigen on others. On a Zen 3
without AVX-512, one thread multiplied 64 x 2048 by a transposed 512 x 2048 matrix at 19 GFLOP/s
with Eigen and at 65 with oneDNN. With oneDNN, a whole training step took two thirds of the time.
The environment variable `TF_ENABLE_ONEDNN_OPTS` has the same effect, but only if it is set before
TensorFlow is imported. An export contains no oneDNN operation, because `matmul` creates one only
within `fast_products`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_s2s.gradients import custom_gradient
from keras_s2s.keras_private import onednn_product

_CPUINFO = Path("/proc/cpuinfo")
_BFLOAT16 = {
    "avx512_bf16",
    "amx_bf16",
    "bf16",
}  # names of the instruction set on x86-64 (the first two) and ARM

_thread = threading.local()


class Transposed(NamedTuple):
    """A matrix that is stored transposed, so that oneDNN multiplies many rows faster."""

    matrix: tf.Tensor  # (columns, rows)


class Deferred(NamedTuple):
    """A matrix that one step of a loop multiplies with; its gradient is computed after the loop."""

    matrix: tf.Tensor  # (rows, columns); gets no gradient in the loop
    zeros: tf.Tensor  # (values, columns), gets the gradient of the product
    operands: list[tf.Tensor]  # the values that were multiplied, for the gradient of the matrix


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
    values: tf.Tensor,
    kernel: tf.Tensor | Transposed | Deferred,
    *,
    transpose_b: bool = False,
) -> tf.Tensor:
    """Multiply in the precision of the kernel and return the dtype of the values.

    Args:
        values: Float tensor `(rows, units)`.
        kernel: Float tensor `(units, outputs)`, or `(outputs, units)` with `transpose_b`; or a
            `Transposed` or `Deferred` kernel.
        transpose_b: Whether the kernel is transposed. Defaults to `False`.

    Returns:
        Float tensor `(rows, outputs)` of the dtype of the values.
    """
    if isinstance(kernel, Deferred):
        return _deferred_product(values, kernel)
    if isinstance(kernel, Transposed):
        kernel, transpose_b = kernel.matrix, True
    products = matmul(tf.cast(values, kernel.dtype), kernel, transpose_b=transpose_b)
    return tf.cast(products, values.dtype)


def _deferred_product(values: tf.Tensor, kernel: Deferred) -> tf.Tensor:
    """Multiply, with a gradient for the values and the zeros."""

    @custom_gradient
    def forward(
        values: tf.Tensor, matrix: tf.Tensor, zeros: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor | None, ...]]]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
            upstream = tf.convert_to_tensor(upstream)
            return product(upstream, matrix, transpose_b=True), None, upstream

        return product(values, matrix), gradient

    kernel.operands.append(tf.stop_gradient(values))
    return forward(values, kernel.matrix, kernel.zeros)


@contextlib.contextmanager
def fast_products(on: bool = True, *, many_rows: bool = False) -> Iterator[None]:
    """Select the library of `matmul` while tracing a graph that will run in this process.

    Args:
        on: Whether oneDNN may be used. XLA compiles only TensorFlow's public operations. Defaults
            to `True`.
        many_rows: Whether each step of a search multiplies enough rows to make transposing the
            matrices in `prepare_kernel` worthwhile. Defaults to `False`.
    """
    before = getattr(_thread, "on", False), getattr(_thread, "many_rows", False)
    _thread.on, _thread.many_rows = on, many_rows
    try:
        yield
    finally:
        _thread.on, _thread.many_rows = before


def prepare_kernel(matrix: tf.Tensor) -> tf.Tensor | Transposed:
    """Prepare a kernel for the many calls of `product` in a search."""
    if not (_is_on() and _thread.many_rows and matrix.dtype == tf.float32 and uses_onednn()):
        return matrix
    return Transposed(tf.transpose(matrix))


def matmul(
    a: tf.Tensor, b: tf.Tensor, *, transpose_a: bool = False, transpose_b: bool = False
) -> tf.Tensor:
    """Multiply two matrices.

    Within `fast_products`, a product with `transpose_a` has no gradient.

    Args:
        a: Float tensor of rank 2.
        b: Float tensor of rank 2.
        transpose_a: Whether to transpose `a` first. Defaults to `False`.
        transpose_b: Whether to transpose `b` first. Defaults to `False`.

    Returns:
        The product.
    """
    if not (_is_on() and a.dtype == b.dtype == tf.float32 and uses_onednn()):
        return tf.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
    if transpose_a:
        return onednn_product(a, b, transpose_a=True, transpose_b=transpose_b)

    @custom_gradient
    def forward(
        a: tf.Tensor, b: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            upstream = tf.convert_to_tensor(upstream)
            d_a = onednn_product(upstream, b, transpose_b=not transpose_b)
            sides = (upstream, a) if transpose_b else (a, upstream)
            return d_a, onednn_product(*sides, transpose_a=True)

        return onednn_product(a, b, transpose_b=transpose_b), gradient

    return forward(a, b)


@functools.cache
def uses_onednn() -> bool:
    """Return whether oneDNN multiplies faster on this processor than TensorFlow's default library.

    Returns:
        True on a processor with AVX2 and without AVX-512, if this TensorFlow has oneDNN, there is
        no GPU, and `TF_ENABLE_ONEDNN_OPTS` is not 0.
    """
    if "avx2" not in instruction_sets() or has_avx512():
        return False
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0" or tf.config.get_visible_devices("GPU"):
        return False
    ones = tf.function(lambda: onednn_product(tf.ones([2, 3]), tf.ones([3, 2])), autograph=False)
    try:
        with tf.init_scope():
            return bool(tf.reduce_all(tf.equal(ones(), 3.0)))
    except (tf.errors.OpError, ValueError, AttributeError, RuntimeError):
        return False  # built without oneDNN


def has_avx512() -> bool:
    """Return whether the processor is known to have AVX-512."""
    return "avx512f" in instruction_sets()


def has_bfloat16() -> bool:
    """Return whether the processor is known to have bfloat16 products."""
    return bool(_BFLOAT16 & instruction_sets())


@functools.cache
def instruction_sets() -> frozenset[str]:
    """Return the Linux names of the instruction sets, or an empty set on another system."""
    for name in ("flags", "Features"):
        listed = cpuinfo().get(name)
        if listed:
            return frozenset(listed.split())
    return frozenset()


@functools.cache
def cpuinfo() -> dict[str, str]:
    """Return the fields of /proc/cpuinfo for the first core."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _is_on() -> bool:
    return getattr(_thread, "on", False) and not tf.executing_eagerly()
