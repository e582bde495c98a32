"""The quick step of Adam is the step of Keras."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.small import SOURCE_IDS, TARGET_INPUTS, TARGET_LABELS, make_model

from keras_s2s.losses import SequenceLoss
from keras_s2s.models import packed_training
from keras_s2s.optimizers import fused_adam, without_optimizers

INPUTS = {"source_ids": SOURCE_IDS, "target_inputs": TARGET_INPUTS}


def trained(options) -> list[np.ndarray]:
    """All that a training leaves: the weights and the state of the optimiser."""
    model = make_model("luong")
    model.compile(keras.optimizers.Adam(0.01, **options), loss=SequenceLoss())
    model.fit(INPUTS, TARGET_LABELS, batch_size=1, epochs=2, shuffle=False, verbose=0)
    return [variable.numpy() for variable in (*model.weights, *model.optimizer.variables)]


@pytest.mark.parametrize(
    "options",
    [
        {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3, "gradient_accumulation_steps": 2},
        {"global_clipnorm": 0.1, "use_ema": True, "ema_momentum": 0.5, "weight_decay": 0.1},
    ],
    ids=["other rates, accumulation", "clipping, average, decay"],
)
def test_it_is_the_step_of_keras(options, monkeypatch):
    quick = trained(options)
    monkeypatch.setattr(packed_training, "fused_adam", contextlib.nullcontext)
    for ours, theirs in zip(quick, trained(options), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_it_is_one_operation_and_the_optimiser_is_as_before():
    variable = keras.Variable([1.0, 2.0])
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build([variable])

    @tf.function
    def step():
        with fused_adam(optimizer):
            optimizer.apply_gradients([(tf.constant([0.5, -3.0]), variable)])

    operations = [it.type for it in step.get_concrete_function().graph.get_operations()]
    assert operations.count("ResourceApplyAdam") == 1
    assert "Sqrt" not in operations
    assert "update_step" not in vars(optimizer)
    step()
    np.testing.assert_allclose(variable.numpy(), [0.9, 2.1], atol=1e-6)


class Halved(keras.optimizers.Adam):
    """Another step under the name of a sub-class."""

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate / 2)


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (Halved(0.1), [0.95, 2.05]),
        (keras.optimizers.Adam(0.1, amsgrad=True), [0.9, 2.1]),
        (keras.optimizers.SGD(0.1), [0.95, 2.3]),
    ],
    ids=["subclass", "amsgrad", "sgd"],
)
def test_other_optimisers_keep_their_own_step(optimizer, expected):
    variable = keras.Variable([1.0, 2.0])
    with fused_adam(optimizer):
        assert "update_step" not in vars(optimizer)
        optimizer.apply_gradients([(tf.constant([0.5, -3.0]), variable)])
    np.testing.assert_allclose(variable.numpy(), expected, atol=1e-5)


def fail_without_optimizers(models):
    with without_optimizers(models):
        assert models[0].optimizer is None
        raise OSError("disk full")


def test_optimizers_are_away_meanwhile_and_come_back_whatever_happens():
    trained, untrained = make_model("luong"), make_model("luong")
    optimizer = keras.optimizers.Adam()
    trained.compile(optimizer, loss="mse")
    with pytest.raises(OSError, match="disk full"):
        fail_without_optimizers([trained, untrained])
    assert trained.optimizer is optimizer
    assert getattr(untrained, "optimizer", None) is None


def test_a_model_that_is_named_twice_keeps_its_optimizer():
    model = make_model("luong")
    model.compile("sgd", loss="mse")
    optimizer = model.optimizer
    with without_optimizers([model, model]):
        assert model.optimizer is None
    assert model.optimizer is optimizer
