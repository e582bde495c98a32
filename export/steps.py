"""Steps that the exporters of all formats share: checks, progress, and the comparison."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_s2s.checks import count_of
from keras_s2s.errors import InputError
from keras_s2s.export.model_card import check_figures
from keras_s2s.export.parity import Parity, check_agreement, check_parity
from keras_s2s.export.probes import check_probes, make_probes
from keras_s2s.export.sessions import Runtime
from keras_s2s.export.signatures import check_signatures
from keras_s2s.files import check_writable
from keras_s2s.special_ids import EOS_ID, UNK_ID
from keras_s2s.translator import Translator

_LOGGER = logging.getLogger("keras_s2s.export")


def check_arguments(
    translator: Any,
    figures: Mapping[str, float],
    signatures: Iterable[str] | None,
    default: Iterable[str],
    source_length: int | None,
) -> tuple[str, ...]:
    """Check the arguments that all exporters take.

    Args:
        translator: The `Translator`.
        figures: Evaluation metrics for the model card.
        signatures: Names of the signatures. `None` selects `default`.
        default: Names of the default signatures.
        source_length: Fixed length of "source_ids", or `None`.

    Returns:
        The names of the signatures.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or a weight is not finite.
    """
    check_translator(translator)
    check_figures(figures)
    return check_signatures(signatures, default, source_length)


def check_file(path: str | os.PathLike[str], suffix: str) -> str:
    """Check that an export can be written to a file.

    Args:
        path: Destination path.
        suffix: Required suffix of the name.

    Returns:
        The absolute path.

    Raises:
        ValueError: If the name does not end in the suffix.
        OSError: If the file cannot be written, or is a folder.
    """
    path = os.path.abspath(os.fspath(path))
    if not path.endswith(suffix):
        raise InputError(f"The file name must end in {suffix!r}. Received: path={path!r}")
    if os.path.isdir(path):
        raise IsADirectoryError(f"`path` must be the name of a file. Received: a folder, {path!r}")
    check_writable(path)
    return path


def make_texts(
    translator: Translator, probes: Iterable[str], source_length: int | None
) -> list[str]:
    """Collect the texts for the comparison of an export with the model.

    Args:
        translator: The `Translator`.
        probes: Additional texts from the user.
        source_length: Fixed length of "source_ids". Longer texts are left out; a log message has
            the number of those from the user.

    Returns:
        The texts.

    Raises:
        TypeError: If `probes` is not a list of texts.
        ValueError: If the model's outputs for them are not finite.
    """
    _LOGGER.info("Computing the outputs of the model, to check the export")
    own = check_probes(probes)
    texts = make_probes(translator, own)
    check_answers(translator, texts)
    if source_length is None:
        return texts
    _, lengths = translator.source.split(tf.constant(texts))
    fits = (lengths.numpy() < source_length).tolist()  # without eos
    num_longer = fits[: len(own)].count(False)
    if num_longer:
        _LOGGER.info(
            "Leaving out %s of %s: longer than the fixed source length, %s including eos",
            f"{num_longer:,}",
            count_of(len(own), "probe"),
            count_of(source_length, "token"),
        )
    return [text for text, short in zip(texts, fits, strict=True) if short]


def compare_with_model(
    translator: Translator,
    runtime: Runtime,
    signatures: Iterable[str],
    texts: list[str],
    tolerance: float | None = None,
) -> Parity:
    """Compare an export with the model.

    Args:
        translator: The model.
        runtime: The export.
        signatures: Names of the signatures to compare.
        texts: The texts.
        tolerance: Maximum mean difference of a token's log probability, for quantized weights.
            Defaults to `None`: the outputs must be equal.

    Returns:
        The differences.

    Raises:
        ValueError: If they differ too much.
    """
    if tolerance is None:
        return check_parity(translator, runtime, signatures, texts)
    return check_agreement(translator, runtime, signatures, texts, tolerance)


def check_translator(translator: Any) -> None:
    """Check that a translator can be exported.

    Args:
        translator: The value to check.

    Raises:
        TypeError: If it is not a `Translator`.
        ValueError: If a weight is not finite.
    """
    if not isinstance(translator, Translator):
        raise TypeError(
            "Only a `Translator` (a model with its tokenizers and its search) can be exported. "
            f"Received: {type(translator).__name__}"
        )
    weights = [(weight.path, np.asarray(weight)) for weight in translator.model.weights]
    for path, values in weights:
        num_bad = int(np.sum(~np.isfinite(values)))
        if num_bad:
            raise InputError(
                "The weights of an exported translator must be finite, but its training has "
                f"diverged. Received: {num_bad} of {values.size} values of {path!r} are not "
                "finite"
            )


def check_answers(translator: Translator, texts: list[str]) -> None:
    """Raise if the logits are not finite: a model with finite weights may have diverged too.

    Args:
        translator: The `Translator`.
        texts: Texts to try.

    Raises:
        ValueError: If the logits are NaN, infinite or all -inf.
    """
    source_ids = translator.source.tokenize(tf.constant(texts[:8]))
    size = translator.model.target_vocabulary_size
    target_ids = tf.tile([[UNK_ID, size - 1, EOS_ID]], [tf.shape(source_ids)[0], 1])
    translator.model.log_prob(source_ids, target_ids)


@contextlib.contextmanager
def show_progress(verbose: bool) -> Iterator[None]:
    """Print the log messages of the exports, one line before each step.

    Nothing is printed if the program's own logging already shows them, as the command line's does,
    or after `keras.config.disable_interactive_logging()`.

    Args:
        verbose: Whether to print.
    """
    silent = _LOGGER.isEnabledFor(logging.INFO) or not keras.config.is_interactive_logging_enabled()
    if silent or not verbose:
        yield
        return
    handler, level, propagate = _Printer(), _LOGGER.level, _LOGGER.propagate
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False  # a handler of the root logger would show each message again
    try:
        yield
    finally:
        _LOGGER.propagate = propagate
        _LOGGER.setLevel(level)
        _LOGGER.removeHandler(handler)


class _Printer(logging.Handler):
    """Log handler that prints INFO messages to standard output."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message."""
        if record.levelno == logging.INFO:
            message = record.getMessage()
            sys.stdout.write(f"{message[0].upper()}{message[1:]}\n")
            sys.stdout.flush()
