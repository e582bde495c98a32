"""Standard streams: lines of output, and progress instead of library messages on standard error."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

import click

PROGRAM = "keras-s2s"


def warn(message: str) -> None:
    """Write a warning to standard error.

    Args:
        message: The message, which starts in lower case like an error message.
    """
    click.echo(f"{PROGRAM}: warning: {message}", err=True)


def write_line(text: str) -> None:
    """Write a line to standard output, as UTF-8 regardless of the locale.

    Args:
        text: The line without its line ending.
    """
    with naming_output():
        sys.stdout.buffer.write(text.encode("utf-8", errors="replace") + b"\n")


@contextlib.contextmanager
def naming_output() -> Iterator[None]:
    """Add the name "standard output" to write errors, which have no path."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


_SPACES = str.maketrans(dict.fromkeys("\t\n\r\0", " "))


def in_column(text: str) -> str:
    """Replace the characters that end a column or a line (tab, LF, CR, NUL) by spaces.

    Other line separators, such as U+2028, are kept.
    """
    return text.translate(_SPACES)


@contextlib.contextmanager
def progress(
    label: str, length: int | None, *, between_answers: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error if it is a terminal.

    Args:
        label: Text before the bar.
        length: Integer or None. Total number of steps. `None` shows no bar.
        between_answers: Boolean. Whether answers are written to standard output during the work. If
            so, no bar is shown if standard output is a terminal. Defaults to `False`.

    Yields:
        A function that takes the number of steps completed since the last call.
    """
    disturbs = between_answers and sys.stdout.isatty()
    if length is None or disturbs or not sys.stderr.isatty():
        yield lambda steps: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update


def size_of(file: BinaryIO) -> int | None:
    """Return the size of a stream in bytes, or `None` if it is not a file."""
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def import_package() -> None:
    """Import `keras_s2s` and its dependencies without their messages on standard error.

    Raises:
        ImportError: If a dependency is not installed.
    """
    if "keras_s2s.saving" in sys.modules:
        return
    with heeding_ctrl_c(), hushed("Loading TensorFlow", at_once=True):
        importlib.import_module("keras_s2s.saving")  # also imports TensorFlow
        with contextlib.suppress(ImportError):  # reported later if it is needed
            importlib.import_module("tensorflow_text")


@contextlib.contextmanager
def heeding_ctrl_c() -> Iterator[None]:
    """Raise `KeyboardInterrupt` even if an import turns Ctrl-C into another error or ignores it."""
    pressed = False

    def press(*_: object) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield
    except BaseException as error:
        if pressed:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt


@contextlib.contextmanager
def hushed(doing: str, *, at_once: bool = False) -> Iterator[None]:
    """Buffer the messages of C++ libraries on standard error, and show them only after an error.

    Some of these messages cannot be turned off: TensorFlow writes before it can be configured, and
    LiteRT has no setting. `--debug` shows all of them. Log messages of this package, such as the
    steps of an export, are always shown.

    Args:
        doing: Description of the current step. After one second a terminal shows it with the
            elapsed time.
        at_once: Boolean. Whether to show the step at once, even without a terminal. Defaults to
            `False`.
    """
    if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
        if at_once:
            click.echo(doing, err=True)
        with _steps_shown(lambda step: os.write(2, f"{step}\n".encode())):
            yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        shown = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            with StatusLine(doing, shown, at_once=at_once) as line, _steps_shown(line.show_step):
                yield
        except Exception:
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


class StatusLine:
    """Line on a terminal with the current step and the elapsed time.

    The line appears after one second, and disappears at the end of the `with` block. If standard
    error is not a terminal, nothing is shown.

    Args:
        doing: Description of the current step.
        descriptor: Integer. File descriptor to write to. Defaults to standard error.
        at_once: Boolean. Whether the line appears at once. If standard error is not a terminal, it
            is printed. Defaults to `False`.
    """

    def __init__(self, doing: str, descriptor: int = 2, *, at_once: bool = False) -> None:
        self._doing, self._descriptor, self._at_once = doing, descriptor, at_once
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> StatusLine:
        return self.start()

    def start(self) -> StatusLine:
        """Show the line, after one second or at once."""
        if os.isatty(self._descriptor):
            self._thread.start()
        elif self._at_once:
            os.write(self._descriptor, f"{self._doing}\n".encode())
        return self

    def show_step(self, step: str) -> None:
        """Set the current step; print it if there is no terminal."""
        self._doing = step
        if self._thread.ident is None:
            os.write(self._descriptor, f"{step}\n".encode())

    def __exit__(self, *failure: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Remove the line. Calling it again has no effect."""
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _tick(self) -> None:
        shown = False
        for elapsed in self._seconds():
            minutes, seconds = divmod(elapsed, 60)
            line = f"\r\033[K{self._doing} ... {minutes}:{seconds:02d}"
            os.write(self._descriptor, line.encode())
            shown = True
        if shown:
            os.write(self._descriptor, b"\r\033[K")

    def _seconds(self) -> Iterator[int]:
        """Yield the elapsed seconds each time the line must be written, until it is removed."""
        started, pause = time.monotonic(), 0.0 if self._at_once else 1.0
        while not self._done.wait(pause):
            yield round(time.monotonic() - started)
            pause = 1.0
