r"""Client for a model server over REST, using only Python's standard library.

1. Train and export a translator, here for English pronunciation:
       make quickstart
2. Start a server:
       tensorflow_model_server --model_name=g2p --rest_api_port=8501 \
           --model_base_path=$PWD/runs/pronunciation/serving
3. Send it two texts:
       python examples/serving/rest_client.py g2p hello world
4. Choose another signature or a version:
       python examples/serving/rest_client.py g2p hello --signature greedy --version 1
5. Use a server on another machine:
       python examples/serving/rest_client.py g2p hello --server http://g2p.example:8501
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from typing import Any


def ask(
    server: str, model: str, inputs: dict[str, Any], *, signature: str, version: int | None = None
) -> dict[str, Any]:
    """Send a batch to a signature. Return a list for each output, with one row per input row."""
    place = model if version is None else f"{model}/versions/{version}"
    request = urllib.request.Request(  # noqa: S310
        f"{server}/v1/models/{place}:predict",
        data=json.dumps({"signature_name": signature, "inputs": inputs}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            raise RuntimeError(f"{error.code}: {error.read().decode()}") from error
    return dict(answer["outputs"])


def main(arguments: list[str]) -> None:
    """Print the best answer to each text, with its score."""
    parser = argparse.ArgumentParser(description="Client for a model server over REST.")
    parser.add_argument("model", help="name of the model on the server")
    parser.add_argument("texts", nargs="+", metavar="text")
    parser.add_argument("--server", default="http://localhost:8501")
    parser.add_argument("--signature", default="serving_default")
    parser.add_argument(
        "--version", type=int, help="number of the version; default: the newest loaded version"
    )
    options = parser.parse_args(arguments)
    try:
        answer = ask(
            options.server,
            options.model,
            {"source": options.texts},
            signature=options.signature,
            version=options.version,
        )
    except (OSError, RuntimeError) as error:  # no server, or a refused request
        sys.exit(f"{options.server}: {getattr(error, 'reason', error)}")
    for text, targets, scores in zip(
        options.texts, answer["target"], answer["scores"], strict=True
    ):
        print(f"{text:16s} {targets[0]:40s} {scores[0]:.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
