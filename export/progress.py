"""Progress messages of an export, printed like Keras's."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

import keras

_LOGGER = logging.getLogger("keras_s2s.export")


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
