"""`class_weight` weights each label; padding is ignored."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.small import TARGET_LABELS, TARGET_SIZE, inputs, make_model

from keras_s2s.losses import SequenceLoss
from keras_s2s.metrics import Perplexity
from keras_s2s.models import class_weight as class_weight_module

WEIGHTS = {4: 100.0, 3: 0.5}
TABLE = np.array([WEIGHTS.get(number, 1.0) for number in range(TARGET_SIZE)])


class Batches(keras.utils.PyDataset):
    """The batch as a `PyDataset` that notes its epochs."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_epoch_begin(self):
        self.calls.append("begin")

    def on_epoch_end(self):
        self.calls.append("end")

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return inputs(), TARGET_LABELS


def dataset():
    return tf.data.Dataset.from_tensors((inputs(), TARGET_LABELS))


def generator():
    yield inputs(), TARGET_LABELS


DATA = {
    "arrays": lambda: {"x": inputs(), "y": TARGET_LABELS, "shuffle": False},
    "labels (batch, length, 1)": lambda: {"x": inputs(), "y": TARGET_LABELS[:, :, np.newaxis]},
    "dataset": lambda: {"x": dataset()},
    "generator": lambda: {"x": generator(), "shuffle": False, "steps_per_epoch": 1},
    "PyDataset": lambda: {"x": Batches()},
}


@pytest.fixture(scope="module")
def model():
    model = make_model("luong")
    # nothing is learned, so that every `fit` has the loss of the same weights
    model.compile(
        keras.optimizers.SGD(0.0), loss=SequenceLoss("token"), weighted_metrics=[Perplexity()]
    )
    return model


def expected(model, table=TABLE):
    logits = np.asarray(model(inputs()), np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    nll = -np.take_along_axis(log_probs, TARGET_LABELS[:, :, np.newaxis], axis=2)[:, :, 0]
    weights = table[TARGET_LABELS] * (TARGET_LABELS != 0)
    return (weights * nll).sum() / weights.sum()


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.sampled(1)
def test_every_label_has_its_weight(kind, model):
    history = model.fit(**DATA[kind](), class_weight=WEIGHTS, verbose=0).history
    assert history["loss"][0] == pytest.approx(expected(model), rel=1e-5)
    assert history["perplexity"][0] == pytest.approx(np.exp(expected(model)), rel=1e-4)


def test_a_py_dataset_is_weighted_without_tensorflow(monkeypatch):
    monkeypatch.setattr(class_weight_module, "tf", None)  # which may hang in a forked worker
    batches = class_weight_module._WeightedBatches(Batches(), TABLE)
    np.testing.assert_array_equal(batches[0][2], TABLE[TARGET_LABELS])


def test_a_py_dataset_is_told_of_its_epochs(model):
    plain, weighted = Batches(), Batches()
    model.fit(plain, epochs=2, verbose=0)
    model.fit(weighted, epochs=2, class_weight=WEIGHTS, verbose=0)
    assert weighted.calls == plain.calls
    assert {"begin", "end"} == set(plain.calls)


def test_a_single_batch_is_weighted_too(model):
    loss, _ = model.train_on_batch(inputs(), TARGET_LABELS, class_weight=WEIGHTS)
    assert loss == pytest.approx(expected(model), rel=1e-5)


def test_padding_never_counts(model):
    data = {"x": inputs(), "y": TARGET_LABELS, "verbose": 0}
    weighted = model.fit(**data, class_weight={0: 100.0}).history["loss"]
    assert weighted == pytest.approx(model.fit(**data).history["loss"], rel=1e-6)


def test_class_weights_do_not_apply_to_validation_data(model):
    twice = {name: np.concatenate([ids, ids]) for name, ids in inputs().items()}
    labels = np.concatenate([TARGET_LABELS, TARGET_LABELS])
    history = model.fit(
        twice, labels, validation_split=0.5, shuffle=False, class_weight=WEIGHTS, verbose=0
    ).history
    np.testing.assert_allclose(history["loss"], expected(model), rtol=1e-5)
    np.testing.assert_allclose(
        history["val_loss"], expected(model, np.ones(TARGET_SIZE)), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ([1.0, 2.0], "`class_weight` must be a dict of weights by target id"),
        ({TARGET_SIZE: 1.0}, r"must have target ids in \[0, 7\) as its keys. Received: 7"),
        ({-1: 1.0}, r"must have target ids in \[0, 7\) as its keys. Received: -1"),
        ({"a": 1.0}, "as its keys. Received: 'a'"),
        ({4: -1.0}, r"`class_weight\[4\]` must be a number of at least 0"),
        ({4: "1"}, r"`class_weight\[4\]` must be a number of at least 0"),
    ],
)
def test_invalid_weights_are_rejected(class_weight, message, model):
    with pytest.raises(ValueError, match=message):
        model.fit(inputs(), TARGET_LABELS, class_weight=class_weight, verbose=0)


def test_both_kinds_of_weights_are_rejected(model):
    with pytest.raises(ValueError, match="`class_weight` and `sample_weight` cannot be combined"):
        model.fit(inputs(), TARGET_LABELS, sample_weight=np.ones(3), class_weight=WEIGHTS)
    data = dataset().map(lambda x, y: (x, y, tf.ones([3])))
    with pytest.raises(ValueError, match="`class_weight` and `sample_weight` cannot be combined"):
        model.fit(data, class_weight=WEIGHTS, verbose=0)


def test_a_distributed_dataset_is_rejected(model):
    distributed = tf.distribute.MirroredStrategy(["CPU:0"]).experimental_distribute_dataset(
        dataset()
    )
    with pytest.raises(TypeError, match="`class_weight` needs the dataset before it is distrib"):
        model.fit(distributed, class_weight=WEIGHTS, verbose=0)


@pytest.mark.parametrize("is_dataset", [False, True])
def test_an_id_outside_the_vocabulary_is_still_rejected_with_its_place(is_dataset, model):
    labels = TARGET_LABELS.copy()
    labels[1, 0] = 99
    data = {"x": inputs(), "y": labels, "shuffle": False}
    if is_dataset:
        data = {"x": tf.data.Dataset.from_tensors((inputs(), labels))}
    with pytest.raises(ValueError, match=r"target_labels.* id 99 in row 1 at position 0"):
        model.fit(**data, class_weight=WEIGHTS, verbose=0)
