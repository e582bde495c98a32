"""Exports that go wrong; tests/integration/test_served_faults.py runs it in a process of its own.

Takes a folder. On a disk that is nearly full it prints the errors as JSON; then it begins an export
that takes for ever, until it is killed.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import keras_s2s as s2s
from helpers.served import tiny_translator
from keras_s2s.export import litert_export, saved_model_export


def error_of(function: Any, *arguments: Any) -> list[str]:
    """Call a function, and give the kind of its error and what it says."""
    try:
        function(*arguments)
    except Exception as error:
        return [type(error).__name__, str(error)]
    return []


def never_end(*arguments: Any) -> None:
    """Stand for a check that is still at work when the process is killed."""
    print("checking", flush=True)
    time.sleep(600)


folder = Path(sys.argv[1])
translator = tiny_translator(units=16)
content = litert_export._convert(translator, None, ("serving_default",), None)

# A file may grow to 4 KiB, and then each write fails, as on a full disk.
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
with mock.patch.object(litert_export, "_convert", return_value=content):
    errors = [
        error_of(s2s.export.saved_model, translator, folder / "full" / "model"),
        error_of(s2s.export.litert, translator, folder / "full.tflite"),
    ]
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
print(json.dumps(errors), flush=True)

with mock.patch.object(saved_model_export, "check_parity", never_end):
    s2s.export.saved_model(translator, folder / "killed")
