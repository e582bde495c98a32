"""Decoder inputs in training: labels, its own outputs, or a mixture."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.reversing import SIZE, compile_model, make_data, make_model

from keras_s2s.callbacks import ScheduledSampling
from keras_s2s.layers import GRUDecoder, GRUEncoder
from keras_s2s.models import Seq2Seq
from keras_s2s.models.own_outputs import OwnOutputs

INPUTS, LABELS = make_data(12, seed=0)
ROWS, LENGTH = LABELS.shape

MODELS = {
    "monotonic": lambda: make_model(units=6, attention="monotonic"),
    "plain": lambda: make_model(units=6),
    "luong": lambda: make_model(units=6, attention="luong"),
    "bahdanau": lambda: make_model(units=6, attention="bahdanau"),
    "GRU": lambda: Seq2Seq(GRUEncoder(SIZE, 6), GRUDecoder(SIZE, 6, num_layers=2)),
}


def scattered(model):
    """Larger weights, so that outputs differ from step to step."""
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=it.shape) for it in model.get_weights()])
    return model


def fed_by_hand(model, coins, draws=None):
    """Feed own outputs step by step with full forward passes."""
    fed = INPUTS["target_inputs"].copy()
    for time in range(1, LENGTH):
        inputs = {"source_ids": INPUTS["source_ids"], "target_inputs": fed}
        # real at all steps that were fed, whatever the label's length
        logits = model(inputs).numpy()[:, time - 1].astype(np.float64)
        logits[:, [0, 2]] = -np.inf
        if draws is None:
            chosen = logits.argmax(axis=1)
        else:
            shares = np.exp(logits - logits.max(axis=1, keepdims=True))
            ends = (shares / shares.sum(axis=1, keepdims=True)).cumsum(axis=1)
            chosen = (ends <= draws[time][:, np.newaxis]).sum(axis=1)
        replaced = coins[time] & (fed[:, time] != 0)
        fed[:, time] = np.where(replaced, chosen, fed[:, time])
    return fed


def draws_of(seed):
    """Return the first numbers drawn by an `OwnOutputs` with this seed."""
    generator = keras.random.SeedGenerator(seed)
    return [
        keras.random.uniform((LENGTH, ROWS), dtype="float32", seed=generator).numpy()
        for _ in range(2)
    ]


@pytest.mark.parametrize("choice", ["argmax", "sample"])
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.sampled(1)
def test_inputs_are_replaced_by_outputs_of_the_previous_steps(kind, choice):
    model = scattered(MODELS[kind]())
    own = OwnOutputs(choice, seed=5)
    for probability in (0.6, 1.0):
        own.assign(probability)
        own.seed_generator.state.assign(keras.random.SeedGenerator(5).state)
        fed = tf.function(lambda: own.mix(model, INPUTS))()["target_inputs"].numpy()
        coins, draws = draws_of(5)
        expected = fed_by_hand(model, coins < probability, draws if choice == "sample" else None)
        np.testing.assert_array_equal(fed, expected)
        assert (fed != INPUTS["target_inputs"]).any()
        assert not np.isin(fed[:, 1:][INPUTS["target_inputs"][:, 1:] != 0], [0, 2]).any()


def test_ids_of_64_bits_are_replaced_alike():
    model, own = scattered(MODELS["plain"]()), OwnOutputs("argmax", seed=5)
    own.assign(1.0)
    wide = {name: ids.astype(np.int64) for name, ids in INPUTS.items()}
    expected, fed = (own.mix(model, inputs)["target_inputs"] for inputs in (INPUTS, wide))
    np.testing.assert_array_equal(fed, expected)


def test_what_is_chosen_follows_the_softmax():
    own = OwnOutputs("sample", seed=0)
    logits = np.log([[0.7, 0.1, 0.1, 0.06, 0.04]]).astype(np.float32)  # pad and bos among them
    draws = (np.arange(1000, dtype=np.float32) + 0.5) / 1000
    chosen = own._choose(tf.constant(np.repeat(logits, 1000, axis=0)), tf.constant(draws))
    assert np.bincount(chosen, minlength=5).tolist() == [0, 500, 0, 300, 200]
    highest = tf.constant([np.nextafter(np.float32(1), np.float32(0))])
    assert own._choose(tf.constant(logits), highest).numpy().tolist() == [4]


def on_the_left(ids):
    """Move the padding of each row to its beginning."""
    order = np.argsort(ids != 0, axis=1, kind="stable")
    return np.take_along_axis(ids, order, axis=1)


def weights_after(model, start, inputs=INPUTS):
    """Weights after one step on all rows, from the same start."""
    model.set_weights(start)
    for variable in model.optimizer.variables:
        if "learning_rate" not in variable.path:
            variable.assign(tf.zeros(variable.shape, variable.dtype))
    model.fit(inputs, LABELS, batch_size=ROWS, shuffle=False, verbose=0)
    return model.get_weights()


def assert_same(ours, theirs):
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(our, their)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.slow
def test_a_step_is_teacher_forcing_with_the_replaced_inputs(jit_compile):
    model = compile_model(scattered(make_model(units=4)), jit_compile=jit_compile)
    model.optimizer.build(model.trainable_variables)
    start = model.get_weights()
    own = fed_by_hand(model, np.ones([LENGTH, ROWS], bool))
    forced = weights_after(model, start)
    free = weights_after(model, start, {**INPUTS, "target_inputs": own})
    assert any(np.any(our != their) for our, their in zip(free, forced, strict=True))

    model.feed_own_outputs(0.0)
    assert_same(weights_after(model, start), forced)  # to the last bit
    model.feed_own_outputs(1.0)
    for ours, theirs in zip(weights_after(model, start), free, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_position_of_the_padding_changes_no_step():
    model = compile_model(scattered(make_model(units=4)), run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    model.feed_own_outputs(1.0)
    start, found = model.get_weights(), []
    for rows in ((INPUTS, LABELS), tf.nest.map_structure(on_the_left, (INPUTS, LABELS))):
        inputs, labels = rows
        model.set_weights(start)
        found.append(model.evaluate(inputs, labels, batch_size=ROWS, verbose=0))
        found[-1].append(model.train_on_batch(inputs, labels)[0])
    np.testing.assert_allclose(*found, rtol=1e-5)


@pytest.mark.slow
def test_the_same_seed_feeds_the_same_outputs():
    def run():
        keras.utils.set_random_seed(3)
        model = compile_model(make_model(units=4), run_eagerly=True)
        schedule = ScheduledSampling(lambda step: 0.5, choice="sample")
        model.fit(INPUTS, LABELS, batch_size=6, shuffle=False, verbose=0, callbacks=[schedule])
        return model.get_weights()

    assert_same(run(), run())


@pytest.mark.slow
def test_the_callback_sets_the_probability_before_each_step_and_resets_it():
    model = compile_model(make_model(units=4))
    model.feed_own_outputs(0.125, choice="sample")
    seen = []

    class See(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(self.model.sampling_probability)

    schedule = ScheduledSampling("linear", scale=8, maximum=0.5, choice="sample")
    history = model.fit(
        INPUTS, LABELS, batch_size=4, epochs=2, verbose=0, callbacks=[schedule, See()]
    ).history
    assert seen == [0.0, 1 / 8, 2 / 8, 3 / 8, 0.5, 0.5]
    assert history["sampling_probability"] == [2 / 8, 0.5]
    assert model.sampling_probability == 0.125
    assert [it.path for it in model.weights] == [it.path for it in model.variables]


def test_a_model_that_cannot_feed_itself_is_rejected():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="`ScheduledSampling` requires a `Seq2Seq`"):
        model.fit(np.zeros([1, 1]), np.zeros([1, 1]), verbose=0, callbacks=[ScheduledSampling()])


@pytest.mark.parametrize("probability", [-0.1, 1.1, "often", None])
def test_a_probability_out_of_range_is_rejected(probability):
    model = make_model(units=4)
    with pytest.raises(ValueError, match="`sampling_probability` must be a number between 0 and 1"):
        model.feed_own_outputs(probability)
    assert model.sampling_probability == 0.0


def test_an_unknown_choice_is_rejected():
    with pytest.raises(ValueError, match="`choice` must be one of 'argmax', 'sample'"):
        make_model(units=4).feed_own_outputs(0.5, choice="beam")
