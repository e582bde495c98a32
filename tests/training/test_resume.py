"""An interrupted training ends as an uninterrupted one, bit for bit."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from training.resumable import STEPS, train

# TensorFlow's variables do not know NumPy 2's `copy` yet, and Keras averages them
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FILE = "training_state.npz"


class Interrupt(keras.callbacks.Callback):
    """Ends a training by an error after so many batches."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def assert_same_weights(ours, theirs):
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(our, their)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return train(tmp_path_factory.mktemp("whole"))


def test_killed_twice_at_any_step_it_ends_with_the_same_weights(uninterrupted, tmp_path):
    output = tmp_path / "weights.npz"
    first, second = np.sort(np.random.default_rng().choice(np.arange(1, 4 * STEPS), 2, False))
    for kill_at, code in ((first, -signal.SIGKILL), (second, -signal.SIGKILL), (0, 0)):
        command = [sys.executable, Path(__file__).parent / "resumable.py"]
        # CI is to fail with the steps in sight
        ended = subprocess.run([*command, tmp_path / "state", output, str(kill_at)], check=False)
        assert (ended.returncode, first, second) == (code, first, second)
    with np.load(output) as found:
        perplexity = found["perplexity"]
        weights = [found[f"arr_{number}"] for number in range(len(found.files) - 1)]
    assert_same_weights(weights, uninterrupted.get_weights())
    np.testing.assert_array_equal(perplexity, uninterrupted.history.history["perplexity"])
