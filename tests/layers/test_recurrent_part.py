"""Frozen, adapted or quantized layers stay so at every level and in every copy."""

from __future__ import annotations

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.small import SOURCE_IDS, TARGET_LABELS, inputs

import keras_s2s as s2s
from keras_s2s.keras_private import all_layers
from keras_s2s.layers import Encoder

SEARCH = s2s.BeamSearch(beam_width=2, max_length=4)


def save_and_load(model, folder):
    model.save(folder / "model.keras")
    return s2s.load(folder / "model.keras")


COPIES = {
    "save": save_and_load,
    "clone_model": lambda model, folder: keras.models.clone_model(model),
    "from_config": lambda model, folder: type(model).from_config(model.get_config()),
    "copy": lambda model, folder: copy.copy(model),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),  # noqa: S301
}


def make(**encoder):
    keras.utils.set_random_seed(0)
    return s2s.Seq2Seq(
        s2s.LSTMEncoder(9, 4, bidirectional=True, **encoder),
        s2s.LSTMDecoder(7, 4, attention="luong", layer_normalization=True),
    )


def train(model, *, run_eagerly=True):
    model.compile("adam", loss=s2s.SequenceLoss(), run_eagerly=run_eagerly)
    model.fit(inputs(), TARGET_LABELS, verbose=0)


def names(weights):
    return [weight.path for weight in weights]


def freeze_unit(model):
    model.encoder.stack.backward_layers[0].trainable = False


def freeze_all_but_logits(model):
    model.decoder.trainable = False
    model.decoder.logits.trainable = True


FREEZE = {
    "encoder": lambda model: setattr(model.encoder, "trainable", False),
    "embedding": lambda model: setattr(model.encoder.embedding, "trainable", False),
    "one recurrent layer": freeze_unit,
    "bridge": lambda model: setattr(model.decoder.bridge, "trainable", False),
    "all but the logits": freeze_all_but_logits,
    "the model": lambda model: setattr(model, "trainable", False),
}


@pytest.mark.parametrize("part", [s2s.LSTMEncoder, s2s.GRUEncoder, s2s.LSTMDecoder, s2s.GRUDecoder])
@pytest.mark.parametrize("way", ["argument", "before building", "after building"])
@pytest.mark.sampled(4)
def test_a_frozen_part_is_not_trained(part, way):
    if way == "argument":
        frozen = part(9, 4, trainable=False)
    else:
        frozen = part(9, 4)
    if way == "before building":
        frozen.trainable = False
    if issubclass(part, Encoder):
        model = s2s.Seq2Seq(frozen, s2s.LSTMDecoder(9, 4))
    else:
        model = s2s.Seq2Seq(s2s.LSTMEncoder(9, 4), frozen)
    if way == "after building":
        frozen.trainable = False
    assert frozen.trainable_weights == []
    ids = {id(weight) for weight in frozen.weights}
    assert not ids & {id(weight) for weight in model.trainable_weights}
    before = frozen.get_weights()
    train(model)
    for weight, expected in zip(frozen.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize(
    ("freeze", "way"),
    [*((freeze, "save") for freeze in FREEZE), *(("embedding", way) for way in COPIES)],
)
@pytest.mark.sampled(9)
def test_what_is_frozen_stays_frozen_through_copies(freeze, way, tmp_path):
    model = make()
    FREEZE[freeze](model)
    assert len(model.trainable_weights) < len(model.weights)
    again = COPIES[way](model, tmp_path)
    assert names(again.trainable_weights) == names(model.trainable_weights)
    assert [layer.trainable for layer in all_layers(again)] == [
        layer.trainable for layer in all_layers(model)
    ]


@pytest.mark.parametrize("freeze", ["encoder", "embedding"])
def test_a_frozen_model_is_loaded_with_its_optimizer(freeze, tmp_path):
    model = make()
    FREEZE[freeze](model)
    train(model)
    again = save_and_load(model, tmp_path)
    for value, expected in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_the_argument_of_a_whole_encoder_reaches_the_context_of_the_user():
    encoder = s2s.LSTMEncoder(9, 4, context="attention_pool", trainable=False)
    encoder.build((None, None))
    assert not any(weight.trainable for weight in encoder.weights)


def test_trainable_embeddings_can_be_changed_afterwards(tmp_path):
    model = make(trainable_embeddings=False)
    assert not model.encoder.embedding.trainable
    model.encoder.embedding.trainable = True
    assert save_and_load(model, tmp_path).encoder.embedding.trainable


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_shared_embeddings_that_one_side_froze_stay_frozen(side, tmp_path):
    model = s2s.Seq2Seq(s2s.LSTMEncoder(9, 4), s2s.LSTMDecoder(9, 4), share_embeddings=True)
    getattr(model, side).embedding.trainable = False
    again = save_and_load(model, tmp_path)
    assert names(again.trainable_weights) == names(model.trainable_weights)


def scores(model):
    return model.log_prob(SOURCE_IDS, TARGET_LABELS).numpy()


def log_probs(model):
    """Compute `log_prob` by calling the model."""
    chosen = tf.gather(tf.nn.log_softmax(model(inputs())), TARGET_LABELS, batch_dims=2)
    return tf.reduce_sum(chosen * tf.cast(TARGET_LABELS != 0, tf.float32), axis=1)


def adapt(model):
    for layer in (model.decoder.bridge, model.decoder.readout):
        layer.enable_lora(2)
        layer.lora_kernel_b.assign(tf.ones_like(layer.lora_kernel_b))


def quantize(model):
    model.decoder.bridge.quantize("int8")
    model.decoder.readout.quantize("int8")


# Keras's own, of its quantizers on NumPy 2
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("change", [adapt, quantize])
@pytest.mark.sampled(1)
def test_compiled_functions_use_changed_layers(change, tmp_path):
    model = make()
    before = scores(model)
    change(model)
    after = scores(model)
    assert not np.array_equal(before, after)
    np.testing.assert_allclose(after, log_probs(model), rtol=1e-5)
    train(model)
    trained = scores(model)
    assert not np.array_equal(trained, after)
    np.testing.assert_allclose(trained, log_probs(model), rtol=1e-5)
    again = save_and_load(model, tmp_path)
    np.testing.assert_allclose(scores(again), trained, rtol=1e-5)
    assert names(again.trainable_weights) == names(model.trainable_weights)
    assert len(again.optimizer.variables) == len(model.optimizer.variables)


def test_lora_trains_its_own_weights_alone():
    model = make()
    model.decoder.bridge.enable_lora(2)
    kernel = model.decoder.bridge._kernel.numpy()
    train(model)
    np.testing.assert_array_equal(model.decoder.bridge._kernel, kernel)
    assert np.any(model.decoder.bridge.lora_kernel_b.numpy() != 0)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("way", ["save", "deepcopy"])
@pytest.mark.sampled(1)
def test_a_quantized_model_is_copied(way, tmp_path):
    model = make()
    with pytest.warns(UserWarning, match="does not have a `quantize` method"):
        model.quantize("int8")
    assert model.decoder.readout.quantization_mode == "int8"
    again = COPIES[way](model, tmp_path)
    np.testing.assert_array_equal(scores(again), scores(model))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.slow
def test_a_model_in_mixed_precision_is_searched_after_quantization():
    parts = {"dtype": "mixed_bfloat16"}
    decoder = s2s.LSTMDecoder(7, 4, attention="luong", input_feeding=True, **parts)
    model = s2s.Seq2Seq(s2s.LSTMEncoder(9, 4, **parts), decoder, **parts)
    before = scores(model), model.search(SOURCE_IDS, SEARCH).scores
    quantize(model)
    after = scores(model), model.search(SOURCE_IDS, SEARCH).scores
    np.testing.assert_allclose(after[0], before[0], atol=0.1)  # 8 bits
    np.testing.assert_allclose(after[1], before[1], atol=0.1)
    assert not np.array_equal(after[1], before[1])
    # Keras's gradient of a layer in int8 mixes precisions outside a graph
    train(model, run_eagerly=False)


@pytest.mark.parametrize("part", [s2s.LSTMEncoder, s2s.GRUDecoder])
def test_a_quantized_policy_is_rejected_with_advice(part):
    with pytest.raises(ValueError, match=r"model\.quantize.*Received: dtype='int8_from_float32'"):
        part(9, 4, dtype="int8_from_float32")
