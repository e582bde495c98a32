"""TensorFlow without its greetings."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator


def import_package() -> None:
    """Import `keras_s2s` and what it needs, without what their libraries write to standard error.

    Raises:
        ImportError: if something is not installed.
    """
    if "keras_s2s.saving" in sys.modules:
        return
    with hushed("Loading TensorFlow"):
        importlib.import_module("keras_s2s.saving")  # and with it all that loads TensorFlow
        with contextlib.suppress(ImportError):  # asked for again where it is needed
            importlib.import_module("tensorflow_text")


@contextlib.contextmanager
def hushed(doing: str) -> Iterator[None]:
    """Hold what libraries in C++ write to standard error, and show it only if something fails.

    Some of it cannot be turned off: TensorFlow's is written before anything can be set, and LiteRT
    has no setting. With `--debug` all is shown.

    Args:
        doing: what is going on; a terminal shows it, and for how long, after a second.
    """
    if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        shown = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            with _Clock(doing, shown):
                yield
        except BaseException:
            held.seek(0)
            os.write(shown, held.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)


class _Clock:
    """A line on a terminal that says what is going on, and for how long."""

    def __init__(self, doing: str, descriptor: int) -> None:
        self._doing, self._descriptor = doing, descriptor
        self._done = threading.Event()
        self._shown = False
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> None:
        if os.isatty(self._descriptor):
            self._thread.start()

    def __exit__(self, *failure: object) -> None:
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _tick(self) -> None:
        started = time.monotonic()
        while not self._done.wait(1.0):
            minutes, seconds = divmod(round(time.monotonic() - started), 60)
            line = f"\r{self._doing} ... {minutes}:{seconds:02d}"
            os.write(self._descriptor, line.encode())
            self._shown = True
        if self._shown:
            os.write(self._descriptor, b"\r\033[K")
