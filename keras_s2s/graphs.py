"""Functions that are compiled into a graph once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def compile_once(
    function: Callable[..., Any], signature: Any, *, jit_compile: bool = False
) -> Callable[..., Any]:
    """Compile a function for one signature, without autograph.

    Args:
        function: The function to compile.
        signature: The `tf.TensorSpec`s of its arguments.
        jit_compile: Whether to compile with XLA, once for each shape. Defaults to False.

    Returns:
        The compiled function.
    """
    compiled = tf.function(
        function, input_signature=signature, autograph=False, jit_compile=jit_compile or None
    )
    # Many objects have their own compiled function, so TensorFlow's retracing warning is wrong.
    compiled._omit_frequent_tracing_warning = True
    return compiled
