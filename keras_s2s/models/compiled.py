"""The compiled functions of a model: one for each kind of call, as long as its layers stay."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import keras

from keras_s2s.graphs import compile_once

_MOST = 16  # functions of one model; each holds its graph, which may be some MB


class CompiledCalls:
    """Compiles calls once and finds them again by a key.

    Not a dict, because Keras tracks the dicts of a layer as a part of what is saved.
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
        """Return the compiled form of `function`, made at the first call with `key`.

        With sizes of None in the signature no batch size or length makes a new trace. Autograph
        is off: our loops are `tf.while_loop`s. The functions that were used last are kept, 16 of
        them.

        Args:
            key: Hashable value that tells this call from the others.
            function: Function to compile if the key is new.
            signature: `tf.TensorSpec`s of its arguments.
            state: `GraphState` of the model. If it is another than at the last call, all functions
                are compiled anew.
            jit_compile: Whether XLA compiles it, anew for each shape. Defaults to `False`.

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
            if len(self._functions) > _MOST:
                self._functions.popitem(last=False)
            return self._functions[key]


class GraphState:
    """What a compiled graph of a model depends on besides its inputs; equal while it is up to date.

    Values of weights are not part of it: a graph reads them. Which weights there are, and how
    layers compute with them, is: both change by `enable_lora` and by `quantize`.

    Args:
        model: Built model.
    """

    def __init__(self, model: keras.layers.Layer) -> None:
        layers = model._flatten_layers()
        self._objects = (*model.weights, *layers)
        self._modes = [
            (getattr(layer, "lora_enabled", False), layer.dtype_policy.name) for layer in layers
        ]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, GraphState)
            and self._modes == other._modes
            and len(self._objects) == len(other._objects)
            and all(ours is its for ours, its in zip(self._objects, other._objects, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]
