"""A packed training step equals a step on the padded batch."""

from __future__ import annotations

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.small import SOURCE_IDS, TARGET_INPUTS, TARGET_LABELS, TARGET_SIZE, make_model

from keras_s2s.losses import SequenceLoss
from keras_s2s.metrics import Perplexity, TokenAccuracy
from keras_s2s.models import Seq2Seq, batches
from keras_s2s.models.compile_arguments import check_metrics

INPUTS = {"source_ids": SOURCE_IDS, "target_inputs": TARGET_INPUTS}
BY_ROW = np.array([1.0, 0.5, 2.0], np.float32)
BY_TOKEN = np.linspace(0.5, 2.0, TARGET_LABELS.size, dtype=np.float32).reshape(TARGET_LABELS.shape)


@pytest.fixture(params=[1, 4], ids=["whole", "in parts of which one is empty"])
def parts(request, monkeypatch):
    monkeypatch.setattr(batches, "count_parts", lambda: request.param)
    return request.param


def padded_step(model, loss, sample_weight):
    """The loss, its gradients and the logits of the padded batch."""
    with tf.GradientTape() as tape:
        logits = model(INPUTS)
        value = loss(TARGET_LABELS, logits, sample_weight)
    return value, tape.gradient(value, model.trainable_weights), logits


def train_once(model, sample_weight=None, **kwargs):
    """Take one step of plain gradient descent at rate 1, and return the metrics."""
    model.compile(keras.optimizers.SGD(1.0), run_eagerly=True, **kwargs)
    return model.train_on_batch(INPUTS, TARGET_LABELS, sample_weight, return_dict=True)


def check_step(model, loss, sample_weight, **kwargs):
    """Check a step against the gradient of the padded batch; return metrics and logits."""
    expected, gradients, logits = padded_step(model, loss, sample_weight)
    before = model.get_weights()
    figures = train_once(model, sample_weight, loss=loss, **kwargs)
    assert figures["loss"] == pytest.approx(float(expected), abs=1e-6)
    for old, gradient, new in zip(before, gradients, model.get_weights(), strict=True):
        np.testing.assert_allclose(old - new, gradient, atol=1e-6)
    return figures, logits


@pytest.mark.parametrize("kind", ["no attention", "luong", "bahdanau"])
@pytest.mark.parametrize("sample_weight", [None, BY_ROW, BY_TOKEN], ids=["all", "row", "token"])
@pytest.mark.parametrize(
    "loss", [SequenceLoss(), SequenceLoss("token", label_smoothing=0.1)], ids=["sequence", "token"]
)
@pytest.mark.usefixtures("parts")
@pytest.mark.sampled(4)
def test_the_gradients_are_those_of_the_padded_batch(kind, sample_weight, loss):
    check_step(make_model(kind), loss, sample_weight)


@pytest.mark.parametrize("sample_weight", [None, BY_ROW, BY_TOKEN], ids=["all", "row", "token"])
@pytest.mark.usefixtures("parts")
@pytest.mark.sampled(3)
def test_the_metrics_are_those_of_the_padded_batch(sample_weight):
    plain, weighted = [TokenAccuracy(), Perplexity()], [Perplexity(name="weighted")]
    expected = [TokenAccuracy(), Perplexity(), Perplexity(name="weighted")]
    model = make_model("luong")
    figures, logits = check_step(
        model, SequenceLoss(), sample_weight, metrics=plain, weighted_metrics=weighted
    )
    for metric in expected:
        weights = sample_weight if metric.name == "weighted" else None
        metric.update_state(TARGET_LABELS, logits, weights)
        assert figures[metric.name] == pytest.approx(float(metric.result()), abs=1e-5)


def test_another_loss_gets_the_padded_logits():
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=0, reduction="mean_with_sample_weight"
    )
    check_step(make_model("luong"), loss, None)


def test_another_metric_gets_the_padded_logits():
    seen = []

    def look(y_true, y_pred):
        seen.append((y_true.shape, y_pred.shape))
        return tf.zeros(tf.shape(y_true))

    train_once(make_model("luong"), loss=SequenceLoss(), metrics=[look, Perplexity()])
    assert seen[-1] == (TARGET_LABELS.shape, (*TARGET_LABELS.shape, TARGET_SIZE))


@pytest.mark.usefixtures("parts")
@pytest.mark.sampled(1)
def test_the_loss_of_a_subclass_and_of_a_layer_are_kept():
    class Halved(Seq2Seq):
        def compute_loss(self, *arguments, **kwargs):
            return 0.5 * super().compute_loss(*arguments, **kwargs)

    model = make_model("luong")
    expected, *_ = padded_step(model, SequenceLoss(), None)
    halved = Halved(model.encoder, model.decoder)
    assert train_once(halved, loss=SequenceLoss())["loss"] == pytest.approx(float(expected) / 2)

    model = make_model("luong")
    model.decoder.logits.bias.regularizer = keras.regularizers.L2(0.1)
    added = float(sum(model.losses))
    assert added > 0.01
    assert train_once(model, loss=SequenceLoss())["loss"] == pytest.approx(float(expected) + added)


def test_a_weight_of_the_loss_is_kept():
    model = make_model("luong")
    expected, *_ = padded_step(model, SequenceLoss(), None)
    figures = train_once(model, loss=SequenceLoss(), loss_weights=0.25)
    assert figures["loss"] == pytest.approx(float(expected) / 4)


@pytest.mark.slow
def test_fit_in_parts_ends_where_fit_as_a_whole_does(monkeypatch):
    """In the graph, without dropout, with a last batch of one row."""
    ended = []
    for parts in (1, 2):
        monkeypatch.setattr(batches, "count_parts", lambda parts=parts: parts)
        model = make_model("luong")
        model.compile("adam", loss=SequenceLoss("token"), metrics=[TokenAccuracy()])
        history = model.fit(INPUTS, TARGET_LABELS, batch_size=2, epochs=2, shuffle=False, verbose=0)
        ended.append((model.get_weights(), history.history))
    (whole, figures), (halves, other_figures) = ended
    for first, second in zip(whole, halves, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)
    for name, values in figures.items():
        assert values == pytest.approx(other_figures[name], abs=1e-5)


@pytest.mark.parametrize(
    ("intra_op", "inter_op", "expected"),
    [(1, 2, 2), (1, 0, 2), (1, 4, 2), (1, 1, 1), (0, 0, 1), (2, 2, 1)],
)
@pytest.mark.parametrize("cores", [1, 2, 8])  # no weight depends on how many are visible
def test_batches_are_split_only_for_concurrent_threads(
    monkeypatch, intra_op, inter_op, cores, expected
):
    threads = tf.config.threading
    monkeypatch.setattr(threads, "get_intra_op_parallelism_threads", lambda: intra_op)
    monkeypatch.setattr(threads, "get_inter_op_parallelism_threads", lambda: inter_op)
    monkeypatch.setattr(batches.os, "sched_getaffinity", lambda _: set(range(cores)))
    assert batches.count_parts() == expected


@pytest.mark.parametrize("method", ["compile", "fit", "evaluate"])
def test_a_method_has_the_arguments_of_keras(method):
    ours, theirs = (
        {
            name: it.default
            for name, it in inspect.signature(getattr(owner, method)).parameters.items()
        }
        for owner in (Seq2Seq, keras.Model)
    )
    assert ours == theirs


PROBABILITIES = [
    "sparse_categorical_crossentropy",
    keras.losses.sparse_categorical_crossentropy,
    keras.losses.SparseCategoricalCrossentropy(),
    [keras.losses.SparseCategoricalCrossentropy()],
]


@pytest.mark.parametrize("loss", PROBABILITIES, ids=lambda loss: type(loss).__name__)
def test_a_loss_that_takes_probabilities_is_rejected(loss):
    message = r"^`loss` must take logits, which the model returns: use `SequenceLoss\(\)`, .*"
    with pytest.raises(ValueError, match=message):
        make_model("luong").compile("adam", loss=loss)


@pytest.mark.parametrize("argument", ["metrics", "weighted_metrics"])
@pytest.mark.parametrize("metric", ["crossentropy", keras.metrics.SparseCategoricalCrossentropy()])
def test_a_metric_that_takes_probabilities_is_rejected(argument, metric):
    with pytest.raises(ValueError, match=rf"`{argument}` must take logits, .* use `Perplexity"):
        make_model("luong").compile("adam", loss=SequenceLoss(), **{argument: [metric]})


DENSE = [
    "categorical_crossentropy",
    "kl_divergence",
    "mse",
    keras.losses.poisson,
    keras.losses.CategoricalCrossentropy(from_logits=True),
]


@pytest.mark.parametrize("loss", DENSE)
def test_a_loss_of_dense_targets_is_rejected(loss):
    message = (
        r"^`loss` must compare logits .* with target ids .*: use `SequenceLoss\(\)`, or .*Spars"
    )
    with pytest.raises(ValueError, match=message + r".* Received: loss=.*, which needs targets"):
        make_model("luong").compile("adam", loss=loss)


@pytest.mark.parametrize("metric", ["mae", "categorical_accuracy", keras.metrics.KLDivergence()])
def test_a_metric_of_dense_targets_is_rejected(metric):
    with pytest.raises(ValueError, match=r"`metrics` must compare logits .*: use `TokenAccuracy"):
        make_model("luong").compile("adam", loss=SequenceLoss(), metrics=["accuracy", metric])


@pytest.mark.parametrize("argument", ["metrics", "weighted_metrics"])
@pytest.mark.parametrize(
    "metric",
    [
        keras.metrics.SparseCategoricalAccuracy(),
        keras.metrics.sparse_categorical_accuracy,
        "SparseTopKCategoricalAccuracy",
        keras.metrics.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0),
        keras.metrics.MeanIoU(9, sparse_y_pred=False),
    ],
    ids=lambda metric: getattr(metric, "name", metric) if metric else None,
)
def test_a_metric_that_counts_padding_is_rejected(argument, metric):
    message = rf"^`{argument}` must ignore padding: use `TokenAccuracy\(\)` or `Perplexity.*, which"
    with pytest.raises(ValueError, match=message):
        make_model("luong").compile("adam", loss=SequenceLoss(), **{argument: [metric]})


def test_a_loss_may_be_given_as_a_class():
    model = make_model("luong")
    model.compile("adam", loss=SequenceLoss)
    assert isinstance(model.loss, SequenceLoss)


def test_a_loss_that_counts_padding_is_rejected():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with pytest.raises(ValueError, match="`loss` must ignore padding: use `SequenceLoss"):
        make_model("luong").compile("adam", loss=loss)


@pytest.mark.parametrize("name", ["accuracy", "acc", "sparse_categorical_accuracy"])
def test_the_accuracy_of_keras_ignores_padding(name):
    found = check_metrics("metrics", [name, {"out": "Accuracy"}, TokenAccuracy()])
    kinds = [type(metric) for metric in keras.tree.flatten(found)]
    assert kinds == [TokenAccuracy] * 3
    assert [metric.name for metric in keras.tree.flatten(found)] == [
        name,
        "Accuracy",
        "token_accuracy",
    ]
    assert check_metrics("metrics", None) is None


class OwnLoss(keras.losses.Loss):
    """A loss of the user."""

    def call(self, labels, logits):
        return tf.reduce_mean(logits, axis=-1)


@pytest.mark.parametrize(
    "loss",
    [
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0),
        lambda labels, logits: tf.reduce_mean(logits, axis=-1),
        keras.losses.CTC(),
        OwnLoss(),
        None,
    ],
    ids=["from logits", "a function", "one that takes ids", "a class", "none"],
)
def test_other_losses_are_the_user_s_own(loss):
    model = make_model("luong")
    model.compile("adam", loss=loss, metrics=["accuracy"])
    assert model.loss is loss


def test_weights_of_tokens_may_have_a_last_dimension_of_one():
    model, figures = make_model("luong"), []
    before = model.get_weights()
    for weights in (BY_TOKEN, BY_TOKEN[..., np.newaxis]):
        model.set_weights(before)
        figures.append((train_once(model, weights, loss=SequenceLoss()), model.get_weights()))
    (first, weights), (second, others) = figures
    assert first == second
    for ours, theirs in zip(weights, others, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("policy", ["bfloat16", "float16", "float64"])
def test_it_trains_under_any_policy(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = make_model("luong", dtype=policy)
    finally:
        keras.config.set_dtype_policy(before)
    assert np.isfinite(train_once(model, loss=SequenceLoss())["loss"])
