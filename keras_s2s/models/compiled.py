"""One compiled function for each search that a model has been asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_s2s.graphs import compile_once


class CompiledCalls:
    """Compiles calls once and finds them again by a key.

    Not a dict, because Keras tracks the dicts of a layer as a part of what is saved.
    """

    def __init__(self) -> None:
        self._functions: dict[Any, Any] = {}

    def get(
        self, key: Any, function: Callable[..., Any], signature: Any, *, jit_compile: bool = False
    ) -> Callable[..., Any]:
        """Give the compiled form of `function`, made at the first call with `key`.

        With sizes of None in the signature no batch size or length makes a new trace. Autograph
        is off: our loops are `tf.while_loop`s.

        Args:
            key: what tells this call from the others; hashable.
            function: what to compile where the key is new.
            signature: the `tf.TensorSpec`s of its arguments.
            jit_compile: whether XLA compiles it, anew for each shape.

        Returns:
            The compiled function.
        """
        if key not in self._functions:
            self._functions[key] = compile_once(function, signature, jit_compile=jit_compile)
        return self._functions[key]
