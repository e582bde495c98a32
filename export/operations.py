"""Checking that a stock model server has all operations of an exported graph."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from keras_s2s.errors import InputError

# Operations of TensorFlow that no server, or not every server, can run.
_REFUSED = {
    r"CudnnRNN.*": "it runs only on a GPU, and was selected because the model was traced on one",
    r"(Eager)?PyFunc(Stateless)?": "it calls Python, which a server does not have",
    r"Xla.*|TPU.*|.*TPU": "a stock server is built without it",
}

# Operations of tensorflow-text, linked into the model server, that lack the prefix "TFText>".
_TENSORFLOW_TEXT = {
    "CaseFoldUTF8",
    "ConstrainedSequence",
    "FastBertNormalize",
    "FastWordpieceTokenizeWithOffsets",
    "FindSourceOffsets",
    "MaxSpanningTree",
    "NormalizeUTF8",
    "NormalizeUTF8WithOffsetsMap",
    "PhraseTokenize",
    "RegexSplitWithOffsets",
    "RougeL",
    "SentenceFragments",
    "SentenceFragmentsV2",
    "SentencepieceDetokenizeOp",
    "SentencepieceIdToStringOp",
    "SentencepieceOp",
    "SentencepieceStringToIdOp",
    "SentencepieceTokenizeOp",
    "SentencepieceTokenizeWithOffsetsOp",
    "SentencepieceVocabSizeOp",
    "SplitMergeTokenizeWithOffsets",
    "TokenizerFromLogits",
    "UnicodeScriptTokenizeWithOffsets",
    "WhitespaceTokenizeWithOffsets",
    "WordpieceTokenizeWithOffsets",
}


def check_operations(graph_def: Any) -> list[str]:
    """Check that a stock model server can run a graph, on any device.

    Args:
        graph_def: A `GraphDef` with its function library.

    Returns:
        The distinct names of its operations, in alphabetical order.

    Raises:
        ValueError: If a server lacks an operation, or a function must be compiled by XLA. The
            message has its name and place, which begins with the layer that created it.
    """
    functions = {function.signature.name for function in graph_def.library.function}
    for function in graph_def.library.function:
        _check_not_compiled(function.attr, f"function {function.signature.name!r}")
    names = set()
    for node, place in _nodes(graph_def):
        _check_not_compiled(node.attr, place)
        if node.op not in functions:
            _check_operation(node.op, place)
            names.add(node.op)
    return sorted(names)


def _nodes(graph_def: Any) -> Iterator[tuple[Any, str]]:
    """Yield all nodes with their places."""
    for node in graph_def.node:
        yield node, f"node {node.name!r}"
    for function in graph_def.library.function:
        for node in function.node_def:
            yield node, f"node {node.name!r} of function {function.signature.name!r}"


def _check_operation(name: str, place: str) -> None:
    """Raise for an operation that a stock model server does not have."""
    for pattern, reason in _REFUSED.items():
        if re.fullmatch(pattern, name):
            raise InputError(f"Cannot export the operation {name!r} at {place}: {reason}.")
    if name.startswith("TFText>") or name in _TENSORFLOW_TEXT or hasattr(tf.raw_ops, name):
        return
    raise InputError(
        f"Cannot export the operation {name!r} at {place}: it is neither one of TensorFlow's own "
        "nor one of tensorflow-text, so a stock model server does not have it."
    )


def _check_not_compiled(attributes: Any, place: str) -> None:
    """Raise for `jit_compile=True`, which would be stored in the file."""
    if "_XlaMustCompile" in attributes and attributes["_XlaMustCompile"].b:
        raise InputError(
            f"Cannot export '_XlaMustCompile' at {place}: a stock model server has no XLA "
            "compiler. Remove `jit_compile=True` from the functions that the model calls."
        )
