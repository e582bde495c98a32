from __future__ import annotations

import math

import keras
import pytest
from helpers.small import TARGET_LABELS, inputs, make_model

from keras_s2s.callbacks import ScheduledSampling
from keras_s2s.losses import SequenceLoss


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("linear", 0, 0.0),
        ("linear", 25, 0.25),
        ("linear", 1000, 1.0),
        ("exponential", 0, 0.0),
        ("exponential", 100, 1 - math.exp(-1)),
        ("inverse_sigmoid", 0, 1 - 100 / 101),
        ("inverse_sigmoid", 460, 1 - 100 / (100 + math.exp(4.6))),
        ("inverse_sigmoid", 10**9, 1.0),
        (lambda step: step / 50, 25, 0.5),
    ],
)
def test_schedules_are_those_of_the_paper(schedule, step, expected):
    probability = ScheduledSampling(schedule, scale=100).probability
    assert probability(step) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("schedule", ["linear", "exponential", "inverse_sigmoid", lambda step: 1.0])
def test_no_probability_is_above_the_maximum(schedule):
    assert ScheduledSampling(schedule, scale=1, maximum=0.25).probability(100) == 0.25


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"schedule": "cosine"}, "`schedule` must be one of 'linear', 'exponential'"),
        ({"scale": 0.5}, "`scale` must be a number of at least 1"),
        ({"maximum": 1.5}, "`maximum` must be a number between 0 and 1"),
        ({"choice": "best"}, "`choice` must be one of 'argmax', 'sample'"),
    ],
)
def test_arguments_out_of_range_are_rejected(arguments, match):
    with pytest.raises(ValueError, match=match):
        ScheduledSampling(**arguments)


class Interrupt(keras.callbacks.Callback):
    """Ends a training with an error."""

    def on_train_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt


@pytest.mark.slow
def test_the_previous_setting_is_restored_however_fit_ends():
    model = make_model("luong")
    model.compile("sgd", loss=SequenceLoss())
    sampling = ScheduledSampling(lambda step: 0.7)
    with pytest.raises(KeyboardInterrupt):
        model.fit(inputs(), TARGET_LABELS, verbose=0, callbacks=[sampling, Interrupt()])
    assert model.own_outputs is None
    assert model.sampling_probability == 0.0

    model.feed_own_outputs(0.25, choice="sample", seed=1)
    before = model.own_outputs
    history = model.fit(inputs(), TARGET_LABELS, verbose=0, callbacks=[sampling]).history
    assert history["sampling_probability"] == pytest.approx([0.7])
    assert model.own_outputs is before
    assert (before.choice, model.sampling_probability) == ("sample", 0.25)
    with pytest.raises(KeyboardInterrupt):
        model.fit(inputs(), TARGET_LABELS, verbose=0, callbacks=[sampling, Interrupt()])
    assert model.own_outputs is before
    assert model.sampling_probability == 0.25
    model.fit(inputs(), TARGET_LABELS, verbose=0)  # continues with the same inputs
