"""TensorFlow without its greetings."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile


def import_package() -> None:
    """Import `keras_s2s` and what it needs, without what their libraries write to standard error.

    That cannot be turned off: it is written before anything can be set. Where an import fails, it
    is shown.

    Raises:
        ImportError: if something is not installed.
    """
    if "keras_s2s" in sys.modules or "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
        importlib.import_module("keras_s2s")
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        shown = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            importlib.import_module("keras_s2s")
            with contextlib.suppress(ImportError):  # asked for again where it is needed
                importlib.import_module("tensorflow_text")
        except BaseException:
            held.seek(0)
            os.write(shown, held.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
