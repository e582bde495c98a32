"""A first program for users of the wheel. tests/integration/test_wheel.py runs it.

Prints the location of the imported package as JSON.
"""

from __future__ import annotations

import importlib.util
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_s2s
import keras_s2s.export

print(
    json.dumps(
        {
            "keras_s2s": keras_s2s.__file__,
            "keras_s2s.export": keras_s2s.export.__file__,
            "top-level export": importlib.util.find_spec("export") is not None,
        }
    )
)
