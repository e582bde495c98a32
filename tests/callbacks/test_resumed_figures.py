"""A training killed during validation resumes to the same metrics."""

from __future__ import annotations

import csv
import math

import keras
import pytest
from helpers.resumable import STEPS, make_data, make_model

from keras_s2s.callbacks import Resume
from keras_s2s.callbacks.epoch_metrics import LearningCurve
from keras_s2s.callbacks.pace import Pace
from keras_s2s.callbacks.training_state import load_state

# TensorFlow's variables do not know NumPy 2's `copy` yet, and Keras averages them
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


class InterruptValidation(keras.callbacks.Callback):
    """Ends a training with an error when its first epoch is validated."""

    def on_test_begin(self, logs=None):
        raise KeyboardInterrupt


# The factors of the learning rate in the last step of each epoch.
@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (
            "cosine",
            [0.5 + 0.5 * math.cos(math.pi * 3 / 7), 0.5 + 0.5 * math.cos(math.pi * 13 / 14)],
        ),
        ("inverse_sqrt", [1, 1]),
    ],
)
def test_the_learning_curve_and_the_state_are_those_of_the_uninterrupted_run(
    schedule, factors, tmp_path
):
    def train(folder, *callbacks):
        folder.mkdir(exist_ok=True)
        make_model().fit(
            make_data(),
            validation_data=make_data(),
            epochs=2,
            verbose=0,
            callbacks=[
                Pace(0.05, schedule, 30, 2, None),
                LearningCurve(str(folder / "curve.csv")),
                *callbacks,
                Resume(folder, every=STEPS),
            ],
        )
        state = load_state(str(folder / "training_state.npz"))
        return (folder / "curve.csv").read_text(), [it.tolist() for it in state.variables]

    whole = train(tmp_path / "whole")
    rates = [float(row["learning_rate"]) for row in csv.DictReader(whole[0].splitlines())]
    warm = [0.05 * 7 / 30, 0.05 * 14 / 30]
    assert rates == pytest.approx([a * b for a, b in zip(warm, factors, strict=True)])
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", InterruptValidation())
    assert train(tmp_path / "parts") == whole
