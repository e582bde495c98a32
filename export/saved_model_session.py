"""Runs a SavedModel as a model server does."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2


class SavedModelSession:
    """Loads the graph and the variables of a SavedModel into a session, and calls signatures.

    `tf.saved_model.load` would rebuild Python objects instead, and forgives faults at which a
    server fails. What is loaded here was written by this package.

    Args:
        path: the version's folder.

    Raises:
        ValueError: if its graph is damaged.
        tensorflow.errors.OpError: if its variables cannot be loaded.
    """

    def __init__(self, path: str) -> None:
        (meta_graph,) = read_saved_model(path).meta_graphs
        self._signatures = meta_graph.signature_def
        with tf.Graph().as_default() as graph:
            tf.graph_util.import_graph_def(meta_graph.graph_def, name="")
        self._session = tf.compat.v1.Session(graph=graph)
        saver = meta_graph.saver_def
        variables = os.path.join(path, "variables", "variables")
        self._session.run(saver.restore_op_name, {saver.filename_tensor_name: variables})
        (initialize,) = self._signatures["__saved_model_init_op"].outputs.values()
        self._session.run(initialize.name)

    def __call__(self, signature: str, inputs: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Call a signature.

        Args:
            signature: its name.
            inputs: an array for each of its inputs.

        Returns:
            An array for each of its outputs.
        """
        served = self._signatures[signature]
        feeds = {served.inputs[name].name: value for name, value in inputs.items()}
        fetches = {name: info.name for name, info in served.outputs.items()}
        found: dict[str, np.ndarray[Any, Any]] = self._session.run(fetches, feeds)
        return found

    def __enter__(self) -> SavedModelSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._session.close()


def read_saved_model(path: str) -> Any:
    """Read the `SavedModel` message of a version's folder, or raise `ValueError`."""
    saved = saved_model_pb2.SavedModel()
    name = os.path.join(path, "saved_model.pb")
    with open(name, "rb") as file:
        content = file.read()
    try:
        saved.ParseFromString(content)
    except DecodeError as error:
        raise ValueError(f"{name}: no SavedModel, or a damaged one: {error}") from error
    return saved
