"""Errors that the command line reports in one line: mistakes of the user, and divergence.

The command line treats any other error as a bug in this package or a fault of its environment.
"""

from __future__ import annotations

import importlib.util
from typing import NamedTuple


class InputError(ValueError):
    """Raised for an invalid argument, setting or file content."""

    # AutoGraph replaces exceptions with another constructor by its own `StagingError`.
    __init__ = Exception.__init__


class MissingPackageError(ImportError):
    """Raised if an optional package is not installed or a module cannot be found."""


class TrainingDivergedError(ArithmeticError):
    """Raised if the training loss is not finite."""


def missing_package(module: str, error: Exception | None = None) -> MissingPackageError:
    """Create the error for an optional package that cannot be imported.

    Args:
        module: Name of the module that the package provides, one of `_OPTIONAL`.
        error: The error that the import raised. `None` means that the package was not found.
            Defaults to `None`.

    Returns:
        The error to raise.
    """
    optional = _OPTIONAL[module]
    package = optional.package or module
    name = (getattr(error, "name", None) or "").partition(".")[0]
    absent = error is None or bool(name and package.replace("-", "_").startswith(name))
    why = "is not installed" if absent else f"cannot be imported ({error})"
    return MissingPackageError(
        f"{optional.needs} {package}, which {why}: pip install 'keras-s2s[{optional.extra}]'"
    )


def check_package(module: str) -> None:
    """Check that an optional package is installed, without importing it.

    Args:
        module: Name of the module that the package provides, one of `_OPTIONAL`.

    Raises:
        MissingPackageError: If the module cannot be found.
    """
    if importlib.util.find_spec(module) is None:
        raise missing_package(module)


class _Optional(NamedTuple):
    """An optional package."""

    needs: str  # the feature that needs the package, with a verb
    extra: str  # the extra of keras-s2s that installs it
    package: str | None = None  # `None`: named like its module


# By module.
_OPTIONAL = {
    "ai_edge_litert": _Optional(
        "To write, check or read LiteRT files, you need", "litert", "ai-edge-litert"
    ),
    **dict.fromkeys(("onnx", "onnxruntime", "tf2onnx"), _Optional("ONNX files require", "onnx")),
    "matplotlib": _Optional("Plots need", "plots"),
    "rapidfuzz": _Optional("Error rates need", "eval"),
    "sacrebleu": _Optional("BLEU and chrF need", "eval"),
    "sentencepiece": _Optional("Training a SentencePieceTokenizer needs", "subword"),
    "tensorboard": _Optional("`keras.callbacks.TensorBoard` needs", "plots"),
    "tensorflow_serving": _Optional("Warm-up requests need", "serving", "tensorflow-serving-api"),
}
