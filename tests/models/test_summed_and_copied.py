"""Models with monotonic attention and with copying: trained, searched, saved."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.alignments import Alignments, softmax
from helpers.decoder_formula import DecoderFormula, sigmoid
from helpers.small import SOURCE_IDS, TARGET_LABELS, inputs

from keras_s2s.callbacks import Resume
from keras_s2s.layers import GRUDecoder, GRUEncoder, LSTMDecoder, LSTMEncoder
from keras_s2s.losses import SequenceLoss
from keras_s2s.models import Ensemble, Seq2Seq
from keras_s2s.optimizers import FusedAdam
from keras_s2s.search import (
    BeamSearch,
    DiverseBeamSearch,
    ExactSearch,
    ExhaustiveSearch,
    GreedySearch,
    Sampling,
)

COPY_IDS = [-1, 1, -1, 3, 4, 1, 5, 6, -1]
KINDS = {
    "monotonic": {"attention": "monotonic"},
    "monotonic, copy": {"attention": "monotonic", "copy": True},
    "luong, copy": {"attention": "luong", "copy": True},
    "bahdanau, copy": {"attention": "bahdanau", "copy": True, "context_to": "both"},
}
SEARCHES = {
    "greedy": GreedySearch(max_length=5),
    "beam": BeamSearch(beam_width=3, num_hypotheses=3, max_length=5),
    "coverage": BeamSearch(beam_width=3, num_hypotheses=2, max_length=5, coverage_penalty=0.3),
    "diverse": DiverseBeamSearch(beam_width=4, num_groups=2, num_hypotheses=2, max_length=5),
    "exact": ExactSearch(max_length=4, num_hypotheses=2),
    "exhaustive": ExhaustiveSearch(max_length=3, num_hypotheses=2),
    "sampling": Sampling(num_hypotheses=3, max_length=5),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def make(kind, *, gru=False, seed=0, **kwargs):
    options = KINDS[kind]
    model = Seq2Seq(
        (GRUEncoder if gru else LSTMEncoder)(9, 3, bidirectional=True, **kwargs),
        (GRUDecoder if gru else LSTMDecoder)(7, 4, **options, **kwargs),
        copy_ids=COPY_IDS if options.get("copy") else None,
    )
    random = np.random.default_rng(seed)
    model.set_weights([0.7 * random.normal(size=weight.shape) for weight in model.get_weights()])
    model.decoder.logits.bias.assign_add(np.eye(7, dtype=np.float32)[3])
    return model


@pytest.mark.parametrize("kind", ["monotonic, copy", "luong, copy"])
@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
@pytest.mark.sampled(1)
def test_what_a_search_reports_is_the_log_probability(kind, search):
    model = make(kind)
    found = model.search(SOURCE_IDS, search, return_attention=True)
    for place in range(found.ids.shape[1]):
        expected = model.log_prob(SOURCE_IDS, found.ids[:, place])
        real = found.finished[:, place]
        np.testing.assert_allclose(found.log_probs[:, place][real], expected[real], atol=1e-5)
    looked = np.sum(found.attention, axis=3)
    np.testing.assert_allclose(looked, found.ids != 0, atol=1e-5)


@pytest.mark.parametrize("kind", ["monotonic, copy", "luong, copy"])
@pytest.mark.sampled(1)
def test_a_beam_of_all_hypotheses_finds_what_enumeration_finds(kind):
    model = make(kind, gru=True)
    found = model.search(SOURCE_IDS, BeamSearch(beam_width=40, max_length=3))
    best = model.search(SOURCE_IDS, ExhaustiveSearch(max_length=3))
    np.testing.assert_array_equal(found.ids, best.ids)
    np.testing.assert_allclose(found.scores, best.scores, atol=1e-5)


def test_the_attention_is_the_alignment_given_the_whole_output():
    model = make("monotonic, copy")
    found = model.search(SOURCE_IDS, SEARCHES["beam"], return_attention=True)
    decoder = model.decoder
    for row, place in itertools.product(range(3), range(2)):
        source_ids = SOURCE_IDS[row][SOURCE_IDS[row] != 0]
        labels = found.ids[row, place].numpy()
        labels = labels[labels != 0].tolist()
        encoded = model.encoder(source_ids[np.newaxis])
        one_hot = np.eye(8)[np.array(COPY_IDS)[source_ids]]
        gate = [weight.numpy() for weight in decoder.copy_gate.weights]

        def mix(features, logits, position, one_hot=one_hot, gate=gate):
            p = sigmoid(features @ gate[0][:, 0] + gate[1])
            copied = one_hot[position]
            return (p + (1 - p) * copied[-1]) * softmax(logits) + (1 - p) * copied[:-1]

        formula = DecoderFormula(decoder)
        formula.logits([2, *labels[:-1]], encoded.context[0].numpy(), encoded.memory[0].numpy())
        kernel, bias = (weight.numpy() for weight in decoder.logits.weights)
        oracle = Alignments(
            decoder.attention_layer, encoded.memory[0].numpy(), kernel, bias, mix=mix
        )
        expected = np.zeros([len(labels), len(source_ids)])
        for path, probability in oracle.paths(formula.features, labels):
            expected[range(len(labels)), path] += probability
        expected /= expected.sum(axis=1, keepdims=True)
        attention = found.attention[row, place, : len(labels), : len(source_ids)]
        np.testing.assert_allclose(attention, expected, atol=1e-4)


@every_kind
@pytest.mark.sampled(1)
def test_an_answer_does_not_depend_on_the_batch(kind):
    model, search = make(kind), BeamSearch(beam_width=3, max_length=5)
    together = model.search(SOURCE_IDS, search)
    for row in range(3):
        real = SOURCE_IDS[row : row + 1, : np.count_nonzero(SOURCE_IDS[row])]
        alone = model.search(real, search)
        length = alone.ids.shape[2]
        np.testing.assert_array_equal(alone.ids[0], together.ids[row, :, :length])
        np.testing.assert_allclose(alone.log_probs[0], together.log_probs[row], atol=1e-5)


@every_kind
@pytest.mark.slow
def test_training_lowers_the_loss(kind):
    model = make(kind)
    model.compile(keras.optimizers.Adam(0.03), loss=SequenceLoss(label_smoothing=0.05))
    data = tf.data.Dataset.from_tensors((inputs(), TARGET_LABELS)).repeat(40)
    before = model.evaluate(data.take(1), verbose=0)
    model.fit(data, verbose=0)
    assert model.evaluate(data.take(1), verbose=0) < 0.5 * before


@pytest.mark.parametrize("kind", ["monotonic, copy"])
@pytest.mark.slow
def test_an_interrupted_training_ends_as_an_uninterrupted_one(kind, tmp_path):
    data = tf.data.Dataset.from_tensors((inputs(), TARGET_LABELS)).repeat(6)

    def trained(folder, *callbacks):
        keras.utils.set_random_seed(0)
        model = make(kind, dropout=0.3)
        model.compile(FusedAdam(0.03), loss=SequenceLoss())
        callbacks = [Resume(folder, every=2), *callbacks]
        model.fit(data, epochs=2, verbose=0, callbacks=callbacks)
        return model.get_weights()

    def interrupt(batch, logs):
        if batch == 3:
            raise KeyboardInterrupt

    whole = trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", keras.callbacks.LambdaCallback(on_train_batch_end=interrupt))
    for ours, theirs in zip(trained(tmp_path / "parts"), whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@every_kind
@pytest.mark.sampled(1)
def test_a_saved_model_is_loaded(kind, tmp_path):
    model, path = make(kind), tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    assert loaded.copy_ids == model.copy_ids
    np.testing.assert_array_equal(
        loaded.log_prob(SOURCE_IDS, TARGET_LABELS), model.log_prob(SOURCE_IDS, TARGET_LABELS)
    )


@pytest.mark.slow
def test_an_ensemble_has_members_of_every_kind():
    ensemble = Ensemble([make(kind, seed=seed) for seed, kind in enumerate(KINDS)])
    found = ensemble.search(SOURCE_IDS, SEARCHES["beam"], return_attention=True)
    np.testing.assert_allclose(
        found.log_probs[:, 0], ensemble.log_prob(SOURCE_IDS, found.ids[:, 0]), atol=1e-4
    )


def test_one_vocabulary_on_both_sides_needs_no_copy_ids():
    model = Seq2Seq(LSTMEncoder(6, 3), LSTMDecoder(6, 3, attention="luong", copy=True))
    assert model.copy_ids == [-1, 1, -1, 3, 4, 5]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (None, "`copy_ids` is required if the two vocabularies differ"),
        ([4, 5], "`copy_ids` must contain an integer for each of the 9 source ids"),
        ([0.5] * 9, "`copy_ids` must contain an integer"),
        ([7] * 9, "`copy_ids` must lie between -1 and 6"),
        ([-2] * 9, "`copy_ids` must lie between -1 and 6"),
    ],
)
def test_copy_ids_that_do_not_fit_are_rejected(ids, message):
    with pytest.raises(ValueError, match=message):
        Seq2Seq(LSTMEncoder(9, 3), LSTMDecoder(7, 3, attention="luong", copy=True), copy_ids=ids)


def test_copy_ids_of_a_decoder_that_does_not_copy_are_rejected():
    with pytest.raises(ValueError, match="`copy_ids` requires a decoder with copy=True"):
        Seq2Seq(LSTMEncoder(9, 3), LSTMDecoder(7, 3, attention="luong"), copy_ids=COPY_IDS)
