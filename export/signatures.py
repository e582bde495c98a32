"""Names, inputs and outputs of every signature.

The signatures are a stable interface for clients: a name, shape or dtype changes only with a major
version. In all of them the first dimension is the batch, of any size. The output for an input does
not depend on the rest of its batch, so a model server can merge requests.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import tensorflow as tf

from keras_s2s.checks import check_positive_int
from keras_s2s.errors import InputError


class Signature(NamedTuple):
    """Inputs and outputs of a signature. A size of `None` is not fixed."""

    inputs: tuple[tf.TensorSpec, ...]
    outputs: tuple[tf.TensorSpec, ...]


_SOURCE = tf.TensorSpec([None], tf.string, name="source")

# (batch, num_hypotheses), best first; a slot without a hypothesis has an empty text and -1e9.
_SCORES = tf.TensorSpec([None, None], tf.float32, name="scores")
_LOG_PROBS = tf.TensorSpec([None, None], tf.float32, name="log_probs")
_TRANSLATION = (tf.TensorSpec([None, None], tf.string, name="target"), _SCORES, _LOG_PROBS)

_SOURCE_IDS = tf.TensorSpec([None, None], tf.int32, name="source_ids")
_FOUND_IDS = (
    # (batch, num_hypotheses, length), including eos, padded with 0 to the longest
    tf.TensorSpec([None, None, None], tf.int32, name="target_ids"),
    tf.TensorSpec([None, None], tf.int32, name="lengths"),
    _SCORES,
    _LOG_PROBS,
)
_SCORED = (
    tf.TensorSpec([None], tf.float32, name="log_probs"),
    tf.TensorSpec([None], tf.float32, name="scores"),
)

SIGNATURES = {
    # The translator's own search.
    "serving_default": Signature((_SOURCE,), _TRANSLATION),
    # The most probable token at each step: one hypothesis, the fastest answer.
    "greedy": Signature((_SOURCE,), _TRANSLATION),
    # The same search as `serving_default`, for clients with their own tokenizer.
    "ids": Signature((_SOURCE_IDS,), _FOUND_IDS),
    # log P(target | source), and that value divided by length**length_penalty.
    "score": Signature((_SOURCE, tf.TensorSpec([None], tf.string, name="target")), _SCORED),
    # `serving_default` with settings for each row; values out of range are clipped.
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

# `greedy` and `score` on ids, exported on request.
ID_SIGNATURES = {
    "greedy_ids": Signature((_SOURCE_IDS,), _FOUND_IDS),
    "score_ids": Signature(
        (_SOURCE_IDS, tf.TensorSpec([None, None], tf.int32, name="target_ids")), _SCORED
    ),
}
ALL_SIGNATURES = {**SIGNATURES, **ID_SIGNATURES}

_IDS_NOTE = (
    "Each row of `source_ids` must contain the id of eos (3). Everything after the first eos of a "
    "row is ignored, so a row may be padded with 0, or as TF Serving's "
    "`pad_variable_length_inputs` does, with the first id of the request. A row without eos must "
    "not be sent to a server that pads: the padding would be read as text."
)
# Notes for clients of a signature; stored with each export.
NOTES = dict.fromkeys(("ids", "greedy_ids", "score_ids"), _IDS_NOTE)

# An additional output of the signatures that search, if the translator has `confidence`: the
# calibrated probability that the whole output is correct; 0 in a slot without a hypothesis.
CONFIDENCES = tf.TensorSpec([None, None], tf.float32, name="confidences")

# Signatures of a LiteRT file. `options` is left out: it would add another search to every app.
LITERT_SIGNATURES = ("serving_default", "greedy", "ids", "score")

# The largest `max_length` that a request to `options` can set, and the longest target that `score`
# takes, unless the translator's own limit is larger. It keeps a request from filling the memory of
# a server.
OPTIONS_MAX_LENGTH = 1000


def takes_text(name: str) -> bool:
    """Return whether a signature has inputs of type string."""
    return any(spec.dtype == tf.string for spec in ALL_SIGNATURES[name].inputs)


def check_signatures(
    signatures: Iterable[str] | None, default: Iterable[str], source_length: int | None
) -> tuple[str, ...]:
    """Return the signatures to export, after checking their names.

    Args:
        signatures: Names of the signatures. `None` selects `default`.
        default: Names of the default signatures.
        source_length: Fixed length of "source_ids", or `None`.

    Returns:
        The names.

    Raises:
        TypeError: If `signatures` is not a list of names.
        ValueError: If a name is unknown or repeated, there are no names, `source_length` is not a
            positive integer, or a signature takes text although `source_length` is set.
    """
    if signatures is None:
        names = tuple(default)
    elif isinstance(signatures, str) or not isinstance(signatures, Iterable):
        raise TypeError(
            f"`signatures` must be a list of names. Received: signatures={signatures!r}"
        )
    else:
        names = tuple(signatures)
    if not names or len(set(names)) < len(names) or not set(names) <= ALL_SIGNATURES.keys():
        raise InputError(
            f"`signatures` must be some of {', '.join(ALL_SIGNATURES)}, each once. "
            f"Received: signatures={signatures!r}"
        )
    if source_length is not None:
        check_positive_int("source_length", source_length)
        if any(map(takes_text, names)):
            raise InputError(
                "`source_length` requires signatures that take only ids, such as "
                f"signatures=('ids',). Received: signatures={names!r}"
            )
    return names


def input_specs(
    name: str, *, batch: int | None = None, source_length: int | None = None
) -> tuple[Any, ...]:
    """Return the inputs of a signature, with the sizes that the export fixes.

    Args:
        name: Name of the signature.
        batch: Number of rows, or `None` for any.
        source_length: Length of "source_ids", or `None` for any.

    Returns:
        A `tf.TensorSpec` for each input.
    """
    sizes = {"source_ids": [batch, source_length]}
    return tuple(
        tf.TensorSpec(sizes.get(spec.name, [batch, *spec.shape[1:]]), spec.dtype, name=spec.name)
        for spec in ALL_SIGNATURES[name].inputs
    )
