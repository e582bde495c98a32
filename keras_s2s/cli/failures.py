"""Which errors are a user's mistakes, and how they are told."""

from __future__ import annotations

import click

from keras_s2s.errors import InputError, MissingPackageError

MISTAKE = 2
FAILURE = 1
INTERRUPTED = 130  # as of a shell: 128 + SIGINT
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
    """The loss of a training is not a finite number."""


class PipeClosedError(Exception):
    """The reader of the output has gone away, as `head` does when it has enough."""


class InterruptedByUserError(Exception):
    """Ctrl-C."""


def is_mistake(error: Exception) -> bool:
    """Return whether the user can correct an error: an input, or a path of the system's errors.

    Args:
        error: what was raised.
    """
    return isinstance(error, _MISTAKES)


def is_fault(error: Exception) -> bool:
    """Return whether an error is one that nobody has foreseen, and that should be reported.

    Args:
        error: what was raised.
    """
    return not is_mistake(error) and not isinstance(error, (OSError, MemoryError, DivergedError))


def describe(error: Exception) -> str:
    """Say in one line what an error says.

    Args:
        error: what was raised.

    Returns:
        A line without line breaks.
    """
    if isinstance(error, click.ClickException):
        text = error.format_message()
    elif isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error)
    return " ".join(text.split())
