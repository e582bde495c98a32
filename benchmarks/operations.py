"""Count the GPU operations of a training step in its graph. Runs on any machine.

    python -m benchmarks.operations

On a GPU, a step takes as long as the host needs to launch its operations, so their number
determines the speed. Constants and operations that only name a value are free. Of the two branches
of a condition, only the larger one is counted. tests/models/test_operations.py checks the numbers.
"""

from __future__ import annotations

import argparse
import collections
from collections.abc import Iterable
from typing import Any
from unittest import mock

import keras
import tensorflow as tf

import keras_s2s as s2s
from keras_s2s.models import batches

# Operations that the executor never runs, or that only name a value.
FREE = frozenset(("Const", "Placeholder", "Identity", "IdentityN", "NoOp", "_Arg", "_Retval"))
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "Luong": {"attention": "luong"},
    "Luong, dropout": {"attention": "luong", "dropout": 0.2},
    "Luong, dropout, bidirectional": {
        "attention": "luong",
        "dropout": 0.2,
        "bidirectional": True,
    },
}


def make_model(
    attention: str | None = None,
    dropout: float = 0.0,
    bidirectional: bool = False,
    policy: str = "float32",
    num_layers: int = 2,
) -> s2s.Seq2Seq:
    """Build a small compiled model with two layers per side.

    A large model has the same operations.
    """
    shared: dict[str, Any] = {"num_layers": num_layers, "dropout": dropout, "dtype": policy}
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(16, 8, bidirectional=bidirectional, **shared),
        s2s.LSTMDecoder(16, 8, attention=attention, **shared),
        dtype=policy,
    )
    model.compile("adam", loss=s2s.SequenceLoss("token"))
    return model


def count_operations(model: keras.Model) -> collections.Counter[str]:
    """Count the operations of a training step by type, as on a GPU.

    Args:
        model: Compiled model.

    Returns:
        A counter of operations by type.
    """
    ids = tf.TensorSpec([None, None], tf.int32)

    @tf.function(input_signature=[{"source_ids": ids, "target_inputs": ids}, ids], autograph=False)
    def step(inputs: dict[str, tf.Tensor], labels: tf.Tensor) -> dict[str, tf.Tensor]:
        return model.train_step((inputs, labels))

    model.optimizer.build(model.trainable_variables)
    with mock.patch.object(batches, "runs_on_gpu", return_value=True):
        graph = step.get_concrete_function().graph
    library = graph.as_graph_def().library.function
    bodies = {function.signature.name: function.node_def for function in library}
    return _count(_executed(graph), bodies)


def _executed(graph: Any) -> list[Any]:
    """Return the nodes needed for results and side effects; TensorFlow removes the others."""
    left = [output.op for output in graph.outputs] + list(graph.control_outputs)
    found: dict[str, Any] = {}
    while left:
        operation = left.pop()
        if operation.name not in found:
            found[operation.name] = operation.node_def
            left += [it.op for it in operation.inputs] + list(operation.control_inputs)
    return list(found.values())


def _count(nodes: Iterable[Any], bodies: dict[str, Any]) -> collections.Counter[str]:
    found: collections.Counter[str] = collections.Counter()
    for node in nodes:
        if node.op in FREE:
            continue
        found[node.op] += 1
        called = [
            _count(bodies[value.func.name], bodies)
            for value in node.attr.values()
            if value.func.name in bodies
        ]
        if node.op in ("If", "StatelessIf"):
            called = sorted(called, key=collections.Counter.total)[-1:]
        for counts in called:
            found.update(counts)
    return found


def main() -> None:
    """Print a table of all configurations."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--kinds", type=int, default=0, help="number of most frequent types to print"
    )
    arguments = parser.parse_args()
    print("| two layers per side | float32 | bfloat16 | float16 |\n|---|---|---|---|")
    for name, options in CONFIGURATIONS.items():
        counts = [
            count_operations(make_model(**options, policy=policy))
            for policy in ("float32", "mixed_bfloat16", "mixed_float16")
        ]
        print(f"| {name} | {' | '.join(str(it.total()) for it in counts)} |", flush=True)
        if arguments.kinds:
            print(counts[0].most_common(arguments.kinds))


if __name__ == "__main__":
    main()
