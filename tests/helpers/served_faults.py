"""Failing exports. tests/integration/test_served_faults.py runs this file in a separate process.

Takes a folder. Prints the errors on a nearly full disk as JSON, then starts an export that never
ends and has to be killed.
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


def error_of(function: Any, *arguments: Any, **options: Any) -> list[str]:
    """Call a function that raises. Return the name and message of the error."""
    try:
        function(*arguments, **options)
    except Exception as error:
        return [type(error).__name__, str(error)]
    return []


def never_end(*arguments: Any, **options: Any) -> None:
    """Replace a check that is still running when the process is killed."""
    print("checking", flush=True)
    time.sleep(600)


folder = Path(sys.argv[1])
translator = tiny_translator(units=16)
content = litert_export._convert(translator, None, ("serving_default",), None)

# Limit files to 4 KiB, after which each write fails as on a full disk.
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
with mock.patch.object(litert_export, "_convert", return_value=content):
    errors = [
        error_of(s2s.export.saved_model, translator, folder / "full" / "model", verbose=False),
        error_of(s2s.export.litert, translator, folder / "full.tflite", verbose=False),
    ]
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
print(json.dumps(errors), flush=True)

with mock.patch.object(saved_model_export, "compare_with_model", never_end):
    s2s.export.saved_model(translator, folder / "killed", verbose=False)
