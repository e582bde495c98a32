"""Which errors are a user's mistakes, and how they are told."""

from __future__ import annotations

import click

MISTAKE = 2
FAILURE = 1
INTERRUPTED = 130  # as of a shell: 128 + SIGINT
PIPE_CLOSED = 141  # 128 + SIGPIPE

_MISTAKES = (
    ValueError,
    TypeError,
    ImportError,
    BlockingIOError,
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
_OWN_PACKAGES = ("keras_s2s", "keras_s2s.cli")


class PipeClosedError(Exception):
    """The reader of the output has gone away, as `head` does when it has enough."""


class InterruptedByUserError(Exception):
    """Ctrl-C."""


def is_mistake(error: Exception) -> bool:
    """Tell a user's mistake from a fault of ours.

    This package raises its errors for the user to read; one of the same kind that comes out of
    another package is a fault that nobody has foreseen.

    Args:
        error: what was raised.

    Returns:
        Whether the user can put it right.
    """
    if not isinstance(error, _MISTAKES):
        return False
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None:
        return False
    module = str(place.tb_frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] in _OWN_PACKAGES


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
