"""An ensemble is the mean of its members in `call`, scoring and search."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import tensorflow as tf
from helpers.small import (
    SOURCE_IDS,
    SOURCE_SIZE,
    TARGET_INPUTS,
    TARGET_LABELS,
    TARGET_SIZE,
    inputs,
    make_model,
)

from keras_s2s.layers import LSTMDecoder, LSTMEncoder
from keras_s2s.losses import SequenceLoss
from keras_s2s.models import Ensemble, Seq2Seq
from keras_s2s.saving import load
from keras_s2s.search import BeamSearch, ExactSearch, GreedySearch

# TensorFlow's variables do not know NumPy 2's `copy` yet, and Keras saves them
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SEARCH = BeamSearch(beam_width=4, num_hypotheses=4, max_length=5, stopping="length")
AVERAGES = ["probabilities", "log_probabilities"]
# Of other sizes, layers, contexts and attention.
KINDS = ["no attention", "luong", "bahdanau"]


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def together(models, average, batch):
    """The log probabilities of the mean, by its definition: (batch, target_length, ids)."""
    log_probs = [log_softmax(model(batch)) for model in models]
    if average == "probabilities":
        return np.log(np.mean(np.exp(log_probs), axis=0))
    return log_softmax(np.mean(log_probs, axis=0))


@pytest.fixture(scope="module")
def models() -> list[Seq2Seq]:
    return [make_model(kind) for kind in KINDS]


@pytest.fixture(scope="module", params=AVERAGES)
def ensemble(request, models) -> Ensemble:
    return Ensemble(models, average=request.param)


@pytest.fixture(scope="module")
def plain(models) -> Ensemble:
    """An ensemble for tests that do not depend on the kind of mean."""
    return Ensemble(models)


def test_a_call_gives_the_mean(ensemble, models):
    expected = together(models, ensemble.average, inputs())
    found = log_softmax(ensemble(inputs()))
    real = TARGET_INPUTS != 0
    np.testing.assert_allclose(found[real], expected[real], atol=1e-5)
    if ensemble.average == "probabilities":  # no softmax is left to be taken
        np.testing.assert_allclose(ensemble(inputs())[real], expected[real], atol=1e-5)


@pytest.mark.sampled(1)
def test_it_scores_given_targets_by_the_mean(ensemble, models):
    expected = together(models, ensemble.average, inputs())
    chosen = np.take_along_axis(expected, TARGET_LABELS[:, :, np.newaxis], axis=2)[:, :, 0]
    found = ensemble.log_prob(SOURCE_IDS, TARGET_LABELS)
    np.testing.assert_allclose(found, np.sum(chosen * (TARGET_LABELS != 0), axis=1), atol=1e-5)


@pytest.mark.sampled(1)
def test_greedy_search_takes_the_best_of_the_mean_at_each_step(ensemble, models):
    found = ensemble.search(SOURCE_IDS, GreedySearch(max_length=5))
    for row in range(3):
        ids, log_prob = [2], 0.0
        while ids[-1] != 3 and len(ids) <= 5:
            batch = inputs(SOURCE_IDS[row : row + 1], np.array([ids], np.int32))
            log_probs = together(models, ensemble.average, batch)[0, -1]
            best = max((log_probs[id_], -id_) for id_ in range(7) if id_ not in (0, 2))
            ids.append(-best[1])
            log_prob += best[0]
        length = int(found.lengths[row, 0])
        assert found.ids[row, 0, :length].numpy().tolist() == ids[1:]
        np.testing.assert_allclose(found.log_probs[row, 0], log_prob, atol=1e-5)


@pytest.mark.sampled(1)
def test_log_prob_gives_the_log_prob_of_every_hypothesis(ensemble):
    found = ensemble.search(SOURCE_IDS, SEARCH)
    log_probs = ensemble.log_prob(np.repeat(SOURCE_IDS, 4, axis=0), tf.reshape(found.ids, [12, -1]))
    np.testing.assert_allclose(tf.reshape(log_probs, [3, 4]), found.log_probs, atol=1e-4)
    lengths = tf.cast(found.lengths, tf.float32)
    np.testing.assert_allclose(found.scores, found.log_probs / lengths**0.75, atol=1e-6)


def test_padding_and_batch_mates_do_not_change_a_row(plain):
    with_padding = plain.search(np.pad(SOURCE_IDS, [(0, 0), (0, 3)]), SEARCH)
    alone = plain.search(SOURCE_IDS[1:2, :2], SEARCH)
    np.testing.assert_array_equal(with_padding.ids[1, :, : alone.ids.shape[2]], alone.ids[0])
    np.testing.assert_allclose(with_padding.scores[1], alone.scores[0], atol=1e-6)


@pytest.mark.slow
def test_the_attention_is_the_mean_of_the_members_that_have_any(plain, models):
    prefix = np.array([[4, 5], [5, 4], [4, 4]], np.int32)  # all members read the same tokens
    search = GreedySearch(max_length=2, min_length=2)
    found, *single = (
        model.search(SOURCE_IDS, search, prefix=prefix, return_attention=True).attention
        for model in (plain, *models[1:])
    )
    assert found.shape[2] == 2
    np.testing.assert_allclose(found, np.mean(single, axis=0), atol=1e-6)
    blind = Ensemble(models[:1])
    assert not blind.has_attention
    with pytest.raises(ValueError, match="`return_attention` needs a decoder with attention"):
        blind.search(SOURCE_IDS, SEARCH, return_attention=True)


def test_an_ensemble_of_one_is_that_model(models):
    found, expected = (it.search(SOURCE_IDS, SEARCH) for it in (Ensemble(models[1:2]), models[1]))
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_allclose(found.log_probs, expected.log_probs, atol=1e-6)


def test_dropout_is_on_if_a_call_says_so():
    member = make_model("luong", dropout=0.5)
    ensemble = Ensemble([member, make_model("bahdanau")])
    real = TARGET_INPUTS != 0
    without, again = (np.asarray(ensemble(inputs()))[real] for _ in range(2))
    np.testing.assert_array_equal(without, again)
    assert np.any(np.asarray(ensemble(inputs(), training=True))[real] != without)


def test_a_search_knows_the_bytes_of_an_encoded_source(models):
    def row_bytes(model):
        start = model.begin_search(tf.constant(SOURCE_IDS), return_attention=False)
        return float(start.step.row_bytes)

    model = models[1]
    encoded = model.encoder(SOURCE_IDS)
    keys = model.decoder.attention_layer.keys(encoded.memory)
    parts = [np.asarray(part) for part in (keys, encoded.memory, encoded.mask)]
    assert row_bytes(model) == sum(part.nbytes for part in parts) / len(SOURCE_IDS)
    assert row_bytes(Ensemble(models)) == sum(map(row_bytes, models))


def test_members_are_trained_separately(models):
    member = make_model("luong")
    ensemble = Ensemble([models[0], member])
    before = ensemble.log_prob(SOURCE_IDS, TARGET_LABELS)
    member.compile("sgd", loss=SequenceLoss(), run_eagerly=True)
    member.fit(inputs(), TARGET_LABELS, verbose=0)
    after = ensemble.log_prob(SOURCE_IDS, TARGET_LABELS)
    assert np.all(after > before)


def test_it_is_evaluated_but_not_trained(plain, models):
    plain.compile(loss=SequenceLoss(), run_eagerly=True)
    loss = plain.evaluate(inputs(), TARGET_LABELS, verbose=0)
    log_probs = plain.log_prob(SOURCE_IDS, TARGET_LABELS)
    np.testing.assert_allclose(loss, -np.mean(log_probs), atol=1e-5)
    for train in (plain.fit, plain.train_on_batch):
        with pytest.raises(ValueError, match=r"An `Ensemble` cannot be trained.*Train each member"):
            train(inputs(), TARGET_LABELS)


@pytest.mark.sampled(1)
def test_a_loaded_ensemble_computes_bit_for_bit_the_same(ensemble, tmp_path):
    ensemble.save(tmp_path / "e.keras")
    loaded = load(tmp_path / "e.keras")
    assert isinstance(loaded, Ensemble)
    assert loaded.average == ensemble.average
    assert [type(model.decoder) for model in loaded.models] == [LSTMDecoder] * 3
    np.testing.assert_array_equal(loaded(inputs()), ensemble(inputs()))


def test_the_file_contains_no_optimizer_state(models, tmp_path):
    member = make_model("luong")
    sizes = []
    for name in ("before", "after"):
        Ensemble([models[0], member]).save(tmp_path / f"{name}.keras")
        with zipfile.ZipFile(tmp_path / f"{name}.keras") as archive:
            sizes.append(archive.getinfo("model.weights.h5").file_size)
        member.compile("adam", loss=SequenceLoss(), run_eagerly=True)
        member.fit(inputs(), TARGET_LABELS, verbose=0)
    assert sizes[0] == sizes[1]
    assert member.optimizer.iterations == 1
    assert not load(tmp_path / "after.keras").models[1].compiled


@pytest.mark.parametrize(
    ("models", "error", "message"),
    [
        (
            make_model("luong"),
            TypeError,
            r"must be a list of `Seq2Seq` models\. Received: models=",
        ),
        ("model", TypeError, r"must be a list of `Seq2Seq` models\. Received: models='model'"),
        ([make_model("luong"), "m"], TypeError, r"Received: 'm' \(of type str\) at posit"),
        ([], ValueError, r"`models` must contain at least one model\. Received: none"),
        (
            [make_model("luong")] * 2,
            ValueError,
            r"must not contain a model twice\. Received: \['seq2",
        ),
    ],
)
def test_an_invalid_list_of_models_is_rejected(models, error, message):
    with pytest.raises(error, match=message):
        Ensemble(models)


@pytest.mark.parametrize("side", ["source", "target"])
def test_members_must_have_the_same_vocabularies(models, side):
    other = Seq2Seq(
        LSTMEncoder(SOURCE_SIZE + (side == "source"), 2),
        LSTMDecoder(TARGET_SIZE + (side == "target"), 2),
    )
    sizes = {"source": "9, 10", "target": "7, 8"}[side]
    with pytest.raises(ValueError, match=f"same {side} vocabulary.*with {sizes} {side} ids"):
        Ensemble([models[0], other])


def test_another_average_is_rejected(models):
    with pytest.raises(AttributeError, match="average"):
        Ensemble([make_model("luong")]).average = "log_probabilities"
    with pytest.raises(ValueError, match="`average` must be one of 'probabilities', 'log_prob"):
        Ensemble(models, average="median")


@pytest.mark.slow
def test_exact_search_finds_the_best_of_all_outputs(models):
    pair = Ensemble(models[:2])
    found = pair.search(SOURCE_IDS, ExactSearch(max_length=4, num_hypotheses=2))
    # four ids may come before eos, so this beam keeps all 4**3 prefixes
    wide = BeamSearch(beam_width=64, num_hypotheses=2, max_length=4, stopping="length")
    best = pair.search(SOURCE_IDS, wide)
    assert found.certified.numpy().all()
    np.testing.assert_array_equal(found.ids, best.ids)
    np.testing.assert_allclose(found.scores, best.scores, rtol=1e-5)
