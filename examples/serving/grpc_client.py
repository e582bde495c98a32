r"""Client for a model server over gRPC.

1. Install its requirement, which includes TensorFlow:
       pip install tensorflow-serving-api
2. Train and export a translator, here for English pronunciation:
       make quickstart
3. Start a server:
       tensorflow_model_server --model_name=g2p --port=8500 \
           --model_base_path=$PWD/runs/pronunciation/serving
4. Send it two texts:
       python examples/serving/grpc_client.py g2p hello world
5. Choose another signature or a version:
       python examples/serving/grpc_client.py g2p hello --signature greedy --version 1
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


def ask(
    server: str, model: str, inputs: dict[str, Any], *, signature: str, version: int | None = None
) -> dict[str, Any]:
    """Send a batch to a signature. Return an array for each output."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    with grpc.insecure_channel(server) as channel:
        service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = service.Predict(request, timeout=30)
    return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}


def main(arguments: list[str]) -> None:
    """Print the best answer to each text, with its score."""
    parser = argparse.ArgumentParser(description="Client for a model server over gRPC.")
    parser.add_argument("model", help="name of the model on the server")
    parser.add_argument("texts", nargs="+", metavar="text")
    parser.add_argument("--server", default="localhost:8500")
    parser.add_argument("--signature", default="serving_default")
    parser.add_argument(
        "--version", type=int, help="number of the version; default: the newest loaded version"
    )
    options = parser.parse_args(arguments)
    try:
        answer = ask(
            options.server,
            options.model,
            {"source": [text.encode() for text in options.texts]},
            signature=options.signature,
            version=options.version,
        )
    except grpc.RpcError as error:  # no server, or a refused request
        sys.exit(f"{options.server}: {error.code().name}: {error.details()}")
    for text, targets, scores in zip(
        options.texts, answer["target"], answer["scores"], strict=True
    ):
        print(f"{text:16s} {targets[0].decode():40s} {scores[0]:.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
