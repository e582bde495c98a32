"""Export to SavedModel, for TF Serving and all other programs that load a SavedModel."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from keras_s2s.checks import count_of
from keras_s2s.errors import InputError
from keras_s2s.export.model_card import card_files, make_card
from keras_s2s.export.parts import EXTRA_FOLDER
from keras_s2s.export.saved_model_session import SavedModelSession, read_saved_model
from keras_s2s.export.served_module import ServedModule, check_operations, save, trace
from keras_s2s.export.server_files import BATCHING_FILE, Batching, check_batching
from keras_s2s.export.sessions import pad_sources, padded
from keras_s2s.export.signatures import SIGNATURES
from keras_s2s.export.steps import (
    check_arguments,
    compare_with_model,
    make_texts,
    show_progress,
)
from keras_s2s.export.versions import check_version, publish, unfinished_version
from keras_s2s.export.warmup import (
    WARMUP_FILE,
    Warmup,
    check_warmup,
    make_requests,
    write_requests,
)
from keras_s2s.files import check_folder_writable, write_file
from keras_s2s.gradients import temporary_gradients
from keras_s2s.translator import Translator

_LOGGER = logging.getLogger(__name__)
_GRAPH_SIZE = 8 << 20  # bytes; more than the graph of any model of this package needs


def saved_model(
    translator: Translator,
    path: str | os.PathLike[str],
    *,
    version: int | None = None,
    signatures: Iterable[str] | None = None,
    source_length: int | None = None,
    probes: Iterable[str] = (),
    figures: Mapping[str, float] = MappingProxyType({}),
    warmup: Warmup | None = None,
    batching: Batching | None = None,
    verbose: bool = True,
) -> str:
    """Export a translator as the next version of a SavedModel that takes and returns text.

    Tokenizers, search and model are one graph, with the signatures of
    `keras_s2s.export.signatures`. TF Serving, TensorFlow's C API and Python can load it without
    this package. In Python:

        import tensorflow as tf
        import tensorflow_text  # registers its operations

        served = tf.saved_model.load("serving/g2p/1").signatures["serving_default"]
        served(source=tf.constant(["hello"]))["target"]  # (batch, num_hypotheses), best first

    Servers do not see the version until it has passed a check: it is loaded as a server loads it,
    and must return the same text as the model, and scores within 1e-4. If a step fails, no files
    are left. Existing versions are never changed.

    Args:
        translator: The `Translator`.
        path: Folder of the versions, "serving/g2p" for "serving/g2p/1"; created if it does not
            exist.
        version: Number of the version. Defaults to one above the highest existing version.
        signatures: The signatures to export. Defaults to "serving_default", "greedy", "ids",
            "score" and "options". With `("ids",)` the graph has no operation of tensorflow-text, no
            string and no vocabulary, so runtimes that do not support them can load it. "greedy_ids"
            and "score_ids" are the equivalents of "greedy" and "score" on ids. The client then
            splits text with the vocabularies; see `vocabularies`.
        source_length: Fixed length of "source_ids"; pad shorter sources with 0. Requires that all
            signatures take ids. Defaults to `None`, any length.
        probes: Texts to compare, in addition to the standard ones. Defaults to none.
        figures: Evaluation metrics for the model card, such as {"WER": 25.1}. Defaults to none.
        warmup: Requests that a model server answers before it makes the version available. They
            are tested before the version is published. Needs the tensorflow-serving-api package.
            Defaults to none.
        batching: How a model server may merge requests. Defaults to `Batching()`.
        verbose: Whether to print a line before each step. Defaults to `True`.

    Returns:
        The path of the version's folder. Next to the graph it has "batching_params.pbtxt", and a
        folder "assets.extra" with the vocabularies, the model card, as JSON (see `read_card`) and
        as Markdown, and the warm-up requests.

    Raises:
        TypeError: If `translator` is not a `Translator`, `probes` is not a list of texts, `figures`
            is not a dict of names and numbers, `warmup` is not a `Warmup` or `batching` is not a
            `Batching`.
        ValueError: If `path` or `version` is invalid, a weight or a metric is not finite, or there
            are more or larger warm-up requests than a server accepts. Also if the model needs an
            operation that a stock model server does not have, or if the outputs of the export
            differ from the model's.
        ImportError: If `warmup` is given and tensorflow-serving-api is not installed.
        FileExistsError: If the version exists already.
        OSError: If the folder cannot be written or the disk is full.
    """
    names = check_arguments(translator, figures, signatures, SIGNATURES, source_length)
    folder = _check_folder(path)
    check_version(folder, version)
    check_folder_writable(folder)
    batching = Batching() if batching is None else check_batching(batching)
    if warmup is not None:
        check_warmup(warmup, batching, translator, names)
    with show_progress(verbose), temporary_gradients():
        texts = make_texts(translator, probes, source_length)
        _LOGGER.info("Tracing signatures: %s", ", ".join(names))
        module = ServedModule(translator, names)
        functions = trace(translator, names, source_length=source_length)
        requests = [] if warmup is None else make_requests(translator, warmup, names)
        if source_length is not None:
            requests = [(name, pad_sources(inputs, source_length)) for name, inputs in requests]
        with unfinished_version(folder) as unfinished:
            _check_space(unfinished, module.size() + _GRAPH_SIZE)
            _LOGGER.info("Writing the SavedModel")
            save(module, functions, unfinished)
            (meta_graph,) = read_saved_model(unfinished).meta_graphs
            card = make_card(
                translator,
                file_format="SavedModel",
                signatures=names,
                source_length=source_length,
                operations=check_operations(meta_graph.graph_def),
                figures=figures,
            )
            with SavedModelSession(unfinished) as session:
                runtime = padded(session, source_length)
                card["parity"] = compare_with_model(translator, runtime, names, texts)._asdict()
                if requests:
                    _LOGGER.info("Running %s", count_of(len(requests), "warm-up request"))
                for name, inputs in requests:
                    session(name, inputs)
            extra = os.path.join(unfinished, EXTRA_FOLDER)
            _write_files(extra, card_files(translator, card))
            if requests:
                write_requests(requests, os.path.join(extra, WARMUP_FILE))
            write_file(os.path.join(unfinished, BATCHING_FILE), batching.to_file())
            return publish(unfinished, folder, version)


def _check_folder(path: str | os.PathLike[str]) -> str:
    """Check that the folder of the versions is local, and return its absolute path."""
    path = os.fspath(path)
    if "://" in path:
        raise InputError(
            "`path` must be a local folder. Copy the finished version to remote storage. "
            f"Received: path={path!r}"
        )
    return os.path.abspath(path)


def _check_space(folder: str, needed: int) -> None:
    """Raise early if the disk does not have enough free space."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            f"Not enough disk space in {folder!r}. Expected: {needed} bytes. Received: {free} bytes"
        )


def _write_files(folder: str, files: Mapping[str, bytes]) -> None:
    """Write files to a new folder."""
    os.mkdir(folder)
    for name, content in files.items():
        write_file(os.path.join(folder, name), content)
