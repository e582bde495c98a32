"""Keras's training features work with models of this package."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.reversing import make_data, make_model

from keras_s2s.losses import SequenceLoss
from keras_s2s.search import BeamSearch

# TensorFlow's variables do not know NumPy 2's `copy` yet, and Keras averages them
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

INPUTS, LABELS = make_data(8, seed=0)


@pytest.fixture(scope="module")
def start():
    """The initial weights of all training runs."""
    keras.utils.set_random_seed(0)
    return make_model(units=4, attention="luong").get_weights()


class Watch(keras.callbacks.Callback):
    """Keeps the weights and the learning rate after each step."""

    def __init__(self):
        super().__init__()
        self.weights, self.rates = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append(self.model.get_weights())
        self.rates.append(float(self.model.optimizer.learning_rate.numpy()))


def fit(start, optimizer, *callbacks, batch_size=8, dtype=None, **kwargs):
    """Train from the same weights, step by step in Python."""
    model = make_model(units=4, attention="luong", **({"dtype": dtype} if dtype else {}))
    model.set_weights(start)
    model.compile(optimizer, loss=SequenceLoss(), run_eagerly=True)
    watch = Watch()
    model.fit(
        INPUTS,
        LABELS,
        batch_size=batch_size,
        shuffle=False,
        verbose=0,
        callbacks=[watch, *callbacks],
        **kwargs,
    )
    return model, watch


def changes(before, after):
    return [new - old for old, new in zip(before, after, strict=True)]


def norm(arrays):
    return math.sqrt(sum(float(np.sum(np.square(it, dtype=np.float64))) for it in arrays))


def test_gradients_are_clipped_by_their_norms(start):
    _, plain = fit(start, keras.optimizers.SGD(1.0))
    gradients = changes(start, plain.weights[0])
    limit = norm(gradients) / 4
    _, clipped = fit(start, keras.optimizers.SGD(1.0, global_clipnorm=limit))
    for ours, gradient in zip(changes(start, clipped.weights[0]), gradients, strict=True):
        np.testing.assert_allclose(ours, gradient / 4, atol=1e-6)
    limit = sorted(norm([it]) for it in gradients)[len(gradients) // 2]
    _, clipped = fit(start, keras.optimizers.SGD(1.0, clipnorm=limit))
    found = [norm([it]) for it in changes(start, clipped.weights[0])]
    np.testing.assert_allclose(found, [min(norm([it]), limit) for it in gradients], atol=1e-6)


def test_gradients_of_two_half_batches_are_those_of_the_whole(start):
    _, whole = fit(start, keras.optimizers.SGD(0.1))
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    _, halves = fit(start, optimizer, batch_size=4)
    assert norm(changes(start, halves.weights[0])) == 0
    for ours, theirs in zip(halves.weights[1], whole.weights[0], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_weights_are_averaged_and_evaluated_as_averages(start):
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.75)
    swap = keras.callbacks.SwapEMAWeights()
    model, watch = fit(start, optimizer, swap, batch_size=2, validation_data=(INPUTS, LABELS))
    average = watch.weights[0]
    for weights in watch.weights[1:]:
        average = [0.75 * old + 0.25 * new for old, new in zip(average, weights, strict=True)]
    for ours, theirs in zip(model.get_weights(), average, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    validated = model.history.history["val_loss"][-1]
    assert validated == pytest.approx(model.evaluate(INPUTS, LABELS, verbose=0), abs=1e-5)


@pytest.mark.slow
def test_the_learning_rate_warms_up_and_decays(start):
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=4, warmup_target=0.2, warmup_steps=2
    )
    _, watch = fit(start, keras.optimizers.Adam(schedule), batch_size=2, epochs=2)
    decayed = [0.2 * (1 + math.cos(math.pi * step / 4)) / 2 for step in range(5)]
    assert watch.rates == pytest.approx([0.1, *decayed, 0, 0], abs=1e-7)
    first, second = (changes(start, weights) for weights in watch.weights[:2])
    assert norm(first) == 0  # the rate of the very first step is 0
    assert norm(second) > 0


@pytest.mark.parametrize(("dtype", "loss"), [("mixed_float16", 1e-2), ("mixed_bfloat16", 5e-2)])
@pytest.mark.slow
def test_mixed_precision_learns_like_float32(dtype, loss, start):
    expected, _ = fit(start, keras.optimizers.Adam(0.01), epochs=4)
    model, _ = fit(start, keras.optimizers.Adam(0.01), dtype=dtype, epochs=4)
    assert all(weight.dtype == "float32" for weight in model.weights)
    losses = expected.history.history["loss"]
    assert losses[-1] < losses[0] - 0.2
    np.testing.assert_allclose(model.history.history["loss"], losses, atol=loss)
    # it searches in float32: what a float32 model with the same weights finds
    expected.set_weights(model.get_weights())
    search = BeamSearch(beam_width=2, max_length=3)
    ours, theirs = (it.search(INPUTS["source_ids"], search) for it in (model, expected))
    np.testing.assert_array_equal(ours.ids, theirs.ids)
    np.testing.assert_array_equal(ours.log_probs, theirs.log_probs)


def test_a_loss_too_large_for_float16_is_skipped_and_its_scale_halved(start):
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.1), initial_scale=2.0**40
    )
    _, watch = fit(start, optimizer, dtype="mixed_float16")
    assert float(optimizer.dynamic_scale.numpy()) == 2.0**39
    assert norm(changes(start, watch.weights[0])) == 0


def test_float16_scales_the_loss_by_default(start):
    model, _ = fit(start, keras.optimizers.SGD(0.1), dtype="mixed_float16")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert norm(changes(start, model.get_weights())) > 0
    assert all(tf.reduce_all(tf.math.is_finite(it)) for it in model.get_weights())
