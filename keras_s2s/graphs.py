"""Compiled functions, and a cache of the compiled functions of a model."""

from __future__ import annotations

import functools
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_s2s.gradients import gradients_of
from keras_s2s.keras_private import all_layers

_MAX_FUNCTIONS = 16  # per model; each has a graph of up to some MB


def compile_once(
    function: Callable[..., Any], signature: Any, *, jit_compile: bool = False
) -> Callable[..., Any]:
    """Compile a function into a graph for one signature, without autograph.

    Args:
        function: The function to compile.
        signature: The `tf.TensorSpec`s of its arguments.
        jit_compile: Whether to compile with XLA, once for each shape. Defaults to False.

    Returns:
        The compiled function.
    """

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        with gradients_of(reference()):
            return function(*args, **kwargs)

    compiled = tf.function(
        traced, input_signature=signature, autograph=False, jit_compile=jit_compile or None
    )
    reference = weakref.ref(compiled)
    # Many objects have their own compiled function, so TensorFlow's retracing warning is wrong.
    compiled._omit_frequent_tracing_warning = True
    return compiled


class CompiledCalls:
    """Cache of the compiled functions of a model, which is cleared when the layers change.

    The cache is not a dict, because Keras tracks and saves the dicts of a layer.
    """

    def __init__(self) -> None:
        self._functions: OrderedDict[Any, Any] = OrderedDict()
        self._state: GraphState | None = None
        self._lock = threading.Lock()

    def get(
        self,
        key: Any,
        function: Callable[..., Any],
        signature: Any,
        *,
        state: GraphState | None = None,
        jit_compile: bool = False,
    ) -> Callable[..., Any]:
        """Return `function` compiled, from the cache if `key` is known.

        If sizes in the signature are `None`, a new batch size or length causes no retracing.
        Autograph is off, because all loops are `tf.while_loop`s. The cache holds the 16 most
        recently used functions.

        Args:
            key: Hashable value that identifies the call.
            function: Function to compile if the key is new.
            signature: `tf.TensorSpec`s of its arguments.
            state: `GraphState` of the model. If it differs from that of the last call, all cached
                functions are discarded.
            jit_compile: Whether XLA compiles the function, once per shape. Defaults to `False`.

        Returns:
            The compiled function.
        """
        with self._lock:
            if state != self._state:
                self._functions.clear()
                self._state = state
            if key not in self._functions:
                self._functions[key] = compile_once(function, signature, jit_compile=jit_compile)
            self._functions.move_to_end(key)
            if len(self._functions) > _MAX_FUNCTIONS:
                self._functions.popitem(last=False)
            return self._functions[key]


class GraphState:
    """State of models, or other layers, on which compiled graphs depend.

    Two states are equal if a graph compiled for one is valid for the other. The state includes the
    identity of the weights and the modes of the layers, because `enable_lora` and `quantize` change
    both. It does not include the values of the weights, which a graph reads when it runs.

    Args:
        *models: Built models or layers.
    """

    def __init__(self, *models: keras.layers.Layer) -> None:
        layers = [layer for model in models for layer in all_layers(model)]
        self._objects = (*(weight for model in models for weight in model.weights), *layers)
        self._modes = [
            (getattr(layer, "lora_enabled", False), layer.dtype_policy.name) for layer in layers
        ]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, GraphState)
            and self._modes == other._modes
            and len(self._objects) == len(other._objects)
            and all(
                mine is theirs for mine, theirs in zip(self._objects, other._objects, strict=True)
            )
        )

    __hash__ = None  # type: ignore[assignment]
