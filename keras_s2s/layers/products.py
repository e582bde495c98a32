"""Matrix products of training and of searches in Python, by the faster of two libraries.

TensorFlow multiplies with oneDNN on processors with AVX-512 and with Eigen on others. On a Zen 3
without AVX-512, one thread multiplied 64 x 2048 by a transposed 512 x 2048 matrix at 19 GFLOP/s
with Eigen and at 65 with oneDNN. A whole training step took two thirds of the time. The environment
variable `TF_ENABLE_ONEDNN_OPTS` has the same effect, but only if it is set before TensorFlow is
imported.

An export contains no operation of oneDNN: `matmul` creates one only in `fast_products`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import tensorflow as tf

from keras_s2s.keras_private import onednn_product
from keras_s2s.processor import has_avx512, instruction_sets

_thread = threading.local()


class Transposed(NamedTuple):
    """A matrix that is stored transposed, because oneDNN then multiplies many rows faster."""

    matrix: tf.Tensor  # (columns, rows)


@contextlib.contextmanager
def fast_products(on: bool = True, *, many_rows: bool = False) -> Iterator[None]:
    """Select the library of `matmul` while tracing a graph that will run in this process.

    Args:
        on: Whether oneDNN may be used. XLA compiles only TensorFlow's public operations. Defaults
            to `True`.
        many_rows: Whether each step of a search multiplies enough rows for `prepare` to transpose
            its matrices. Defaults to `False`.
    """
    before = getattr(_thread, "on", False), getattr(_thread, "many_rows", False)
    _thread.on, _thread.many_rows = on, many_rows
    try:
        yield
    finally:
        _thread.on, _thread.many_rows = before


def prepare(matrix: tf.Tensor) -> tf.Tensor | Transposed:
    """Return a matrix for the many products of a search, as `precision.product` takes it."""
    if not (_is_on() and _thread.many_rows and matrix.dtype == tf.float32 and uses_onednn()):
        return matrix
    return Transposed(tf.transpose(matrix))


def matmul(
    a: tf.Tensor, b: tf.Tensor, *, transpose_a: bool = False, transpose_b: bool = False
) -> tf.Tensor:
    """Multiply two matrices.

    In `fast_products`, a product with `transpose_a` has no gradient.

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

    @tf.custom_gradient
    def forward(
        a: tf.Tensor, b: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            upstream = tf.convert_to_tensor(upstream)
            of_a = onednn_product(upstream, b, transpose_b=not transpose_b)
            sides = (upstream, a) if transpose_b else (a, upstream)
            return of_a, onednn_product(*sides, transpose_a=True)

        return onednn_product(a, b, transpose_b=transpose_b), gradient

    return forward(a, b)


@functools.cache
def uses_onednn() -> bool:
    """Check whether oneDNN multiplies faster here than TensorFlow does by itself.

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


def _is_on() -> bool:
    return getattr(_thread, "on", False) and not tf.executing_eagerly()
