"""The LiteRT file runs in a process that never imports TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers.served import WORDS, tiny_translator

import keras_s2s as s2s

pytestmark = pytest.mark.slow

APP = Path(__file__).parents[1] / "helpers" / "served_litert_app.py"

# Each value of each option is tried in one of the two runtimes at least.
CASES = {
    "luong": {
        "encoder": {"num_layers": 2, "context": "mean"},
        "decoder": {"attention": "luong", "context_to": "initial_state", "num_layers": 2},
    },
    "bahdanau": {
        "encoder": {"bidirectional": False, "reverse_source": True, "context": "max"},
        "decoder": {"attention": "bahdanau", "context_to": "both"},
        "search": s2s.BeamSearch(
            beam_width=3, max_length=None, max_length_ratio=1.5, stopping="bound"
        ),
    },
}


@pytest.mark.parametrize("case", CASES)
def test_an_app_without_tensorflow_gets_the_answers_of_the_model(tmp_path, case):
    translator = tiny_translator(**CASES[case])
    path = s2s.export.litert(translator, tmp_path / "model.tflite")
    done = subprocess.run(
        [sys.executable, "-I", APP, path],
        input=json.dumps(WORDS),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["modules"] == []
    source = tf.constant(WORDS)
    for signature, search in (
        ("serving_default", translator.search),
        ("greedy", translator.greedy_search()),
    ):
        expected = translator.search_texts(source, search)
        targets = [[target.decode() for target in row] for row in expected["target"].numpy()]
        assert found[signature]["target"] == targets
        np.testing.assert_allclose(found[signature]["scores"], expected["scores"], atol=1e-5)
    best = [row[0] for row in found["serving_default"]["target"]]
    expected = translator.score_texts(source, tf.constant(best))
    for name, value in expected.items():
        np.testing.assert_allclose(found["score"][name], value, rtol=1e-5, atol=1e-5)
