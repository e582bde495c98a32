"""Ids of a model: outside the vocabulary in `fit` and `evaluate`, after eos, and shifted right."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_s2s import Ensemble, LSTMDecoder, LSTMEncoder, Seq2Seq, SequenceLoss, TokenAccuracy
from keras_s2s.distillation import DistillationLoss
from keras_s2s.models.ids import shift_right, until_eos

SIZES = {"source_ids": 10, "target_inputs": 12, "target_labels": 12}

# Ids, and the ids up to the first eos.
ROWS = {
    "padded": ([4, 3, 0, 0], [4, 3, 0, 0]),
    "more behind eos": ([4, 3, 5, 3], [4, 3, 0, 0]),
    "eos twice": ([3, 3, 3, 3], [3, 0, 0, 0]),
    "no eos": ([4, 5, 6, 4], [4, 5, 6, 4]),
    "padding in front and inside": ([0, 4, 0, 3], [0, 4, 0, 3]),
    "nothing but padding": ([0, 0, 0, 0], [0, 0, 0, 0]),
}


def make_batch(dtype="int32"):
    ids = {
        "source_ids": [[4, 5, 3], [9, 3, 0]],
        "target_inputs": [[2, 4], [2, 11]],
        "target_labels": [[4, 3], [11, 3]],
    }
    return {name: np.array(rows, dtype) for name, rows in ids.items()}


def make_dataset(batch):
    inputs = {name: batch[name] for name in ("source_ids", "target_inputs")}
    return tf.data.Dataset.from_tensors((inputs, batch["target_labels"]))


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    model = Seq2Seq(LSTMEncoder(10, 4), LSTMDecoder(12, 4))
    model.compile("sgd", loss=SequenceLoss(), metrics=[TokenAccuracy()])
    return model


@pytest.mark.parametrize("method", ["fit", "evaluate"])
@pytest.mark.parametrize("foreign", [-1, 12, 99])
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.sampled(4)
def test_an_id_outside_the_vocabulary_is_reported_with_its_position(model, name, foreign, method):
    batch = make_batch()
    batch[name][1, 1] = foreign
    before = model.get_weights()
    message = (
        rf"^`{name}` must lie in \[0, {SIZES[name]}\), the vocabulary of the model\. "
        rf"Received: id {foreign} in row 1 at position 1 of a batch\. Was the dataset "
    )
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(make_dataset(batch), verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_an_id_outside_the_vocabulary_is_reported_in_held_out_pairs(model):
    held_out = make_batch()
    held_out["source_ids"][0, 2] = 10
    with pytest.raises(ValueError, match=r"`source_ids` must lie .* id 10 in row 0 at position 2"):
        model.fit(make_dataset(make_batch()), validation_data=make_dataset(held_out), verbose=0)


@pytest.mark.parametrize(
    "setting", ["run_eagerly", pytest.param("own_outputs", marks=pytest.mark.slow)]
)
def test_an_id_outside_the_vocabulary_is_reported_by_every_kind_of_step(model, setting):
    if setting == "own_outputs":
        model.feed_own_outputs(0.5)
    else:
        model.compile("sgd", loss=SequenceLoss(), run_eagerly=True)
    batch = make_batch()
    batch["target_inputs"][0, 1] = 12
    with pytest.raises(ValueError, match=r"`target_inputs` must lie .* id 12 in row 0"):
        model.fit(make_dataset(batch), verbose=0)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.sampled(1)
def test_other_ids_are_trained_on(model, dtype):
    history = model.fit(make_dataset(make_batch(dtype)), verbose=0).history
    assert np.isfinite(history["loss"][0])


def test_errors_of_a_dataset_are_not_changed(model):
    def refuse(inputs, labels):
        with tf.control_dependencies([tf.debugging.Assert(labels[0, 0] < 0, ["a line of mine"])]):
            return inputs, tf.identity(labels)

    with pytest.raises(tf.errors.InvalidArgumentError, match="a line of mine"):
        model.fit(make_dataset(make_batch()).map(refuse), verbose=0)


@pytest.mark.parametrize("inputs", ["source_ids", "an array"])
def test_a_batch_without_target_inputs_is_rejected_by_naming_make_dataset(model, inputs):
    ids = make_batch()["source_ids"]
    given = {inputs: ids} if inputs == "source_ids" else ids
    message = r"such as those of `make_dataset.*Received: inputs="
    with pytest.raises(ValueError, match=message):
        model.fit(given, ids, verbose=0)
    with pytest.raises(ValueError, match=message):
        model.predict(given, verbose=0)
    with pytest.raises(ValueError, match=message):
        model(given)
    with pytest.raises(ValueError, match=message):
        Ensemble([model])(given)


def test_methods_for_one_batch_report_a_wrong_id_in_one_line(model):
    inputs = make_batch()
    labels = inputs.pop("target_labels")
    wrong = {**inputs, "source_ids": np.full_like(inputs["source_ids"], 99)}
    message = r"^`source_ids` must lie in \[0, 10\).* id 99 in row 0 at position 0"
    for method in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match=message):
            method(wrong, labels)
        assert np.isfinite(method(inputs, labels)).all()
    with pytest.raises(ValueError, match=message):
        model.predict_on_batch(wrong)
    assert model.predict_on_batch(inputs).shape[:2] == labels.shape


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_data_can_be_corrected_after_an_error_in_the_first_trace(model, method):
    right = make_dataset(make_batch())
    wrong = right.map(lambda inputs, labels: (inputs["source_ids"], labels))
    with pytest.raises(ValueError, match=r"Received: inputs=an array of shape \(2, 3\)"):
        getattr(model, method)(wrong, verbose=0)
    getattr(model, method)(right, verbose=0)


@pytest.mark.slow
def test_held_out_data_can_be_corrected_after_an_error(model):
    right = make_dataset(make_batch())
    wrong = right.map(lambda inputs, labels: (inputs["source_ids"], labels))
    with pytest.raises(ValueError, match="The inputs of a model must be a dict"):
        model.fit(right, validation_data=wrong, verbose=0)
    assert "val_loss" in model.fit(right, validation_data=right, verbose=0).history


def test_pairs_in_place_of_a_dataset_are_not_printed_in_full(model):
    message = r"`make_dataset\(pairs, source, target\)`.*inputs=\[\('a', 'b'\), .*, \.\.\.\]$"
    with pytest.raises(ValueError, match=message):
        model.fit([("a", "b")] * 99, verbose=0)


def test_inputs_must_have_the_same_rows(model):
    with pytest.raises(
        ValueError, match=r"same number of rows. Received: shapes \(2, 3\) and \(1, 2"
    ):
        model({**make_batch(), "target_inputs": np.array([[2, 4]])})


def test_labels_must_match_the_target_inputs(model):
    inputs, labels = next(iter(make_dataset(make_batch())))
    with pytest.raises(ValueError, match=r"`target_labels` must have the shape of `target_inp"):
        model.fit(inputs, labels[:, :1], verbose=0)
    with pytest.raises(ValueError, match=r"`fit` and `evaluate` need target labels"):
        model.evaluate(inputs, verbose=0)


@pytest.mark.parametrize("method", ["fit", "train_on_batch", "evaluate"])
@pytest.mark.parametrize("kind", ["ids", "ids of rank 3", "distributions"])
@pytest.mark.sampled(3)
def test_a_label_at_padding_of_the_inputs_is_reported_with_its_position(model, method, kind):
    batch = make_batch()
    batch["target_inputs"][:] = [[2, 4], [0, 11]]  # a start id of 0 is padding
    labels = batch["target_labels"]
    if kind == "ids of rank 3":
        labels = labels[..., np.newaxis]
    if kind == "distributions":
        model = Seq2Seq(LSTMEncoder(10, 4), LSTMDecoder(12, 4))
        model.compile("sgd", loss=DistillationLoss())
        labels = np.eye(12, dtype=np.float32)[labels]
    inputs = {name: batch[name] for name in ("source_ids", "target_inputs")}
    before = model.get_weights()
    message = (
        r"^`target_inputs` must begin with bos \(2\), and be 0 only where `target_labels` are "
        r"padding too\. Received: 0 in row 1 at position 0 of a batch, where the label is not "
        r"padding$"
    )
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(inputs, labels)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("kind", ["ids", "distributions"])
def test_a_label_may_be_padding_where_the_input_is_not(kind):
    """The inputs may be all ids of a target but the last, also of one that is padded."""
    ids = np.array([[2, 4, 5, 3], [2, 4, 3, 0]])
    inputs = {"source_ids": make_batch()["source_ids"], "target_inputs": ids[:, :-1]}
    labels, loss = ids[:, 1:], SequenceLoss()
    if kind == "distributions":
        labels = np.eye(12, dtype=np.float32)[labels] * (labels != 0)[..., np.newaxis]
        loss = DistillationLoss()
    model = Seq2Seq(LSTMEncoder(10, 4), LSTMDecoder(12, 4))
    model.compile(keras.optimizers.SGD(0.0), loss=loss)
    evaluated = model.evaluate(inputs, labels, verbose=0)
    assert model.train_on_batch(inputs, labels) == pytest.approx(evaluated, abs=1e-6)


def test_an_id_outside_the_vocabulary_is_reported_without_labels(model):
    inputs = {"source_ids": np.array([[4, 10]]), "target_inputs": np.array([[2]])}
    message = r"`source_ids` must lie in \[0, 10\), .* Received: id 10 in row 0 at position 1"
    with pytest.raises(ValueError, match=message):
        model.predict(inputs, verbose=0)
    with pytest.raises(ValueError, match=message):
        model(inputs)


@pytest.mark.parametrize(("given", "left"), ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_what_follows_the_first_eos_becomes_padding(given, left, dtype):
    ids = tf.constant([given, [5, 5, 5, 3]], dtype)
    assert until_eos(ids).dtype == dtype
    np.testing.assert_array_equal(until_eos(ids), [left, [5, 5, 5, 3]])
    np.testing.assert_array_equal(until_eos(ids[0]), left)


def test_inputs_are_the_targets_one_step_later():
    target_ids = tf.constant([[4, 5, 3], [3, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(shift_right(target_ids, 2), [[2, 4, 5], [2, 0, 0], [0, 0, 0]])
