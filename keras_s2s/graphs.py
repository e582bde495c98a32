"""Functions that are compiled into a graph once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def compile_once(
    function: Callable[..., Any], signature: Any, *, jit_compile: bool = False
) -> Callable[..., Any]:
    """Compile a function for one signature; autograph is off.

    Args:
        function: what to compile.
        signature: the `tf.TensorSpec`s of its arguments.
        jit_compile: whether XLA compiles it, anew for each shape.

    Returns:
        The compiled function.
    """
    compiled = tf.function(
        function, input_signature=signature, autograph=False, jit_compile=jit_compile or None
    )
    # Many objects have such a function of their own, which is no reason to warn of retracing.
    compiled._omit_frequent_tracing_warning = True
    return compiled
