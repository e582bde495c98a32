"""Custom gradients that do not outlive the graphs they belong to.

In a graph, `tf.custom_gradient` adds a gradient function to a registry of the process, and
TensorFlow never removes it. The function refers to the graph, and the graph to the weights, so that
every model that was trained or searched would stay in memory until the process ends.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from keras_s2s.keras_private import forget_gradients, gradient_names

_thread = threading.local()
_names_of_owners: weakref.WeakKeyDictionary[Any, list[str]] = weakref.WeakKeyDictionary()


def custom_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function like `tf.custom_gradient`.

    Within `gradients_of`, a graph's entry in the registry is removed with the owner.

    Args:
        function: Function of tensors. Returns tensors and the function of their gradient.

    Returns:
        The function of tensors, which returns the tensors.
    """
    decorated = tf.custom_gradient(function)

    @functools.wraps(function)
    def run(*tensors: Any) -> Any:
        results = decorated(*tensors)
        names = getattr(_thread, "names", None)
        if names is not None and not tf.executing_eagerly():
            names += gradient_names([tf.nest.flatten(results)[0].op])
        return results

    return run


@contextlib.contextmanager
def gradients_of(owner: Any) -> Iterator[None]:
    """Remove the gradients that are registered in this context when the owner is gone.

    Args:
        owner: The model or the compiled function that uses the graph. Without it, no gradient of
            the graph can be computed.
    """
    names = _names_of_owners.get(owner)
    if names is None:
        names = _names_of_owners[owner] = []
        weakref.finalize(owner, forget_gradients, names).atexit = False
    before, _thread.names = getattr(_thread, "names", None), names
    try:
        yield
    finally:
        _thread.names = before


@contextlib.contextmanager
def temporary_gradients() -> Iterator[None]:
    """Remove the gradients that are registered in this context when it ends.

    For graphs that are written to a file and then discarded.
    """
    with gradients_of(tf.Module()):  # any object that nothing else refers to
        yield


@contextlib.contextmanager
def with_gradients_of_others() -> Iterator[None]:
    """Add the gradients of TensorFlow's and Keras's own operations to those of the owner.

    For example, an optimizer sums the gradients of all replicas with an operation that has a custom
    gradient. Operations in loops are not found.
    """
    names, graph = getattr(_thread, "names", None), tf.compat.v1.get_default_graph()
    if names is None or tf.executing_eagerly():
        yield
        return
    before = len(graph.get_operations())
    yield
    names += gradient_names(graph.get_operations()[before:])


def own_gradients(step: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a method of a model, so that the model is the owner in `gradients_of`.

    Args:
        step: Method that Keras traces, such as `train_step`.

    Returns:
        The method.
    """

    @functools.wraps(step)
    def run(model: Any, data: Any) -> Any:
        with gradients_of(model):
            return step(model, data)

    return run
