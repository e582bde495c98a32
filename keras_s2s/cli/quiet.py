"""Suppress the startup messages of TensorFlow and other C++ libraries."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator


def import_package() -> None:
    """Import `keras_s2s` and its dependencies without their messages on standard error.

    Raises:
        ImportError: If a dependency is not installed.
    """
    if "keras_s2s.saving" in sys.modules:
        return
    with hushed("Loading TensorFlow"):
        importlib.import_module("keras_s2s.saving")  # also imports TensorFlow
        with contextlib.suppress(ImportError):  # reported later if it is needed
            importlib.import_module("tensorflow_text")


@contextlib.contextmanager
def hushed(doing: str) -> Iterator[None]:
    """Buffer what C++ libraries write to standard error, and show it only after an error.

    Some of these messages cannot be turned off: TensorFlow writes before it can be configured, and
    LiteRT has no setting. `--debug` shows all of them. Log messages of this package, such as the
    steps of an export, are always shown.

    Args:
        doing: Description of the current step. After one second a terminal shows it with the
            elapsed time.
    """
    if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
        with _steps_shown(lambda step: os.write(2, f"{step}\n".encode())):
            yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        shown = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            with _Clock(doing, shown) as clock, _steps_shown(clock.show_step):
                yield
        except BaseException:
            held.seek(0)
            os.write(shown, held.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)


@contextlib.contextmanager
def _steps_shown(show: Callable[[str], object]) -> Iterator[None]:
    """Show the INFO log messages of the package."""
    logger, handler = logging.getLogger("keras_s2s"), _Handler(show)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


class _Handler(logging.Handler):
    """Log handler that forwards INFO messages to a function."""

    def __init__(self, show: Callable[[str], object]) -> None:
        super().__init__()
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        """Forward a message."""
        if record.levelno == logging.INFO:
            self._show(record.getMessage())


class _Clock:
    """Status line on a terminal with the current step and the elapsed time."""

    def __init__(self, doing: str, descriptor: int) -> None:
        self._doing, self._descriptor = doing, descriptor
        self._done = threading.Event()
        self._shown = False
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> _Clock:
        if os.isatty(self._descriptor):
            self._thread.start()
        return self

    def show_step(self, step: str) -> None:
        """Set the current step; print it if there is no terminal."""
        self._doing = step
        if self._thread.ident is None:
            os.write(self._descriptor, f"{step}\n".encode())

    def __exit__(self, *failure: object) -> None:
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _tick(self) -> None:
        started = time.monotonic()
        while not self._done.wait(1.0):
            minutes, seconds = divmod(round(time.monotonic() - started), 60)
            line = f"\r\033[K{self._doing} ... {minutes}:{seconds:02d}"
            os.write(self._descriptor, line.encode())
            self._shown = True
        if self._shown:
            os.write(self._descriptor, b"\r\033[K")
