"""The loss of an epoch does not depend on how pairs are batched."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from helpers.small import inputs, make_model

from keras_s2s.losses import SequenceLoss

# four sequences of one token, four of many: their mean per token is not that of the batches
LABELS = np.zeros([8, 9], np.int32)
LABELS[:4, 0] = 3
LABELS[4:] = [4, 5, 6, 4, 5, 6, 4, 5, 3]
TARGET_INPUTS = np.where(LABELS == 0, 0, np.pad(LABELS, [(0, 0), (1, 0)], constant_values=2)[:, :9])
DATA = inputs(np.tile([[5, 3]], [8, 1]).astype(np.int32), TARGET_INPUTS.astype(np.int32))
RANDOM = np.random.default_rng(0)
SAMPLE_WEIGHTS = {
    "none": None,
    "(batch,)": RANDOM.uniform(0.1, 5.0, [8]),
    "(batch, 1)": RANDOM.uniform(0.1, 5.0, [8, 1]),
    "(batch, length)": RANDOM.uniform(0.1, 5.0, [8, 9]),
    "(batch, length, 1)": RANDOM.uniform(0.1, 5.0, [8, 9, 1]),
}


@pytest.fixture(scope="module", params=["token", "sequence"])
def model(request):
    model = make_model("luong")
    model.compile(keras.optimizers.SGD(0.0), loss=SequenceLoss(request.param))
    return model


@pytest.mark.parametrize("weights", SAMPLE_WEIGHTS)
@pytest.mark.sampled(1)
def test_it_does_not_depend_on_the_batches(weights, model):
    data = {"x": DATA, "y": LABELS, "sample_weight": SAMPLE_WEIGHTS[weights], "verbose": 0}
    whole = model.evaluate(**data, batch_size=8)
    assert whole == pytest.approx(
        float(model.loss(LABELS, model(DATA), SAMPLE_WEIGHTS[weights])), rel=1e-5
    )
    for size in (4, 3):
        assert model.evaluate(**data, batch_size=size) == pytest.approx(whole, rel=1e-5)
        history = model.fit(**data, batch_size=size, shuffle=False).history
        assert history["loss"][0] == pytest.approx(whole, rel=1e-5)


def test_losses_of_keras_are_weighted_by_rows_as_in_keras():
    model = make_model("luong")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(loss=loss)
    parts = [
        model.evaluate({name: ids[rows] for name, ids in DATA.items()}, LABELS[rows], verbose=0)
        for rows in (slice(0, 6), slice(6, 8))
    ]
    whole = model.evaluate(DATA, LABELS, batch_size=6, verbose=0)
    assert whole == pytest.approx(np.average(parts, weights=[6, 2]), rel=1e-5)
