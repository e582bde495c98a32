"""Session that runs a SavedModel as a model server does."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from keras_s2s.checks import one_line
from keras_s2s.errors import InputError

# The model's outputs are computed on the CPU. On a GPU, TensorFlow rounds the operands of products
# (TensorFloat-32), and larger models differ by more than the check of an export allows. The session
# would also take the memory that a training needs. Parts placed on a GPU by hand run on the CPU, as
# in a server without a GPU.
_CPU = tf.compat.v1.ConfigProto(device_count={"GPU": 0}, allow_soft_placement=True)


class SavedModelSession:
    """Session with the graph and the variables of a SavedModel, loaded as a model server does.

    `tf.saved_model.load` would rebuild Python objects instead, and tolerates faults that make a
    server fail. Use this class only for SavedModels written by this package.

    Args:
        path: Folder of the version.

    Raises:
        ValueError: If its graph is damaged.
        tensorflow.errors.OpError: If its variables cannot be loaded.
    """

    def __init__(self, path: str) -> None:
        saved = read_saved_model(path)
        if len(saved.meta_graphs) != 1:
            raise InputError(
                f"{path}: not a SavedModel, or damaged: {len(saved.meta_graphs)} graphs in "
                "saved_model.pb. Expected: 1"
            )
        (meta_graph,) = saved.meta_graphs
        self._signatures = meta_graph.signature_def
        saver = meta_graph.saver_def
        variables = os.path.join(path, "variables", "variables")
        try:
            with tf.Graph().as_default() as graph:
                tf.graph_util.import_graph_def(meta_graph.graph_def, name="")
            self._session = tf.compat.v1.Session(graph=graph, config=_CPU)
            self._session.run(saver.restore_op_name, {saver.filename_tensor_name: variables})
            (initialize,) = self._signatures["__saved_model_init_op"].outputs.values()
            self._session.run(initialize.name)
        except (KeyError, TypeError, ValueError) as error:  # from TensorFlow, for a damaged graph
            raise InputError(
                f"{path}: its graph is damaged, or was not written by keras_s2s: {one_line(error)}"
            ) from error

    def __call__(self, signature: str, inputs: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Call a signature.

        Args:
            signature: Name of the signature.
            inputs: An array for each input.

        Returns:
            An array for each output.

        Raises:
            ValueError: If the signature does not exist.
        """
        if signature not in self._signatures:
            raise InputError(
                f"There is no signature {signature!r} in this SavedModel. Expected: one of "
                f"{', '.join(sorted(name for name in self._signatures if name[:1] != '_'))}"
            )
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
    """Read the `SavedModel` message in a version's folder, or raise `ValueError`."""
    saved = saved_model_pb2.SavedModel()
    name = os.path.join(path, "saved_model.pb")
    with open(name, "rb") as file:
        content = file.read()
    try:
        saved.ParseFromString(content)
    except DecodeError as error:
        raise InputError(f"{name}: not a SavedModel, or damaged: {error}") from error
    return saved
