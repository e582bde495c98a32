"""Models with every option of the layers train packed, padded, compiled and in 16 bits."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers.optioned import OPTIONED, make_gru_model
from helpers.small import SOURCE_IDS, SOURCE_SIZE, TARGET_INPUTS, TARGET_LABELS, inputs

from keras_s2s.losses import SequenceLoss
from keras_s2s.search import GreedySearch

SIZE = SOURCE_SIZE


def give_weights(model):
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(0.7 * random.normal(size=weight.shape))
    return model


@pytest.mark.parametrize("make", OPTIONED.values(), ids=OPTIONED)
def test_training_on_real_tokens_only_has_the_gradients_of_the_padded_batch(make):
    model = give_weights(make(SIZE, dropout=False))
    labels = tf.constant(TARGET_LABELS)
    variables = [variable.value for variable in model.trainable_variables]
    found = []
    for packed in (False, True):
        with tf.GradientTape() as tape:
            logits = model(inputs(), packed=packed, training=True)
            loss = SequenceLoss()(labels, logits.unpack() if packed else logits)
        gradients = tape.gradient(loss, variables)
        found.append([loss, *map(tf.convert_to_tensor, gradients)])
    for padded, packed in zip(*found, strict=True):
        np.testing.assert_allclose(packed, padded, atol=1e-5)


@pytest.mark.parametrize("make", OPTIONED.values(), ids=OPTIONED)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.sampled(1)
def test_in_16_bits_it_trains_and_searches_in_float32(make, policy):
    model = give_weights(make(SIZE, dtype=policy))
    model.compile("sgd", loss=SequenceLoss(), run_eagerly=True)
    before = [weight.numpy() for weight in model.trainable_weights]
    assert np.isfinite(model.train_on_batch(inputs(), TARGET_LABELS))
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.all(np.isfinite(weight)), weight.path
        assert np.any(weight.numpy() != old), weight.path
    exact = make(SIZE)
    exact.set_weights(model.get_weights())
    search = GreedySearch(max_length=5)
    for mixed, plain in zip(
        model.search(SOURCE_IDS, search)[:4], exact.search(SOURCE_IDS, search)[:4], strict=True
    ):
        np.testing.assert_array_equal(mixed, plain)


@pytest.mark.slow
def test_compiled_by_xla_it_takes_the_same_step():
    weights = []
    for jit_compile in (False, True):
        model = give_weights(make_gru_model(SIZE, dropout=False))
        model.compile("sgd", loss=SequenceLoss(), jit_compile=jit_compile)
        assert model.jit_compile == jit_compile
        model.train_on_batch(inputs(SOURCE_IDS, TARGET_INPUTS), TARGET_LABELS)
        weights.append(model.get_weights())
    for compiled, plain in zip(*weights, strict=True):
        np.testing.assert_allclose(compiled, plain, atol=1e-5)
