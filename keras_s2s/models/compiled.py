"""One compiled function for each search that a model has been asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


class CompiledCalls:
    """Compiles calls once and finds them again by a key.

    Not a dict, because Keras tracks the dicts of a layer as a part of what is saved.
    """

    def __init__(self) -> None:
        self._functions: dict[Any, Any] = {}

    def get(self, key: Any, function: Callable[..., Any]) -> Callable[..., Any]:
        """Give the compiled form of `function`, made at the first call with `key`.

        It is traced anew only for another structure, dtype or rank of its arguments, never for
        another batch size or length.

        Args:
            key: what tells this call from the others; hashable.
            function: what to compile where the key is new.

        Returns:
            The compiled function.
        """
        if key not in self._functions:
            self._functions[key] = tf.function(function)
        return self._functions[key]


def with_open_shape(tensor: tf.Tensor) -> tf.TensorSpec:
    """Describe a tensor by its rank and dtype alone."""
    return tf.TensorSpec([None] * tensor.shape.rank, tensor.dtype)
