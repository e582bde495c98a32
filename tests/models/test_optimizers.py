from __future__ import annotations

import keras
import pytest
from models.small import make_model

from keras_s2s.models.optimizers import without_optimizers


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
