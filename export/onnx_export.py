"""Export to ONNX, for ONNX Runtime, Triton and other runtimes."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from keras_s2s.checks import check_choice
from keras_s2s.errors import InputError
from keras_s2s.export.model_card import card_files, make_card
from keras_s2s.export.served_module import trace
from keras_s2s.export.sessions import OnnxSession, import_onnx, padded
from keras_s2s.export.signatures import input_specs
from keras_s2s.export.steps import (
    check_arguments,
    check_file,
    compare_with_model,
    make_texts,
    show_progress,
)
from keras_s2s.files import write_file, written_beside
from keras_s2s.gradients import temporary_gradients
from keras_s2s.translator import Translator

# Maximum mean difference between a token's log probability in the file and in the model.
QUANTIZATIONS = {None: None, "int8": 0.1}
_LOGGER = logging.getLogger(__name__)
# The first operator set in which tf2onnx 1.17 can express all searches.
_OPSET = 18
_CATCH_ERRORS = "TF2ONNX_CATCH_ERRORS"  # environment variable of tf2onnx
_SIGNATURES = ("ids", "greedy_ids", "score_ids")


def onnx(
    translator: Translator,
    path: str | os.PathLike[str],
    *,
    signature: str = "ids",
    source_length: int | None = None,
    quantization: str | None = None,
    probes: Iterable[str] = (),
    figures: Mapping[str, float] = MappingProxyType({}),
    verbose: bool = True,
) -> str:
    """Export a translator as one ONNX file that takes ids and returns ids, search included.

    An ONNX file has one signature. It takes any batch size and any length, or the fixed
    `source_length`, and uses standard operators only. The client splits and joins texts with the
    vocabularies in the metadata of the file (see `vocabularies`). In Python:

        import onnxruntime

        session = onnxruntime.InferenceSession("g2p.onnx")
        session.run(["target_ids", "scores"], {"source_ids": source_ids})

    An existing file at `path` is replaced, but only after the new file has passed a check in ONNX
    Runtime. In float32 the file must return the same ids as the model, and scores within 1e-4. With
    int8 weights the log probabilities of the model's outputs may differ by a mean of 0.1 per token.

    Args:
        translator: The `Translator`.
        path: Destination path; must end in ".onnx". An existing file is replaced.
        signature: "ids", "greedy_ids" or "score_ids". Defaults to "ids".
        source_length: Fixed length of "source_ids". Defaults to `None`, any length.
        quantization: `None` for float32; "int8" for 8-bit weights and float32 sums (dynamic
            quantization). Defaults to `None`.
        probes: Texts to compare, in addition to the standard ones. Defaults to none.
        figures: Evaluation metrics for the model card, such as {"WER": 25.1}. Defaults to none.
        verbose: Whether to print a line before each step. Defaults to `True`.

    Returns:
        The path of the file. Its metadata contains the vocabularies and the model card (see
        `read_card`).

    Raises:
        TypeError: If `translator` is not a `Translator`, `probes` is not a list of texts, or
            `figures` is not a dict of names and numbers.
        ValueError: If an argument is out of range, a weight is not finite, the model uses an
            operation that ONNX lacks, or the outputs of the file differ from the model's.
        ImportError: If onnx, onnxruntime or tf2onnx is not installed.
        OSError: If the file cannot be written.
    """
    check_choice("quantization", quantization, QUANTIZATIONS)
    check_choice("signature", signature, _SIGNATURES)
    names = check_arguments(translator, figures, (signature,), (), source_length)
    for name in ("onnx", "onnxruntime", "tf2onnx"):
        import_onnx(name)
    path = check_file(path, ".onnx")
    with show_progress(verbose), written_beside(path, suffix=".onnx") as unfinished:
        texts = make_texts(translator, probes, source_length)
        _LOGGER.info("Tracing the signature %s and converting it for ONNX", signature)
        with temporary_gradients():
            model = _convert(translator, signature, source_length)
        if quantization is not None:
            model = _quantize(model)
        card = make_card(
            translator,
            file_format=f"ONNX {quantization or 'float32'}",
            signatures=names,
            source_length=source_length,
            operations=_check_operators(model),
            figures=figures,
        )
        write_file(unfinished, model.SerializeToString())
        runtime = padded(OnnxSession(unfinished), source_length)
        tolerance = QUANTIZATIONS[quantization]
        parity = compare_with_model(translator, runtime, names, texts, tolerance)
        card["parity"] = parity._asdict()
        for name, content in card_files(translator, card).items():
            model.metadata_props.add(key=name, value=content.decode("utf-8"))
        write_file(unfinished, model.SerializeToString())
    return path


def _convert(translator: Translator, signature: str, source_length: int | None) -> Any:
    """Convert a signature to a `ModelProto`."""
    (function,) = trace(translator, (signature,), source_length=source_length).values()
    specs = input_specs(signature, source_length=source_length)
    traced = tf.function(function, input_signature=specs, autograph=False)
    convert = functools.partial(
        import_onnx("tf2onnx").convert.from_function, traced, input_signature=specs, opset=_OPSET
    )
    with _quiet("tf2onnx", "tensorflow"):
        try:
            with _without_copies():
                model, _ = convert()
        except Exception:  # of any class: each converter raises its own
            try:
                model, _ = convert()  # without the optimization that fails
            except Exception as error:
                raise InputError(f"This model cannot be converted to ONNX: {error}") from error
    return model


def _quantize(model: Any) -> Any:
    """Store the weights of matrix products in 8 bits."""
    quantizing = import_onnx("onnxruntime.quantization")
    with tempfile.TemporaryDirectory() as folder, _quiet(""):
        before, after = (os.path.join(folder, f"{name}.onnx") for name in ("float32", "int8"))
        write_file(before, model.SerializeToString())
        quantizing.quantize_dynamic(
            before,
            after,
            weight_type=quantizing.QuantType.QInt8,
            extra_options={"EnableSubgraph": True},  # the loops of encoder and search
        )
        return import_onnx("onnx").load_model(after)


@contextlib.contextmanager
def _without_copies() -> Iterator[None]:
    """Stop tf2onnx from copying the graph twice before each of its optimizations.

    The copies let tf2onnx skip an optimization that fails, but they take most of the conversion
    time.
    """
    before = os.environ.get(_CATCH_ERRORS)
    os.environ[_CATCH_ERRORS] = "FALSE"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_CATCH_ERRORS]
        else:
            os.environ[_CATCH_ERRORS] = before


@contextlib.contextmanager
def _quiet(*loggers: str) -> Iterator[None]:
    """Suppress warnings of converters that users cannot act on."""
    levels = {name: logging.getLogger(name).level for name in loggers}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for name in loggers:
                logging.getLogger(name).setLevel(logging.CRITICAL)
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


def _check_operators(model: Any) -> list[str]:
    """Return the operators of a model; raise for the first operator that ONNX lacks."""
    definitions = import_onnx("onnx").defs
    names = set()
    for graph in (model.graph, *model.functions):
        for node in _nodes(graph):
            standard = node.domain in ("", "ai.onnx") and definitions.has(node.op_type)
            if not standard and node.domain not in ("com.microsoft", "ai.onnx.ml"):
                raise InputError(
                    f"Cannot convert the operation {node.op_type!r} at node {node.name!r} to "
                    "ONNX: there is no such operator."
                )
            names.add(node.op_type)
    return sorted(names)


def _nodes(graph: Any) -> Iterator[Any]:
    """Yield all nodes of a graph, including those of loops and branches."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
