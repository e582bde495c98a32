"""Distillation: a model learns the predictions of another."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_s2s import (
    CharTokenizer,
    LSTMDecoder,
    LSTMEncoder,
    Seq2Seq,
    SequenceLoss,
    WordTokenizer,
    distillation,
    make_dataset,
)
from keras_s2s.distillation import DistillationLoss, cache_predictions, teach

PAIRS = [("ab", "A B"), ("b", "B"), ("abb", "A B B")]


@pytest.fixture
def data():
    source = CharTokenizer.train(source for source, _ in PAIRS)
    target = WordTokenizer.train(target for _, target in PAIRS)
    return make_dataset(PAIRS, source, target)


@pytest.fixture
def teacher():
    return Seq2Seq(LSTMEncoder(6, 4), LSTMDecoder(6, 4))


def test_labels_are_mixed_with_the_predictions_of_the_teacher(data, teacher):
    inputs, labels = next(iter(data))
    _, soft = next(iter(teach(data, teacher, 0.75)))
    predicted = tf.nn.softmax(teacher(inputs)).numpy()
    expected = 0.75 * predicted + 0.25 * np.eye(6)[labels.numpy()]
    real = labels.numpy() != 0
    np.testing.assert_allclose(soft.numpy()[real], expected[real], atol=1e-6)
    assert not soft.numpy()[~real].any()


def test_the_teacher_has_the_documented_weight_by_default(data, teacher):
    [(_, expected)], [(_, found)] = teach(data, teacher, 0.8), teach(data, teacher)
    np.testing.assert_array_equal(found, expected)


def test_cached_predictions_are_those_of_the_teacher_in_every_batch(data, teacher):
    shown = []
    cached = cache_predictions(teacher, data, shown.append)
    assert shown == [3]
    [(_, expected)], [(_, soft)] = teach(data, teacher), teach(data, cached)
    np.testing.assert_allclose(soft, expected, atol=1e-3)
    teacher.set_weights([0 * it for it in teacher.get_weights()])  # it is not asked again
    alone = [labels.numpy()[0] for _, labels in teach(data.unbatch().batch(1), cached)]
    np.testing.assert_array_equal(np.concatenate(alone), np.concatenate(soft))


def test_predictions_that_are_too_large_are_not_cached(data, teacher, monkeypatch):
    tokens = sum(len(target.split()) + 1 for _, target in PAIRS)
    monkeypatch.setattr(distillation, "_MAX_CACHE", 2 * tokens * 6 - 1)
    assert cache_predictions(teacher, data) is teacher
    monkeypatch.setattr(distillation, "_MAX_CACHE", 2 * tokens * 6)
    assert cache_predictions(teacher, data) is not teacher


def test_the_loss_of_hard_labels_is_that_of_ids(data, teacher):
    inputs, labels = next(iter(data))
    logits = teacher(inputs)
    soft = tf.one_hot(labels, 6) * tf.cast(labels[..., None] != 0, tf.float32)
    wanted = float(SequenceLoss("token")(labels, logits))
    loss = DistillationLoss()
    assert float(loss(soft, logits)) == pytest.approx(wanted, rel=1e-6)
    assert float(loss(labels, logits)) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.sampled(1)
def test_the_loss_of_an_epoch_does_not_depend_on_the_batches(soft, data, teacher):
    batches = teach(data, teacher, 0.75) if soft else data
    student = Seq2Seq(LSTMEncoder(6, 4), LSTMDecoder(6, 4))
    student.compile(keras.optimizers.SGD(0.0), loss=DistillationLoss())
    whole = student.evaluate(batches, verbose=0)
    assert student.evaluate(batches.unbatch().batch(2), verbose=0) == pytest.approx(whole, rel=1e-5)
    history = student.fit(batches.unbatch().batch(1), verbose=0).history
    assert history["loss"][0] == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("weights", [(2.0, 0.5, 0.0), (1.0, 0.0, 0.0)])
def test_sample_weights_are_those_of_ids(weights, data, teacher):
    inputs, labels = next(iter(data))
    logits, weights = teacher(inputs), np.resize(weights, len(labels))
    soft = tf.one_hot(labels, 6) * tf.cast(labels[..., None] != 0, tf.float32)
    wanted, loss = SequenceLoss("token"), DistillationLoss()
    expected = float(wanted(labels, logits, weights))
    assert float(loss(soft, logits, weights)) == pytest.approx(expected, rel=1e-5)
    divisor = float(wanted.divisor(labels, weights))
    assert float(loss.divisor(soft, weights)) == pytest.approx(divisor)


def test_padding_does_not_change_the_loss(data, teacher):
    inputs, _ = next(iter(data))
    _, soft = next(iter(teach(data, teacher)))
    logits = teacher(inputs)
    loss = DistillationLoss()
    longer = [tf.pad(it, [[0, 1], [0, 3], [0, 0]]) for it in (soft, logits)]
    assert float(loss(*longer)) == pytest.approx(float(loss(soft, logits)), rel=1e-6)


@pytest.mark.slow
def test_a_student_learns_the_predictions_of_its_teacher(data, teacher):
    student = Seq2Seq(LSTMEncoder(6, 8), LSTMDecoder(6, 8))
    student.compile(keras.optimizers.Adam(0.05), loss=DistillationLoss())
    student.fit(teach(data, teacher, 1.0).repeat(150), validation_data=data, verbose=0)
    inputs, labels = next(iter(data))
    real = labels.numpy() != 0
    ours, theirs = (tf.nn.softmax(model(inputs)).numpy()[real] for model in (student, teacher))
    np.testing.assert_allclose(ours, theirs, atol=0.05)


def test_a_weight_out_of_range_is_rejected(data, teacher):
    with pytest.raises(ValueError, match="`weight` must be a number between 0 and 1"):
        teach(data, teacher, 1.5)
