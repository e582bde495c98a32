"""The learning rate rises and falls as scheduled, and training ends in time."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import pytest

from keras_s2s.callbacks.pace import Pace
from keras_s2s.optimizers import WarmupCosine


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0]),
        ("plateau", [0.5, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 0.853553, 0.5, 0.146447]),
        ("inverse_sqrt", [0.5, 1.0, (2 / 3) ** 0.5, (2 / 4) ** 0.5]),
    ],
)
def test_the_learning_rate_rises_and_falls_as_scheduled(schedule, expected):
    pace = Pace(1.0, schedule, warmup_steps=2, epochs=2, minutes=None)
    pace.set_params({"steps": 2})
    pace.set_model(SimpleNamespace(stop_training=False))
    pace.on_train_begin()
    factors = []
    for epoch in range(2):
        pace.on_epoch_begin(epoch)
        for batch in range(2):
            factors.append(pace.factor(2 * epoch + batch))
            pace.on_train_batch_end(batch)
        pace.on_epoch_end(epoch)
    assert factors == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("schedule", "warmup_steps", "expected"),
    [
        ("linear", 0, [2.0, 1.5, 1.0, 0.5]),
        ("plateau", 2, [1.0, 2.0, 7.0, 7.0]),  # `ReduceLROnPlateau` sets 7 after the warm-up
    ],
)
def test_the_optimizer_gets_the_scheduled_rate(schedule, warmup_steps, expected):
    optimizer = keras.optimizers.SGD(9.0)
    optimizer.build([])
    pace = Pace(2.0, schedule, warmup_steps, epochs=2, minutes=None)
    pace.set_params({"steps": 2})
    pace.set_model(SimpleNamespace(stop_training=False, optimizer=optimizer))
    pace.on_train_begin()
    rates = []
    for step in range(4):
        if step % 2 == 0:
            pace.on_epoch_begin(step // 2)
        if schedule == "plateau" and step == 2:
            optimizer.learning_rate.assign(7.0)
        optimizer.iterations.assign(step)
        pace.on_train_batch_begin(step % 2)
        rates.append(float(optimizer.learning_rate))
        pace.on_train_batch_end(step % 2)
    assert rates == pytest.approx(expected)


def test_python_and_the_command_line_have_the_same_rates():
    schedule = WarmupCosine(0.004, warmup_steps=3, steps=8)
    pace = Pace(0.004, "cosine", warmup_steps=3, epochs=2, minutes=None)
    pace.set_params({"steps": 4})
    pace.set_model(SimpleNamespace(stop_training=False))
    pace.on_train_begin()
    for step in range(8):
        if step % 4 == 0:
            pace.on_epoch_begin(step // 4)
        assert float(schedule(step)) == pytest.approx(0.004 * pace.factor(step), rel=1e-5)
        pace.on_train_batch_end(step % 4)


@pytest.mark.parametrize(
    ("estimate", "expected"), [(4, [1.0, 0.75, 0.5, 0.25, 0.001]), (0, [1.0] * 5)]
)
def test_a_first_epoch_of_unknown_length_follows_an_estimate(estimate, expected):
    pace = Pace(1.0, "linear", 0, epochs=1, minutes=None, steps_per_epoch=estimate)
    pace.set_params({"steps": None})
    pace.set_model(SimpleNamespace(stop_training=False))
    pace.on_train_begin()
    pace.on_epoch_begin(0)
    factors = []
    for batch in range(5):
        factors.append(pace.factor(batch))
        pace.on_train_batch_end(batch)
    assert factors == pytest.approx(expected)
    pace.on_epoch_end(0)
    assert pace.steps_of_epoch == 5


def test_training_ends_when_its_time_is_over():
    pace = Pace(1.0, "linear", warmup_steps=0, epochs=1000, minutes=1.0)
    model = SimpleNamespace(stop_training=False)
    pace.set_params({"steps": 2})
    pace.set_model(model)
    pace.on_train_begin()
    pace.seconds = 30.0  # those before an interruption
    pace.on_train_batch_end(0)
    assert not model.stop_training
    assert pace.factor(9) == pytest.approx(0.5, abs=0.05)
    pace.seconds = 60.0
    pace.on_train_batch_end(1)
    assert model.stop_training


def test_warm_up_ends_in_time_where_time_ends_the_training():
    pace = Pace(1.0, "constant", warmup_steps=1000, epochs=10, minutes=1.0)
    pace.seconds = 3.0
    assert pace.factor(0) == pytest.approx(0.5)
    pace.seconds = 30.0
    assert pace.factor(0) == 1.0
