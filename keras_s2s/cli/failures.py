"""Exit codes, error classes and error messages of the command line."""

from __future__ import annotations

import click

from keras_s2s.errors import InputError, MissingPackageError

MISTAKE = 2
FAILURE = 1
INTERRUPTED = 130  # as in a shell: 128 + SIGINT
PIPE_CLOSED = 141  # 128 + SIGPIPE

_MISTAKES = (
    InputError,
    MissingPackageError,
    BlockingIOError,
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


class DivergedError(ArithmeticError):
    """The training loss is not finite."""


class PipeClosedError(Exception):
    """The reader of the output closed the pipe, as `head` does."""


class InterruptedByUserError(Exception):
    """The user pressed Ctrl-C."""


def is_mistake(error: Exception) -> bool:
    """Return whether the user can fix the error, such as invalid input or a missing file.

    Args:
        error: The exception.
    """
    return isinstance(error, _MISTAKES)


def is_fault(error: Exception) -> bool:
    """Return whether the error is unexpected and should be reported as a bug.

    Args:
        error: The exception.
    """
    return not is_mistake(error) and not isinstance(error, (OSError, MemoryError, DivergedError))


def describe(error: Exception) -> str:
    """Return the message of an error as a single line.

    Args:
        error: The exception.

    Returns:
        A string without line breaks.
    """
    if isinstance(error, click.ClickException):
        text = error.format_message()
    elif isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error)
    return " ".join(text.split())
