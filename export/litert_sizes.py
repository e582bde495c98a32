"""Outputs of a size that LiteRT knows before it runs the search."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from keras_s2s.export.signatures import SIGNATURES

# The only operation of a known size whose part that is filled in may have an unknown one: LiteRT's
# DYNAMIC_UPDATE_SLICE. A SavedModel for servers has none.
_OPERATION = "XlaDynamicUpdateSlice"


def fix_sizes(ids: Any, num_hypotheses: int, max_length: int | None) -> Any:
    """Give the signature "ids" outputs whose sizes follow from those of the input.

    LiteRT's CompiledModel, which runs in C++ and in browsers, makes room for the outputs before
    it runs a model. So "target_ids" are padded to `max_length`, not to the longest of the batch.

    Args:
        ids: the concrete function of the signature.
        num_hypotheses: how many the search returns.
        max_length: the longest target of the search, if there is one. Without it the sizes stay
            unknown, and only LiteRT's Interpreter can run the signature.

    Returns:
        A concrete function.
    """
    if max_length is None:
        return ids

    def run(source_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = tf.shape(source_ids)[0]
        sizes = {name: [num_hypotheses] for name in ("lengths", "scores", "log_probs")}
        sizes["target_ids"] = [num_hypotheses, max_length]
        return {
            name: gen_xla_ops.xla_dynamic_update_slice(
                tf.zeros(tf.stack([batch, *sizes[name]]), value.dtype),
                value,
                tf.zeros([value.shape.rank], tf.int32),
            )
            for name, value in ids(source_ids=source_ids).items()
        }

    return tf.function(
        run, input_signature=SIGNATURES["ids"].inputs, autograph=False
    ).get_concrete_function()


def without_fixed_sizes(graph_def: Any) -> Any:
    """Take the operation that fixes sizes out of a graph, for a check of all the others.

    Args:
        graph_def: a `GraphDef`.

    Returns:
        A copy.
    """
    copy = type(graph_def)()
    copy.CopyFrom(graph_def)
    for nodes in (copy.node, *(function.node_def for function in copy.library.function)):
        kept = [node for node in nodes if node.op != _OPERATION]
        del nodes[:]
        nodes.extend(kept)
    return copy
