"""The fused update of Adam is the update of Keras."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.small import SOURCE_IDS, TARGET_INPUTS, TARGET_LABELS, make_model

from keras_s2s.losses import SequenceLoss
from keras_s2s.optimizers import FusedAdam, without_optimizers

INPUTS = {"source_ids": SOURCE_IDS, "target_inputs": TARGET_INPUTS}


def trained(adam, options, **kwargs) -> list[np.ndarray]:
    """Train, and return the weights and the state of the optimizer."""
    model = make_model("luong", **kwargs)
    model.compile(adam(0.01, **options), loss=SequenceLoss())
    model.fit(INPUTS, TARGET_LABELS, batch_size=1, epochs=2, shuffle=False, verbose=0)
    return [variable.numpy() for variable in (*model.weights, *model.optimizer.variables)]


@pytest.mark.parametrize(
    "options",
    [
        {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3, "gradient_accumulation_steps": 2},
        {"global_clipnorm": 0.1, "use_ema": True, "ema_momentum": 0.5, "weight_decay": 0.1},
        {"amsgrad": True},
    ],
    ids=["other rates, accumulation", "clipping, average, decay", "amsgrad"],
)
@pytest.mark.slow
def test_it_is_the_update_of_keras(options):
    fused, expected = (trained(adam, options) for adam in (FusedAdam, keras.optimizers.Adam))
    for ours, theirs in zip(fused, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def operations_of_a_step(optimizer, variable) -> list[str]:
    @tf.function
    def step():
        gradient = optimizer.scale_loss(tf.constant([0.5, -3.0]))
        optimizer.apply_gradients([(gradient, variable)])

    graph = step.get_concrete_function().graph.as_graph_def()
    step()
    nodes = [*graph.node, *(node for called in graph.library.function for node in called.node_def)]
    return [node.op for node in nodes]


@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "loss scaled"])
def test_the_update_is_one_operation(scaled):
    variable, optimizer = keras.Variable([1.0, 2.0]), FusedAdam(0.1)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build([variable])
    operations = operations_of_a_step(optimizer, variable)
    assert operations.count("ResourceApplyAdam") == 1
    assert "Sqrt" not in operations
    np.testing.assert_allclose(variable.numpy(), [0.9, 2.1], atol=1e-6)


def test_adam_by_its_name_is_fused_and_other_optimizers_are_the_user_s_own():
    model = make_model("luong")
    for name in ("adam", "Adam"):
        model.compile(name, loss=SequenceLoss())
        assert type(model.optimizer) is FusedAdam
    for optimizer in (keras.optimizers.Adam(), keras.optimizers.SGD()):
        model.compile(optimizer, loss=SequenceLoss())
        assert model.optimizer is optimizer


def test_it_continues_from_the_state_of_keras_s_adam():
    """And vice versa: the state is identical."""
    variable = keras.Variable([1.0, 2.0])
    adams = [FusedAdam(0.1), keras.optimizers.Adam(0.1)]
    for first, then in (adams, adams[::-1]):
        first.apply_gradients([(tf.constant([0.5, -3.0]), variable)])
        then.build([variable])
        store: dict[str, np.ndarray] = {}
        first.save_own_variables(store)
        then.load_own_variables(store)
        for ours, theirs in zip(then.variables, first.variables, strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_it_is_saved_and_loaded_with_its_arguments():
    config = keras.saving.serialize_keras_object(FusedAdam(0.25, beta_1=0.5, global_clipnorm=2.0))
    loaded = keras.saving.deserialize_keras_object(config)
    assert type(loaded) is FusedAdam
    assert (float(loaded.learning_rate), loaded.beta_1, loaded.global_clipnorm) == (0.25, 0.5, 2.0)


def fail_without_optimizers(models):
    with without_optimizers(models):
        assert models[0].optimizer is None
        raise OSError("disk full")


def test_optimizers_are_detached_and_restored_even_after_an_error():
    trained, untrained = make_model("luong"), make_model("luong")
    optimizer = keras.optimizers.Adam()
    trained.compile(optimizer, loss=SequenceLoss())
    with pytest.raises(OSError, match="disk full"):
        fail_without_optimizers([trained, untrained])
    assert trained.optimizer is optimizer
    assert getattr(untrained, "optimizer", None) is None


def test_a_model_that_is_named_twice_keeps_its_optimizer():
    model = make_model("luong")
    model.compile("sgd", loss=SequenceLoss())
    optimizer = model.optimizer
    with without_optimizers([model, model]):
        assert model.optimizer is None
    assert model.optimizer is optimizer
