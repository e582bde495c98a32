"""Output sizes that LiteRT can compute before it runs the search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

# The only operation with a known output size that accepts an update of unknown size: LiteRT's
# DYNAMIC_UPDATE_SLICE. A SavedModel for servers does not use it.
_OPERATION = "XlaDynamicUpdateSlice"


def fix_sizes(ids: Any, specs: Sequence[Any], num_hypotheses: int, max_length: int | None) -> Any:
    """Fix the output sizes of a signature such as "ids", given the sizes of its input.

    LiteRT's CompiledModel, which runs in C++ and in browsers, allocates the outputs before it
    runs a model. "target_ids" are therefore padded to `max_length`, not to the longest of the
    batch.

    Args:
        ids: Concrete function of the signature.
        specs: The `tf.TensorSpec` of its input.
        num_hypotheses: Number of hypotheses that the search returns.
        max_length: Maximum target length of the search, if there is one. Without it the sizes stay
            unknown, and only LiteRT's Interpreter can run the signature.

    Returns:
        A concrete function.
    """
    if max_length is None:
        return ids

    def run(source_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = tf.shape(source_ids)[0]
        shapes = found_shapes(num_hypotheses, max_length)
        return {
            name: gen_xla_ops.xla_dynamic_update_slice(
                tf.zeros(tf.stack([batch, *shapes[name][1:]]), value.dtype),
                value,
                tf.zeros([value.shape.rank], tf.int32),
            )
            for name, value in ids(source_ids=source_ids).items()
        }

    return tf.function(run, input_signature=specs, autograph=False).get_concrete_function()


def found_shapes(num_hypotheses: int, max_length: int) -> dict[str, tuple[int, ...]]:
    """Return the fixed shape of each output for one source.

    Args:
        num_hypotheses: Number of hypotheses that the search returns.
        max_length: Maximum target length of the search.

    Returns:
        The shape of each output of a signature that searches on ids.
    """
    one = (1, num_hypotheses)
    shapes = dict.fromkeys(("lengths", "scores", "log_probs", "confidences"), one)
    return {**shapes, "target_ids": (*one, max_length)}


def without_fixed_sizes(graph_def: Any) -> Any:
    """Remove the operation that fixes sizes from a graph, so that all others can be checked.

    Args:
        graph_def: A `GraphDef`.

    Returns:
        A modified copy.
    """
    copy = type(graph_def)()
    copy.CopyFrom(graph_def)
    for nodes in (copy.node, *(function.node_def for function in copy.library.function)):
        kept = [node for node in nodes if node.op != _OPERATION]
        del nodes[:]
        nodes.extend(kept)
    return copy
