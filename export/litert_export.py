"""Export to LiteRT: one file for phones and other devices."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
from tensorflow.lite.python.lite import TFLiteSavedModelConverterV2

from keras_s2s.errors import InputError
from keras_s2s.export.litert_file import add_metadata, list_operations
from keras_s2s.export.litert_runner import import_litert
from keras_s2s.export.model_card import card_files, make_card
from keras_s2s.export.parity import TOLERANCE, Parity
from keras_s2s.export.saved_model_session import read_saved_model
from keras_s2s.export.served_module import ServedModule, check_operations, save, trace
from keras_s2s.export.sessions import (
    Arrays,
    CompiledSession,
    LiteRTSession,
    Runtime,
    one_by_one,
)
from keras_s2s.export.signatures import LITERT_SIGNATURES, input_specs, takes_text
from keras_s2s.export.steps import (
    check_arguments,
    check_file,
    compare_with_model,
    make_texts,
    show_progress,
)
from keras_s2s.files import write_file, written_beside
from keras_s2s.gradients import temporary_gradients
from keras_s2s.layers.recurrence import for_litert
from keras_s2s.search import Search
from keras_s2s.translator import Translator

_LOGGER = logging.getLogger(__name__)
_COMPILED_TEXTS = 4  # for CompiledModel, which runs the same kernels as the Interpreter

# Maximum mean difference between a token's log probability in the file and in the model, because
# quantization changes the weights. None: the weights are unchanged, so the outputs must be equal.
QUANTIZATIONS = {None: None, "float16": 0.01, "int8": 0.1}

# LiteRT's DYNAMIC_UPDATE_SLICE: the only operation with a known output size that accepts an update
# of unknown size, and the fastest update of a buffer. A SavedModel for servers does not use it.
_UPDATE = "XlaDynamicUpdateSlice"


def litert(
    translator: Translator,
    path: str | os.PathLike[str],
    *,
    quantization: str | None = None,
    signatures: Iterable[str] | None = None,
    source_length: int | None = None,
    probes: Iterable[str] = (),
    figures: Mapping[str, float] = MappingProxyType({}),
    verbose: bool = True,
) -> str:
    """Export a translator as one LiteRT file that takes text and returns text, search included.

    The signatures "serving_default", "greedy", "ids" and "score" (see
    `keras_s2s.export.signatures`) take any batch size and length, and share the weights. Signatures
    with text need the operations of tensorflow-text. "ids" uses only built-in operations and runs
    in any interpreter. If the search has a `max_length`, "ids" pads its "target_ids" to it and also
    runs in LiteRT's CompiledModel, in C++ and in browsers. In Python (see `LiteRTRunner` for a
    runner without TensorFlow):

        import tensorflow_text  # installed with keras-s2s; an app links the operations instead
        from ai_edge_litert.interpreter import InterpreterWithCustomOps

        interpreter = InterpreterWithCustomOps(
            custom_op_registerers=tensorflow_text.tflite_registrar.SELECT_TFTEXT_OPS,
            model_path="g2p.tflite",
        )
        pronounce = interpreter.get_signature_runner("serving_default")
        pronounce(source=np.array(["hello"], dtype=object))["target"]  # (batch, num_hypotheses)

    An existing file at `path` is replaced, but only after the new file has passed a check in
    LiteRT's interpreter. In float32 the file must return the same text as the model, and scores
    within 1e-4. Quantization changes the weights, so equality is not required: the log
    probabilities of the model's own outputs may differ by a mean of 0.01 per token ("float16") or
    0.1 per token ("int8").

    Args:
        translator: The `Translator`.
        path: Destination path; must end in ".tflite". An existing file is replaced.
        quantization: None for float32; "float16" for half the size; "int8" for 8-bit weights and
            float32 sums, which is faster and needs less than a third of the size. Defaults to None.
        signatures: The signatures to export. Defaults to "serving_default", "greedy", "ids" and
            "score". With `("ids",)` the graph has no text operation and no vocabulary, and "ids"
            is the first and only signature of the file. "greedy_ids" and "score_ids" are the
            equivalents of "greedy" and "score" on ids. The app then splits text with the
            vocabularies, which `vocabularies` reads from the file.
        source_length: Fixed length of "source_ids", for runtimes that cannot resize an input. The
            file then takes one row at a time; pad shorter sources with 0. Requires that all
            signatures take ids. Defaults to `None`, any length and any batch size.
        probes: Texts to compare, in addition to the standard ones. Defaults to none.
        figures: Evaluation metrics for the model card, such as {"WER": 25.1}. Defaults to none.
        verbose: Whether to print a line before each step. LiteRT prints its own INFO lines in any
            case. Defaults to `True`.

    Returns:
        The path of the file. Its metadata contains the vocabularies and the model card, as JSON
        (see `read_card`) and as Markdown.

    Raises:
        TypeError: If `translator` is not a `Translator`, `probes` is not a list of texts, or
            `figures` is not a dict of names and numbers.
        ValueError: If an argument is out of range, a weight is not finite, the model needs an
            operation that LiteRT does not have, or the outputs of the file differ from the
            model's.
        ImportError: If the ai-edge-litert package is not installed.
        OSError: If the file cannot be written or the disk is full.
    """
    names = check_arguments(translator, figures, signatures, LITERT_SIGNATURES, source_length)
    check_quantization(quantization)
    import_litert("interpreter")
    path = check_file(path, ".tflite")
    with show_progress(verbose), written_beside(path, suffix=".tflite") as unfinished:
        texts = make_texts(translator, probes, source_length)
        with temporary_gradients():
            content = _convert(translator, quantization, names, source_length)
        card = make_card(
            translator,
            file_format=f"LiteRT {quantization or 'float32'}",
            signatures=names,
            source_length=source_length,
            operations=list_operations(content),
            figures=figures,
        )
        write_file(unfinished, add_metadata(content, card_files(translator, card)))
        parity = _check(translator, unfinished, quantization, names, source_length, texts)
        card["parity"] = parity._asdict()
        write_file(unfinished, add_metadata(content, card_files(translator, card)))
    return path


class _Converter(TFLiteSavedModelConverterV2):
    """TensorFlow's SavedModel converter, without loading the SavedModel into Python.

    `tf.lite.TFLiteConverter.from_saved_model` loads it twice: to list the signatures, and to add
    source locations to error messages.
    """

    def convert(self) -> bytes:
        """Convert the SavedModel to the content of a LiteRT file."""
        (meta_graph,) = read_saved_model(self.saved_model_dir).meta_graphs
        content: bytes = self._convert_from_saved_model(meta_graph.graph_def)
        return content


def check_quantization(quantization: str | None) -> None:
    """Check that a quantization is supported.

    Args:
        quantization: The value to check.

    Raises:
        ValueError: If it is not one of `QUANTIZATIONS`.
    """
    if quantization not in QUANTIZATIONS:
        choices = ", ".join(map(repr, QUANTIZATIONS))
        raise InputError(
            f"`quantization` must be one of {choices}. Full integer quantization is not "
            "supported because TensorFlow's calibrator crashes on the loops of a recurrent "
            f"model. Received: quantization={quantization!r}"
        )


def fix_sizes(ids: Any, specs: Sequence[Any], num_hypotheses: int, max_length: int | None) -> Any:
    """Fix the output sizes of a signature such as "ids", given the sizes of its input.

    LiteRT's CompiledModel, which runs in C++ and in browsers, allocates the outputs before it
    runs a model. "target_ids" are therefore padded to `max_length`, not to the longest target of
    the batch.

    Args:
        ids: Concrete function of the signature.
        specs: The `tf.TensorSpec` of its input.
        num_hypotheses: Number of hypotheses that the search returns.
        max_length: Maximum target length of the search. If it is `None`, the sizes stay unknown,
            and only LiteRT's Interpreter can run the signature.

    Returns:
        A concrete function.
    """
    if max_length is None:
        return ids

    def run(source_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = tf.shape(source_ids)[0]
        shapes = output_shapes(num_hypotheses, max_length)
        return {
            name: gen_xla_ops.xla_dynamic_update_slice(
                tf.zeros(tf.stack([batch, *shapes[name][1:]]), value.dtype),
                value,
                tf.zeros([value.shape.rank], tf.int32),
            )
            for name, value in ids(source_ids=source_ids).items()
        }

    return tf.function(run, input_signature=specs, autograph=False).get_concrete_function()


def output_shapes(num_hypotheses: int, max_length: int) -> dict[str, tuple[int, ...]]:
    """Return the fixed shape of each search output for one source.

    Args:
        num_hypotheses: Number of hypotheses that the search returns.
        max_length: Maximum target length of the search.

    Returns:
        The shape of each output of a signature that searches on ids.
    """
    one = (1, num_hypotheses)
    shapes = dict.fromkeys(("lengths", "scores", "log_probs", "confidences"), one)
    return {**shapes, "target_ids": (*one, max_length)}


def remove_updates(graph_def: Any) -> Any:
    """Remove the buffer updates from a graph, so that `check_operations` checks all others.

    Args:
        graph_def: A `GraphDef`.

    Returns:
        A modified copy.
    """
    copy = type(graph_def)()
    copy.CopyFrom(graph_def)
    for nodes in (copy.node, *(function.node_def for function in copy.library.function)):
        kept = [node for node in nodes if node.op != _UPDATE]
        del nodes[:]
        nodes.extend(kept)
    return copy


def _convert(
    translator: Translator,
    quantization: str | None,
    names: tuple[str, ...],
    source_length: int | None,
) -> bytes:
    """Convert all signatures through one SavedModel, so that they share the weights."""
    sizes = {"batch": None if source_length is None else 1, "source_length": source_length}
    _LOGGER.info("Tracing signatures: %s", ", ".join(names))
    module = ServedModule(translator, names)
    with for_litert():
        functions = trace(translator, names, **sizes)
    for name, search, num_hypotheses in _searches(translator):
        if name in functions:
            functions[name] = fix_sizes(
                functions[name], input_specs(name, **sizes), num_hypotheses, search.max_length
            )
    with tempfile.TemporaryDirectory() as folder:
        save(module, functions, folder)
        (meta_graph,) = read_saved_model(folder).meta_graphs
        check_operations(remove_updates(meta_graph.graph_def))
        converter = _Converter(folder, {tf.saved_model.SERVING}, list(names))
        converter.allow_custom_ops = any(map(takes_text, names))
        if quantization is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantization == "float16":
            converter.target_spec.supported_types = [tf.float16]
        _LOGGER.info("Converting for LiteRT")
        content: bytes = converter.convert()
        return content


def _check(
    translator: Translator,
    path: str,
    quantization: str | None,
    names: tuple[str, ...],
    source_length: int | None,
    texts: list[str],
) -> Parity:
    """Run a file in LiteRT and compare it with the model.

    Signatures that take ids run with built-in operations only.
    """
    plain_session = LiteRTSession(path, text_operations=False)
    session = LiteRTSession(path) if any(map(takes_text, names)) else plain_session

    def runtime(signature: str, inputs: Arrays) -> Arrays:
        return (session if takes_text(signature) else plain_session)(signature, inputs)

    asked: Runtime = runtime if source_length is None else one_by_one(runtime, source_length)
    parity = compare_with_model(translator, asked, names, texts, QUANTIZATIONS[quantization])
    _check_compiled(translator, path, names, source_length, texts, asked)
    return parity


def _check_compiled(
    translator: Translator,
    path: str,
    names: tuple[str, ...],
    source_length: int | None,
    texts: list[str],
    interpreter: Runtime,
) -> None:
    """Check that LiteRT's CompiledModel returns the same outputs as its Interpreter."""
    source_ids = translator.source.tokenize(tf.constant(texts[:_COMPILED_TEXTS])).numpy()
    answers, shapes = {}, {}
    for name, search, num_hypotheses in _searches(translator):
        if name in names and search.max_length is not None:
            answers[name] = interpreter(name, {"source_ids": source_ids})
            possible = output_shapes(num_hypotheses, search.max_length)
            shapes[name] = {key: possible[key] for key in possible if key in answers[name]}
    if not shapes:
        return
    compiled = one_by_one(CompiledSession(path, source_length, shapes), source_length)
    for name, expected in answers.items():
        for output, found in compiled(name, {"source_ids": source_ids}).items():
            if not np.allclose(found, expected[output], rtol=1e-5, atol=TOLERANCE):
                raise InputError(
                    "LiteRT's CompiledModel and its Interpreter return different outputs, so the "
                    f"file was removed. Signature {name!r}, output {output!r}. Expected: "
                    f"{expected[output].tolist()}. Received: {found.tolist()}"
                )


def _searches(translator: Translator) -> list[tuple[str, Search, int]]:
    """Return the signatures that search on ids, each with its search and number of hypotheses."""
    search = translator.search
    return [
        ("ids", search, search.num_hypotheses),
        ("greedy_ids", translator.greedy_search(), 1),
    ]
