"""A translator as TensorFlow functions that a stock model server can run."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_s2s.errors import InputError
from keras_s2s.export.signatures import OPTIONS_MAX_LENGTH, input_specs, takes_text
from keras_s2s.translator import Translator

Outputs = dict[str, tf.Tensor]

# TensorFlow operations that some or all servers cannot run.
_REFUSED = {
    r"CudnnRNN.*": "it runs only on a GPU, and was chosen because the model was traced on a GPU",
    r"(Eager)?PyFunc(Stateless)?": "it calls Python, which a server does not have",
    r"Xla.*|TPU.*|.*TPU": "a stock server is built without it",
}

# Operations of tensorflow-text, linked into the model server, that lack the prefix "TFText>". The
# tokenizers of this package do not use them, but a user's subclass of `Tokenizer` may, for example
# through `tensorflow_text.normalize_utf8` or `tensorflow_text.WordpieceTokenizer`.
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


class ServedModule(tf.Module):
    """Module with the parts of a translator to save: its weights and its tables.

    It does not reference the translator. A `tf.Module` that references a Keras model is saved with
    a second copy of each variable, and a model server then fails with "Could not find variable".

    Args:
        translator: The `Translator`.
        names: The signatures to save. If all of them take ids, the vocabularies are left out.
    """

    def __init__(self, translator: Translator, names: Iterable[str] = ("serving_default",)) -> None:
        super().__init__(name="keras_s2s")
        self.variables_ = [weight.value for weight in translator.model.weights]
        if any(map(takes_text, names)):
            self.tables = [*translator.source.tables, *translator.target.tables]

    def size(self) -> int:
        """Return the size of the weights in bytes."""
        return sum(
            int(np.prod(variable.shape)) * variable.dtype.size for variable in self.variables_
        )


def trace(
    translator: Translator,
    names: Iterable[str],
    *,
    batch: int | None = None,
    source_length: int | None = None,
) -> dict[str, Any]:
    """Trace the signatures of a translator into graphs.

    Args:
        translator: The `Translator`.
        names: The signatures to trace.
        batch: Number of rows of every input. Defaults to `None`, any number.
        source_length: Length of "source_ids". Defaults to `None`, any length.

    Returns:
        A concrete function for each name. The functions use variables of the translator, which a
        `ServedModule` must reference when they are saved.
    """

    def compiled(name: str, function: Callable[..., Outputs]) -> Any:
        specs = input_specs(name, batch=batch, source_length=source_length)
        checked = _checked(function, specs)
        return tf.function(checked, input_signature=specs, autograph=False)

    by_ids = {name: compiled(name, run) for name, run in _functions_of_ids(translator).items()}
    of_text = _functions_of_text(translator, by_ids)
    functions = by_ids | {name: compiled(name, run) for name, run in of_text.items()}
    return {name: functions[name].get_concrete_function() for name in names}


def _checked(function: Callable[..., Outputs], specs: Sequence[tf.TensorSpec]) -> Any:
    """Make a function check the ranks of its inputs when it runs.

    TensorFlow does not check the shapes that a server or `signatures` gives to a graph, and the
    operations of tensorflow-text end the process if texts are a scalar.
    """

    @functools.wraps(function)
    def checked(*inputs: tf.Tensor) -> Outputs:
        return function(
            *(tf.ensure_shape(given, spec.shape) for given, spec in zip(inputs, specs, strict=True))
        )

    return checked


def save(module: ServedModule, functions: dict[str, Any], path: str) -> None:
    """Write a SavedModel.

    Args:
        module: The module that holds the variables and tables of the functions.
        functions: A concrete function for each signature.
        path: Destination folder.

    Raises:
        OSError: If writing fails, for example because the disk is full.
    """
    try:
        tf.saved_model.save(module, path, signatures=functions)
    except tf.errors.OpError as error:
        raise OSError(f"Could not write the SavedModel to {path!r}: {error.message}") from error


def check_operations(graph_def: Any) -> list[str]:
    """Check that a stock model server can run a graph, on any device.

    Args:
        graph_def: A `GraphDef` with its function library.

    Returns:
        The distinct names of its operations, in alphabetical order.

    Raises:
        ValueError: If a server lacks an operation, or XLA must compile a function. The message has
            the name and place of the operation; the place begins with the layer that created it.
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


def _functions_of_ids(translator: Translator) -> dict[str, Callable[..., Outputs]]:
    """Return the Python function of each signature that takes ids."""

    def ids(source_ids: tf.Tensor) -> Outputs:
        return translator.search_ids(source_ids, translator.search)

    def greedy_ids(source_ids: tf.Tensor) -> Outputs:
        return translator.search_ids(source_ids, translator.greedy_search())

    def score_ids(source_ids: tf.Tensor, target_ids: tf.Tensor) -> Outputs:
        longest = _longest_target(translator)
        return translator.score_ids(source_ids, target_ids, max_target_length=longest)

    return {function.__name__: function for function in (ids, greedy_ids, score_ids)}


def _functions_of_text(
    translator: Translator, by_ids: dict[str, Callable[..., Outputs]]
) -> dict[str, Callable[..., Outputs]]:
    """Return the Python function of each signature that takes text.

    Each search, and each conversion of texts, is traced once for all signatures. `replace_unknown`
    also needs the attention of the search and the source texts, which signatures on ids lack.
    """
    search, longest = translator.search, _longest_target(translator)
    texts, ids = tf.TensorSpec([None], tf.string), tf.TensorSpec([None, None, None], tf.int32)
    read_source, read_target, write_target = (
        tf.function(function, input_signature=[spec], autograph=False)
        for function, spec in (
            (translator.tokenize_sources, texts),
            (translator.target.tokenize, texts),
            (translator.target.detokenize, ids),
        )
    )

    def answer(found: Outputs) -> Outputs:
        return {
            "target": write_target(found["target_ids"]),
            **{name: found[name] for name in found.keys() - {"target_ids", "lengths"}},
        }

    def serving_default(source: tf.Tensor) -> Outputs:
        if translator.replace_unknown:
            return translator.search_texts(source, search)
        return answer(by_ids["ids"](read_source(source)))

    def greedy(source: tf.Tensor) -> Outputs:
        if translator.replace_unknown:
            return translator.search_texts(source, translator.greedy_search())
        return answer(by_ids["greedy_ids"](read_source(source)))

    def score(source: tf.Tensor, target: tf.Tensor) -> Outputs:
        return by_ids["score_ids"](read_source(source), read_target(target))

    def options(
        source: tf.Tensor, max_length: tf.Tensor, min_length: tf.Tensor, length_penalty: tf.Tensor
    ) -> Outputs:
        row_values = {
            "max_length": tf.minimum(max_length, longest),
            "min_length": min_length,
            "length_penalty": length_penalty,
        }
        if translator.replace_unknown:
            return translator.search_texts(source, search, **row_values)
        return answer(translator.search_ids(read_source(source), search, **row_values))

    functions = (serving_default, greedy, score, options)
    return {function.__name__: function for function in functions}


def _longest_target(translator: Translator) -> int:
    """Return the maximum target length that a request can set."""
    return max(OPTIONS_MAX_LENGTH, translator.search.max_length or 0)


def _nodes(graph_def: Any) -> Iterator[tuple[Any, str]]:
    """Yield each node with a description of its place."""
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
