"""What is served: the names, inputs and outputs of every signature.

These names are a promise to clients: a name, shape or dtype changes only with a major version.
In all of them the first dimension is the batch, of any size, and an input gets the same answer
whatever else is in its batch, so that a model server can merge requests.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Signature(NamedTuple):
    """What one signature takes and gives; None stands for a size that is not fixed."""

    inputs: tuple[tf.TensorSpec, ...]
    outputs: tuple[tf.TensorSpec, ...]


_SOURCE = tf.TensorSpec([None], tf.string, name="source")

# (batch, num_hypotheses), best first; a slot without a hypothesis: empty text, -1e9.
_SCORES = tf.TensorSpec([None, None], tf.float32, name="scores")
_LOG_PROBS = tf.TensorSpec([None, None], tf.float32, name="log_probs")
_TRANSLATION = (tf.TensorSpec([None, None], tf.string, name="target"), _SCORES, _LOG_PROBS)

SIGNATURES = {
    # The search that the translator was made with.
    "serving_default": Signature((_SOURCE,), _TRANSLATION),
    # The most probable token at each step: one hypothesis, the quickest answer.
    "greedy": Signature((_SOURCE,), _TRANSLATION),
    # The same search as `serving_default` for clients that have their own tokenizer.
    "ids": Signature(
        (tf.TensorSpec([None, None], tf.int32, name="source_ids"),),
        (
            # (batch, num_hypotheses, length), eos included, padded with 0 to the longest
            tf.TensorSpec([None, None, None], tf.int32, name="target_ids"),
            tf.TensorSpec([None, None], tf.int32, name="lengths"),
            _SCORES,
            _LOG_PROBS,
        ),
    ),
    # log P(target | source), and that divided by length**length_penalty.
    "score": Signature(
        (_SOURCE, tf.TensorSpec([None], tf.string, name="target")),
        (
            tf.TensorSpec([None], tf.float32, name="log_probs"),
            tf.TensorSpec([None], tf.float32, name="scores"),
        ),
    ),
    # `serving_default` with each row's own settings; values out of range are moved into it.
    "options": Signature(
        (
            _SOURCE,
            tf.TensorSpec([None], tf.int32, name="max_length"),
            tf.TensorSpec([None], tf.int32, name="min_length"),
            tf.TensorSpec([None], tf.float32, name="length_penalty"),
        ),
        _TRANSLATION,
    ),
}

# What clients of a signature must know; stored with each export.
NOTES = {
    "ids": (
        "Each row of `source_ids` must hold the id of eos (3). What follows the first eos of a row "
        "is not read, so it does not matter what a row is padded with: 0, or what TF Serving's "
        "`pad_variable_length_inputs` takes, the first id of the request. A row without eos must "
        "not be sent to a server that pads: it would read the padding as text."
    )
}

# What a LiteRT file has: `options` would add a fifth search to every app.
LITERT_SIGNATURES = ("serving_default", "greedy", "ids", "score")

# The largest `max_length` that a request to `options` can ask for, where the translator's own is
# smaller: a request must not be able to fill a server's memory.
OPTIONS_MAX_LENGTH = 1000
