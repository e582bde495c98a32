"""Private parts of Keras: each test names what a new version would break."""

from __future__ import annotations

import ast
import contextlib
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.small import SOURCE_IDS, TARGET_INPUTS, TARGET_LABELS, TARGET_SIZE, make_model

import keras_s2s
from keras_s2s import keras_private
from keras_s2s.losses import SequenceLoss
from keras_s2s.metrics import Perplexity, TokenAccuracy

INPUTS = {"source_ids": SOURCE_IDS, "target_inputs": TARGET_INPUTS}
LOGITS = tf.zeros([*TARGET_LABELS.shape, TARGET_SIZE])
# Objects of Keras in our code, by the names that we give them.
KERAS_OBJECTS = {"model", "optimizer", "adam", "callback", "keras", "Model"}


def private_uses(path):
    """Private attributes of what is an object of Keras by its name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr[0] == "_" and node.attr[:2] != "__":
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if name in KERAS_OBJECTS:
                yield f"{path.name}:{node.lineno} {name}.{node.attr}"


def test_no_other_module_touches_a_private_part_of_keras():
    package = Path(keras_s2s.__file__).parent
    paths = [path for path in package.rglob("*.py") if path.name != "keras_private.py"]
    assert len(paths) > 50
    assert [use for path in paths for use in private_uses(path)] == []
    private = {name for name in dir(keras.Model) if name[0] == "_" and name[:2] != "__"}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                assert node.name not in private, f"{path}: overrides {node.name}"


def compiled_model(**kwargs):
    model = make_model("luong")
    model.compile("sgd", loss=SequenceLoss(), run_eagerly=True, **kwargs)
    return model


def test_the_loss_of_an_epoch_is_the_mean_that_the_tracker_keeps():
    """`Model._loss_tracker`."""
    model = compiled_model()
    keras_private.track_loss(model, tf.constant(1.0), tf.constant(1))
    keras_private.track_loss(model, tf.constant(5.0), tf.constant(3))
    assert float(model.get_metrics_result()["loss"]) == 4.0


def test_the_validation_data_of_a_failed_fit_are_forgotten():
    """`Model._eval_epoch_iterator`; tests/models/test_ids.py has a `fit` that fails."""
    model = compiled_model()
    with contextlib.suppress(RuntimeError), keras_private.forget_validation_data(model):
        model._eval_epoch_iterator = iter(())
        raise RuntimeError
    assert model._eval_epoch_iterator is None


def test_a_compute_loss_without_the_argument_training_is_called():
    """`Model._compute_loss`."""

    class Own(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            return y_pred

    for training in (False, True):
        assert keras_private.compute_loss(Own(), None, None, 7, None, training=training) == 7


def test_added_losses_are_those_of_layers_and_weights():
    """`Model._aggregate_additional_loss`."""
    model = compiled_model()
    model.decoder.logits.bias.assign(np.ones(TARGET_SIZE))
    model.decoder.logits.bias.regularizer = keras.regularizers.L2(0.5)
    (loss,) = keras_private.added_losses(model)
    assert float(loss) == pytest.approx(TARGET_SIZE / 2)


def test_weights_of_the_loss_are_found():
    """`CompileLoss._user_loss_weights`."""
    assert not keras_private.has_loss_weights(compiled_model())
    assert keras_private.has_loss_weights(compiled_model(loss_weights=0.5))


def test_the_compiled_metrics_are_known_once_they_are_built():
    """`Model._compile_metrics`, and its `built`, `build` and `metrics`."""
    assert keras_private.compiled_metrics(compiled_model()) == []
    metrics = [Perplexity(), TokenAccuracy()]
    model = compiled_model(metrics=metrics[:1], weighted_metrics=metrics[1:])
    assert keras_private.compiled_metrics(model) is None
    keras_private.build_metrics(model, tf.constant(TARGET_LABELS), LOGITS)
    assert keras_private.compiled_metrics(model) == metrics
    keras_private.build_metrics(model, tf.constant(TARGET_LABELS), LOGITS)  # built already


def test_fit_begins_with_the_epoch_that_is_set():
    """`Model._initial_epoch`."""
    model = compiled_model()

    class Begin(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            keras_private.set_initial_epoch(self.model, 2)

    assert model.fit(INPUTS, TARGET_LABELS, epochs=3, verbose=0, callbacks=[Begin()]).epoch == [2]
    keras_private.set_initial_epoch(model, None)
    assert model.fit(INPUTS, TARGET_LABELS, epochs=2, verbose=0).epoch == [0, 1]


def test_fit_builds_through_the_method_that_is_replaced():
    """`Model._maybe_symbolic_build`; tests/integration/test_distributed_fit.py runs it."""
    assert callable(keras.Model._maybe_symbolic_build)
    model = compiled_model()
    assert model._distribute_strategy is None
    keras_private.maybe_symbolic_build(model, iter([]))  # nothing to do on one device


def test_weights_of_a_mixed_policy_are_read_in_float32():
    """`AutocastScope`."""

    class Reads(keras.layers.Layer):
        def build(self, _):
            self.kernel = self.add_weight(shape=(1,))

        def call(self, inputs):
            with keras_private.without_autocast():
                outside = self.kernel.value.dtype
            assert (self.kernel.value.dtype, outside) == (tf.bfloat16, tf.float32)
            return inputs

    Reads(dtype="mixed_bfloat16")(tf.zeros([1]))


def test_the_moments_of_adam_are_found_by_the_variable():
    """`Adam._momentums`, `Adam._velocities`, `Optimizer._get_variable_index`."""
    variables = [keras.Variable([1.0]), keras.Variable([2.0, 3.0])]
    adam = keras.optimizers.Adam()
    adam.build(variables)
    for variable in variables:
        for slot in keras_private.adam_slots(adam, variable.value):
            assert slot.shape == variable.shape
            assert "m" in slot.name or "v" in slot.name


@pytest.mark.parametrize("kind", keras_private.CALLBACK_STATE, ids=lambda kind: kind.__name__)
def test_callbacks_keep_their_state_under_the_names_that_are_saved(kind):
    """The attributes of Keras's callbacks."""
    folder = {"filepath": "a.keras"} if kind is keras.callbacks.ModelCheckpoint else {}
    callback = kind(**folder)
    if isinstance(callback, keras.callbacks.EarlyStopping):
        callback.on_train_begin()
    missing = [it for it in keras_private.CALLBACK_STATE[kind] if not hasattr(callback, it)]
    assert missing == []


def test_all_layers_are_found_at_every_depth():
    inner = keras.layers.Dense(2)
    outer = keras.Sequential([keras.Sequential([inner])])
    outer.build((None, 3))
    found = keras_private.all_layers(outer)
    assert outer in found
    assert inner in found


@pytest.mark.usefixtures("onednn")
def test_the_product_of_onednn_is_that_of_tensorflow():
    a, b = tf.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), tf.constant([[1.0, 0.5, -1.0]])
    run = tf.function(keras_private.onednn_product, autograph=False)
    np.testing.assert_allclose(run(a, b, transpose_b=True), tf.matmul(a, b, transpose_b=True))
    np.testing.assert_allclose(run(a, a, transpose_a=True), tf.matmul(a, a, transpose_a=True))
