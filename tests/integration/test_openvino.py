"""A SavedModel of ids alone runs in OpenVINO."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers.served import shared_translator

import keras_s2s as s2s

CODE = """
import json, sys
sys.modules["openvino_telemetry"] = None  # it would send what is converted
import numpy as np, openvino
model = openvino.compile_model(openvino.convert_model(sys.argv[1]), "CPU")
source_ids = np.array(json.loads(sys.argv[2]), np.int32)
answers = model({"source_ids": source_ids})
names = ("target_ids", "lengths", "scores")
print(json.dumps({name: answers[name].tolist() for name in names}))
"""


@pytest.mark.slow
def test_openvino_returns_the_answers_of_the_model(tmp_path):
    pytest.importorskip("openvino")
    translator = shared_translator()
    folder = s2s.export.saved_model(translator, tmp_path / "g", signatures=("ids",))
    ids = translator.source.tokenize(["hello", "a", "zebra crossing"]).numpy()
    command = [sys.executable, "-c", CODE, folder, json.dumps(ids.tolist())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-800:]
    found = json.loads(done.stdout.splitlines()[-1])
    expected = translator.search_ids(tf.constant(ids), translator.search)
    target_ids = np.array(found["target_ids"])
    width = min(target_ids.shape[2], expected["target_ids"].shape[2])
    assert not target_ids[:, :, width:].any()
    np.testing.assert_array_equal(target_ids[:, :, :width], expected["target_ids"][:, :, :width])
    np.testing.assert_array_equal(found["lengths"], expected["lengths"])
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-4)
