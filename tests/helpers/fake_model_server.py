"""A stand-in for TensorFlow Serving: its REST and gRPC interfaces for a real SavedModel.

Follows the TensorFlow Serving documentation: column and row formats for inputs and outputs
("inputs", "outputs", "instances", "predictions"), model status and error messages.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import tensorflow as tf

from keras_s2s.export.saved_model_session import SavedModelSession
from keras_s2s.export.signatures import SIGNATURES

PLACE = re.compile(r"/v1/models/(?P<model>[^/:]+)(/versions/(?P<version>\d+))?(?P<verb>:predict)?")


class RefusedError(Exception):
    """A request that the server rejects, with the names of the error in both interfaces."""

    def __init__(self, code: int, name: str, message: str) -> None:
        super().__init__(message)
        self.code, self.name = code, name


class Model:
    """Version 1 of a model, loaded as a server loads it."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.session = SavedModelSession(path)

    def find(self, name: str, version: int | None) -> None:
        """Raise an error for a model or version that is not loaded."""
        if name != self.name or version not in (None, 1):
            raise RefusedError(
                404, "NOT_FOUND", f"Servable not found for request: {name} {version}"
            )

    def predict(self, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Call a signature after checking its inputs."""
        if signature not in SIGNATURES:
            raise RefusedError(400, "INVALID_ARGUMENT", f"Signature not found: {signature}")
        promised = {spec.name: spec for spec in SIGNATURES[signature].inputs}
        if set(inputs) != set(promised):
            raise RefusedError(400, "INVALID_ARGUMENT", f"input must be {set(promised)}")
        for name, spec in promised.items():
            if not spec.shape.is_compatible_with(inputs[name].shape):
                raise RefusedError(
                    400, "INVALID_ARGUMENT", f"{name} has shape {inputs[name].shape}"
                )
        return self.session(signature, inputs)


def _predict_json(model: Model, request: dict[str, Any]) -> dict[str, Any]:
    """Return the response to the body of a REST request."""
    signature = request.get("signature_name", "serving_default")
    columns = request.get("inputs")
    if columns is None:
        rows = request["instances"]
        named = [row if isinstance(row, dict) else {"source": row} for row in rows]
        columns = {name: [row[name] for row in named] for name in named[0]}
    dtypes = {spec.name: spec.dtype.as_numpy_dtype for spec in SIGNATURES[signature].inputs}
    inputs = {
        name: np.array(
            [item.encode() for item in values] if dtypes[name] is object else values, dtypes[name]
        )
        for name, values in columns.items()
    }
    outputs = {
        name: _plain(value.tolist()) for name, value in model.predict(signature, inputs).items()
    }
    if "inputs" in request:
        return {"outputs": outputs}
    rows = zip(*outputs.values(), strict=True)
    return {"predictions": [dict(zip(outputs, row, strict=True)) for row in rows]}


def _plain(value: Any) -> Any:
    """Decode texts to str at any depth."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


def _handler(model: Model) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(lambda place: self.status())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(lambda place: _predict_json(model, body))

        def status(self) -> dict[str, Any]:
            status = {"error_code": "OK", "error_message": ""}
            versions = [{"version": "1", "state": "AVAILABLE", "status": status}]
            return {"model_version_status": versions}

        def answer(self, give: Any) -> None:
            code, found = 404, {"error": "Malformed request"}
            place = PLACE.fullmatch(self.path)
            if place and bool(place["verb"]) == (self.command == "POST"):
                try:
                    version = None if place["version"] is None else int(place["version"])
                    model.find(place["model"], version)
                    code, found = 200, give(place)
                except RefusedError as refused:
                    code, found = refused.code, {"error": str(refused)}
            content = json.dumps(found, ensure_ascii=False).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            """Do nothing."""

    return Handler


@contextlib.contextmanager
def rest_server(model: Model) -> Iterator[str]:
    """Serve a model over REST. Yields the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(model))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def grpc_server(model: Model) -> Iterator[str]:
    """Serve a model over gRPC with the real messages. Yields the address."""
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
            spec = request.model_spec
            version = spec.version.value if spec.HasField("version") else None
            inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
            response = predict_pb2.PredictResponse()
            try:
                model.find(spec.name, version)
                found = model.predict(spec.signature_name or "serving_default", inputs)
            except RefusedError as refused:
                context.abort(getattr(grpc.StatusCode, refused.name), str(refused))
            for name, value in found.items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            return response

    server = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
