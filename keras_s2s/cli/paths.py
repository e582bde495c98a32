"""Paths given on the command line or in a settings file, checked before any work starts."""

from __future__ import annotations

import os
from typing import Any

import click

from keras_s2s.files import check_writable

PAIRS_FILE = "a file of source<TAB>target lines"
MODELS = "a .keras, .tflite or .onnx file, the folder of a SavedModel, or the folder of a run"
TRANSLATORS = "a .keras file or the folder of a run"


class ExistingPath(click.Path):
    """Type of an option or argument that is the path of an existing file or folder.

    Args:
        expected: What the path may be, for error messages, such as "a YAML file".
        file: Boolean. Whether the path may be that of a file. Defaults to `True`.
        folder: Boolean. Whether the path may be that of a folder. Defaults to `False`.
    """

    def __init__(self, expected: str, *, file: bool = True, folder: bool = False) -> None:
        super().__init__()
        self.expected, self.file, self.folder = expected, file, folder

    def convert(self, value: Any, param: click.Parameter | None, ctx: Any) -> str:
        """Check a path, and return it."""
        path = os.fspath(value)
        check_path(name_of(param), path, self.expected, file=self.file, folder=self.folder)
        return path


class OutputFile(click.Path):
    """Type of an option or argument that is the path of a file to write.

    Args:
        expected: What the path may be, for error messages, such as "a .keras file to write".
        suffixes: Suffixes that the path may have. Defaults to any.
    """

    def __init__(self, expected: str, suffixes: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.expected, self.suffixes = expected, suffixes

    def convert(self, value: Any, param: click.Parameter | None, ctx: Any) -> str:
        """Check a path, and return it."""
        path = os.fspath(value)
        name = name_of(param)
        if os.path.isdir(path):
            raise IsADirectoryError(f"{name} {path}: a folder. Expected: {self.expected}")
        if self.suffixes and not path.lower().endswith(self.suffixes):
            raise click.UsageError(
                f"{name} must end in {' or '.join(self.suffixes)}. Received: {path}"
            )
        return path


class OutputFolder(click.Path):
    """Type of an option or argument that is the path of a folder to write.

    Args:
        expected: What the path may be, for error messages.
    """

    def __init__(self, expected: str) -> None:
        super().__init__()
        self.expected = expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: Any) -> str:
        """Check a path, and return it."""
        path = os.fspath(value)
        if os.path.lexists(path) and not os.path.isdir(path):
            raise NotADirectoryError(f"{name_of(param)} {path}: a file. Expected: {self.expected}")
        return path


def check_path(
    name: str, path: str, expected: str, *, file: bool = True, folder: bool = False
) -> None:
    """Check that a path exists, is a file or a folder as required, and is readable.

    Args:
        name: Name of the option, argument or setting, for error messages.
        path: The path.
        expected: What the path may be, for error messages.
        file: Boolean. Whether the path may be that of a file. Defaults to `True`.
        folder: Boolean. Whether the path may be that of a folder. Defaults to `False`.

    Raises:
        OSError: If the path does not exist, is not of a kind that is allowed, or is not readable.
    """
    place = f"{name} {path or repr(path)}"
    if not os.path.exists(path):
        kind = " or ".join(["file"] * file + ["folder"] * folder)
        raise FileNotFoundError(f"{place}: there is no such {kind}. Expected: {expected}")
    if os.path.isdir(path) and not folder:
        raise IsADirectoryError(f"{place}: a folder. Expected: {expected}")
    if not os.path.isdir(path) and not file:
        raise NotADirectoryError(f"{place}: a file. Expected: {expected}")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"{place}: not readable. Expected: {expected}")


def check_output(name: str, path: str) -> None:
    """Check before the work starts that a file can be written.

    Args:
        name: Name of the option or argument, for error messages.
        path: Path of the file to write.

    Raises:
        OSError: If the folder does not exist or is not writable, or the path is not that of a file.
    """
    try:
        check_writable(path)
    except OSError as error:
        reason = str(error)
        if error.strerror:
            reason = error.strerror
            if error.filename is not None and error.filename != os.path.realpath(path):
                reason = f"{error.filename}: {reason}"
        raise type(error)(f"{name} {path}: {reason}") from error


def name_of(param: click.Parameter | None) -> str:
    """Return the name of an option or argument as the help shows it."""
    if param is None:
        return "the path"
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return (param.metavar or param.human_readable_name).removesuffix("...")
