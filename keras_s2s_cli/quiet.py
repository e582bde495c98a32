"""TensorFlow without its greetings."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator


def import_package() -> None:
    """Import `keras_s2s` and what it needs, without what their libraries write to standard error.

    Raises:
        ImportError: if something is not installed.
    """
    if "keras_s2s" in sys.modules:
        return
    with hushed():
        importlib.import_module("keras_s2s")
        with contextlib.suppress(ImportError):  # asked for again where it is needed
            importlib.import_module("tensorflow_text")


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Hold what libraries in C++ write to standard error, and show it only if something fails.

    Some of it cannot be turned off: TensorFlow's is written before anything can be set, and LiteRT
    has no setting. With `--debug` all is shown.
    """
    if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        shown = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(shown, held.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
