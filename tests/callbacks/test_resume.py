"""A resumed training ends with the same weights as an uninterrupted one, bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers.resumable import PAIRS, SOURCE, STEPS, TARGET, make_data, make_model, train

from keras_s2s.callbacks import Resume, resume, training_state
from keras_s2s.callbacks.training_state import continued_logs
from keras_s2s.data import make_dataset
from keras_s2s.files import locked
from keras_s2s.models import Seq2Seq

# TensorFlow's variables do not know NumPy 2's `copy` yet, and Keras averages them
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FILE = "training_state.npz"


class Interrupt(keras.callbacks.Callback):
    """Ends a training with an error after a number of batches."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def assert_same_weights(ours, theirs):
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(our, their)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return train(tmp_path_factory.mktemp("whole"))


@pytest.mark.slow
def test_killed_twice_at_any_step_it_ends_with_the_same_weights(uninterrupted, tmp_path):
    output = tmp_path / "weights.npz"
    first, second = np.sort(np.random.default_rng(0).choice(np.arange(1, 4 * STEPS), 2, False))
    for kill_at, code in ((first, -signal.SIGKILL), (second, -signal.SIGKILL), (0, 0)):
        command = [sys.executable, Path(__file__).parents[1] / "helpers" / "resumable.py"]
        arguments = [tmp_path / "state", output, str(kill_at)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        ended = subprocess.run([*command, *arguments], env=environment, check=False)
        # with the steps in sight
        assert (ended.returncode, first, second) == (code, first, second)
    with np.load(output) as found:
        perplexity = found["perplexity"]
        weights = [found[f"arr_{number}"] for number in range(len(found.files) - 1)]
    assert_same_weights(weights, uninterrupted.get_weights())
    np.testing.assert_array_equal(perplexity, uninterrupted.history.history["perplexity"])


@pytest.fixture(scope="module")
def model_of_start():
    """Return a compiled model with its initial weights."""
    model = make_model()
    variables, _ = model.training_variables()
    values = training_state.read_values(variables)

    def restarted():
        training_state.write_values(variables, values)
        return model

    return restarted


def fit(model, folder, *callbacks, data=None, epochs=2, every=3, **kwargs):
    """Train with a folder to resume from."""
    data = make_data() if data is None else data
    callbacks = [Resume(folder, every=every), *callbacks]
    return model.fit(data, epochs=epochs, verbose=0, callbacks=callbacks, **kwargs).history


def interrupted(model, folder, *callbacks, batches, **kwargs):
    with pytest.raises(KeyboardInterrupt):
        fit(model, folder, *callbacks, Interrupt(batches), **kwargs)


def state_of(model):
    return training_state.read_values(model.training_variables()[0])


def write_file(folder):
    path = folder / "pairs.tsv"
    path.write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS))
    return path


def shuffled_by_tensorflow(folder):
    return make_dataset(PAIRS, SOURCE, TARGET, batch_size=4).shuffle(4, seed=1)


DATA = {
    "in memory": lambda folder: make_data(),
    "from a file": lambda folder: make_dataset(
        write_file(folder), SOURCE, TARGET, batch_size=4, shuffle=True, seed=0
    ),
    "shuffled by TensorFlow": shuffled_by_tensorflow,
    "of unknown length": lambda folder: shuffled_by_tensorflow(folder).filter(lambda *_: True),
}


@pytest.mark.parametrize(
    ("data", "every"), [(data, "epoch" if "length" in data else 3) for data in DATA]
)
@pytest.mark.slow
def test_data_resumes_with_the_same_batches(data, every, model_of_start, tmp_path):
    def options():
        return {"data": DATA[data](tmp_path), "every": every}

    whole = fit(model_of_start(), tmp_path / "whole", **options())
    model = model_of_start()
    assert fit(model, tmp_path / "whole", **options()) == whole  # nothing is left to train
    expected = state_of(model)
    # in the second epoch, after a step that was not saved
    interrupted(model_of_start(), tmp_path / "parts", batches=STEPS + 5, **options())
    model = model_of_start()
    history = fit(model, tmp_path / "parts", **options())
    assert history == whole
    assert_same_weights(state_of(model), expected)


@pytest.mark.slow
def test_callbacks_remember_the_epochs_before(model_of_start, tmp_path):
    def callbacks():
        return [
            keras.callbacks.EarlyStopping(
                "loss", min_delta=0.6, patience=2, restore_best_weights=True
            ),
            keras.callbacks.ModelCheckpoint(
                tmp_path / "best.keras", monitor="loss", save_best_only=True
            ),
        ]

    model = model_of_start()
    whole = fit(model, tmp_path / "whole", *callbacks(), epochs=20)
    expected = model.get_weights()
    assert 3 < len(whole["loss"]) < 20

    for batches in (STEPS * (len(whole["loss"]) - 1) + 1, 3):
        interrupted(model_of_start(), tmp_path / "parts", *callbacks(), batches=batches, epochs=20)
    model = model_of_start()
    checkpoints = callbacks()
    assert fit(model, tmp_path / "parts", *checkpoints, epochs=20) == whole
    assert_same_weights(model.get_weights(), expected)
    assert checkpoints[1].best == min(whole["loss"])

    # it was stopped: the same command does not continue, but one with more epochs does
    model = model_of_start()
    assert fit(model, tmp_path / "parts", *callbacks(), epochs=20) == whole
    assert_same_weights(model.get_weights(), expected)
    longer = fit(model_of_start(), tmp_path / "parts", *callbacks(), epochs=21)
    assert len(longer["loss"]) == len(whole["loss"]) + 1  # and is stopped again


class StopAt(keras.callbacks.Callback):
    """Callback that stops training after some epochs, which a later `fit` may raise."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs, self.trained = epochs, 0

    state_attributes = ("trained",)

    def on_epoch_end(self, epoch, logs=None):
        self.trained = epoch + 1
        self.model.stop_training = self.is_over()

    def is_over(self):
        return self.trained >= self.epochs


def test_a_stopped_run_continues_once_its_callback_allows_it(model_of_start, tmp_path):
    def epochs_of(stop_at, epochs):
        return len(fit(model_of_start(), tmp_path, StopAt(stop_at), epochs=epochs)["loss"])

    assert epochs_of(1, epochs=4) == 1
    assert epochs_of(1, epochs=5) == 1
    assert epochs_of(2, epochs=5) == 2


@pytest.mark.slow
def test_with_more_epochs_it_continues(model_of_start, tmp_path):
    model = model_of_start()
    whole = fit(model, tmp_path / "whole", epochs=2)
    expected = state_of(model)
    fit(model_of_start(), tmp_path / "parts", epochs=1)
    model = model_of_start()
    assert fit(model, tmp_path / "parts", epochs=2) == whole
    assert_same_weights(state_of(model), expected)
    # another `fit` begins at the first epoch
    assert model.fit(make_data(), verbose=0).epoch == [0]


@pytest.mark.slow
def test_arrays_that_are_not_shuffled_are_accepted(model_of_start, tmp_path):
    (inputs, labels), *_ = make_dataset(PAIRS, SOURCE, TARGET, batch_size=len(PAIRS))
    inputs = {name: ids.numpy() for name, ids in inputs.items()}
    arrays = {"data": inputs, "y": labels.numpy(), "batch_size": 4, "shuffle": False}
    model = model_of_start()
    fit(model, tmp_path / "whole", **arrays)
    expected = state_of(model)
    interrupted(model_of_start(), tmp_path / "parts", batches=STEPS + 5, **arrays)
    model = model_of_start()
    fit(model, tmp_path / "parts", **arrays)
    assert_same_weights(state_of(model), expected)
    with pytest.raises(ValueError, match=r"arrays with shuffle=False. Received: .*, shuffled"):
        fit(model, tmp_path / "parts", **(arrays | {"shuffle": True}))


@pytest.mark.slow
def test_several_steps_in_one_execution_are_skipped_together(tmp_path):
    model = make_model(steps_per_execution=3)
    variables, _ = model.training_variables()
    start = training_state.read_values(variables)
    fit(model, tmp_path / "whole", epochs=1)
    expected = state_of(model)
    training_state.write_values(variables, start)
    interrupted(model, tmp_path / "parts", batches=2, epochs=1)
    training_state.write_values(variables, start)
    fit(model, tmp_path / "parts", epochs=1)
    assert_same_weights(state_of(model), expected)


@pytest.mark.slow
def test_interrupted_while_it_skips_it_trains_the_next_time(model_of_start, tmp_path):
    model = model_of_start()
    fit(model, tmp_path / "whole", epochs=1)
    expected = state_of(model)
    interrupted(model_of_start(), tmp_path / "parts", batches=5, epochs=1)
    model = model_of_start()
    interrupted(model, tmp_path / "parts", batches=1, epochs=1)
    fit(model, tmp_path / "parts", epochs=1)
    assert_same_weights(state_of(model), expected)


def test_an_incomplete_state_is_never_loaded(model_of_start, tmp_path, monkeypatch):
    fit(model_of_start(), tmp_path, epochs=1)
    before = (tmp_path / FILE).read_bytes()

    def cut_off(file, **arrays):
        file.write(before[: len(before) // 2])
        raise SystemExit("the machine went down")

    def left_behind(path):
        pass

    with monkeypatch.context() as broken:
        broken.setattr(np, "savez", cut_off)
        broken.setattr("keras_s2s.files.os.remove", left_behind)  # as a kill would have it
        with pytest.raises(SystemExit):
            fit(model_of_start(), tmp_path, epochs=2)
    assert (tmp_path / FILE).read_bytes() == before
    (unfinished,) = {path.name for path in tmp_path.iterdir()} - {FILE, ".lock"}
    assert FILE in unfinished
    assert len(fit(model_of_start(), tmp_path, epochs=2)["loss"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("damage", [b"", b"PK", None])
@pytest.mark.sampled(1)
def test_a_damaged_state_is_rejected(damage, model_of_start, tmp_path):
    fit(model_of_start(), tmp_path, epochs=1)
    content = bytearray((tmp_path / FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / FILE).write_bytes(content if damage is None else damage)
    with pytest.raises(ValueError, match=r"npz': it is damaged .* Remove it to start over"):
        fit(model_of_start(), tmp_path, epochs=2)


def test_the_state_of_another_model_is_rejected(model_of_start, tmp_path):
    fit(model_of_start(), tmp_path, epochs=1)
    other = make_model()
    other.compile("sgd", other.loss)
    with pytest.raises(ValueError, match="another model or optimizer: there are"):
        fit(other, tmp_path)
    state = training_state.load_state(str(tmp_path / FILE))
    wrong = [np.zeros([9, 9]), *state.variables[1:]]
    training_state.save_state(str(tmp_path / FILE), state._replace(variables=wrong))
    with pytest.raises(ValueError, match=r"has the shape .* not \(9, 9\)"):
        fit(model_of_start(), tmp_path)


def test_only_one_training_at_a_time_uses_a_folder(model_of_start, tmp_path):
    callback = Resume(tmp_path)
    with (
        locked(str(tmp_path / ".lock")),
        pytest.raises(BlockingIOError, match=rf"{tmp_path.name}' of `Resume` \(in use by process"),
    ):
        model_of_start().fit(make_data(), verbose=0, callbacks=[callback])
    assert not (tmp_path / FILE).exists()
    model_of_start().fit(make_data(), verbose=0, callbacks=[callback])
    assert os.listdir(tmp_path) == [FILE]


def test_steps_that_are_not_the_epochs_of_the_data_are_rejected(model_of_start, tmp_path):
    with pytest.raises(ValueError, match="Received: steps_per_epoch=3"):
        fit(model_of_start(), tmp_path, data=make_data().repeat(), steps_per_epoch=3)


def test_it_comes_after_the_others_or_is_moved_there(model_of_start, tmp_path):
    model = model_of_start()
    early = keras.callbacks.EarlyStopping("loss")
    in_order = keras.callbacks.CallbackList([Resume(tmp_path), early], model=model)
    for callbacks in (in_order, [Resume(tmp_path), Resume(tmp_path)]):
        with pytest.raises(ValueError, match="must be the last of the callbacks, and the only"):
            model.fit(make_data(), verbose=0, callbacks=callbacks)


def test_it_needs_the_fit_of_this_package(tmp_path):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="must be passed to the `fit` of a `Seq2Seq`"):
        model.fit(np.zeros([1, 1]), np.zeros([1, 1]), verbose=0, callbacks=[Resume(tmp_path)])


@pytest.mark.parametrize("every", [0, "step", 1.5, True])
def test_another_value_of_every_is_rejected(every, tmp_path):
    with pytest.raises(ValueError, match="`every` must be 'epoch' or a positive integer"):
        Resume(tmp_path, every=every)


@pytest.mark.parametrize("folder", ["", 3, None])
def test_it_needs_a_folder(folder):
    with pytest.raises(TypeError, match="`folder` must be the path of a folder"):
        Resume(folder)


@pytest.mark.slow
def test_the_states_of_several_machines_must_have_a_step_in_common(
    model_of_start, tmp_path, monkeypatch
):
    fit(model_of_start(), tmp_path, epochs=1)
    elsewhere: list[int] = []  # how far the other machine has come
    monkeypatch.setattr(resume, "has_workers", lambda strategy: True)
    monkeypatch.setattr(resume, "gather_from_workers", lambda _, own: [own, *elsewhere])
    fit(model_of_start(), tmp_path, epochs=2)  # both have the same
    assert (tmp_path / "training_state_before.npz").exists()
    elsewhere.append(7)
    with pytest.raises(
        ValueError, match="the states of the workers come from different training runs"
    ):
        fit(model_of_start(), tmp_path, epochs=3)


class Rates(keras.callbacks.Callback):
    """Sets the learning rate before each step, as a schedule does."""

    def on_train_batch_begin(self, batch, logs=None):
        step = int(self.model.optimizer.iterations.numpy())
        self.model.optimizer.learning_rate.assign(0.05 / (1 + step))


class InterruptValidation(keras.callbacks.Callback):
    """Ends a training with an error when an epoch is validated."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch, self._now = epoch, -1

    def on_epoch_begin(self, epoch, logs=None):
        self._now = epoch

    def on_test_begin(self, logs=None):
        if self._now == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_interrupted_in_a_validation_every_figure_is_that_of_the_uninterrupted_run(
    model_of_start, tmp_path
):
    def options(folder):
        folder.mkdir(exist_ok=True)
        rates = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.9 * rate)
        return [
            rates,
            Rates(),
            keras.callbacks.CSVLogger(folder / "log.csv"),
            keras.callbacks.ModelCheckpoint(
                folder / "{batch}.weights.h5", save_freq=2, save_weights_only=True
            ),
        ], {"validation_data": make_data(), "epochs": 3, "every": STEPS}

    def files(folder):
        weights = {path.name: path.read_bytes() for path in folder.glob("*.h5")}
        return (folder / "log.csv").read_text(), weights

    model = model_of_start()
    callbacks, arguments = options(tmp_path / "whole")
    whole = fit(model, tmp_path / "whole", *callbacks, **arguments)
    expected = state_of(model)
    for stop in (InterruptValidation(0), Interrupt(STEPS + 3), InterruptValidation(1)):
        model = model_of_start()
        callbacks, arguments = options(tmp_path / "parts")
        with pytest.raises(KeyboardInterrupt):
            fit(model, tmp_path / "parts", *callbacks, stop, **arguments)
        assert callbacks[2].append is False
    callbacks, arguments = options(tmp_path / "parts")
    model = model_of_start()
    assert fit(model, tmp_path / "parts", *callbacks, **arguments) == whole
    assert_same_weights(state_of(model), expected)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


@pytest.mark.slow
def test_a_rate_that_each_epoch_lowers_is_lowered_once(model_of_start, tmp_path):
    rates = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 * rate)
    model = model_of_start()
    whole = fit(model, tmp_path / "whole", rates)
    expected = state_of(model)
    interrupted(model_of_start(), tmp_path / "parts", rates, batches=STEPS + 5)
    model = model_of_start()
    assert fit(model, tmp_path / "parts", rates) == whole
    assert_same_weights(state_of(model), expected)


@pytest.mark.slow
def test_other_iterations_over_the_dataset_change_nothing(model_of_start, tmp_path):
    model = model_of_start()
    fit(model, tmp_path / "whole")
    expected = state_of(model)
    looked_at = make_data()
    for _ in range(3):
        next(iter(looked_at))
    fit(model_of_start(), tmp_path / "looked at", data=looked_at)
    assert_same_weights(state_of(model), expected)
    fit(model_of_start(), tmp_path / "parts", epochs=1)
    data = make_dataset(PAIRS, SOURCE, TARGET, batch_size=4, shuffle=True, seed=0, initial_epoch=1)
    model = model_of_start()
    fit(model, tmp_path / "parts", data=data)
    assert_same_weights(state_of(model), expected)


@pytest.mark.slow
def test_it_reports_where_a_training_resumes(model_of_start, tmp_path, capsys):
    def said(verbose=2, own=None, **kwargs):
        callbacks = [Resume(tmp_path, every=3, verbose=own), *kwargs.pop("callbacks", [])]
        model_of_start().fit(make_data(), verbose=verbose, callbacks=callbacks, **kwargs)
        return [line for line in capsys.readouterr().out.splitlines() if str(tmp_path) in line]

    assert said(epochs=1) == []
    with pytest.raises(KeyboardInterrupt):
        said(epochs=2, callbacks=[Interrupt(5)])
    capsys.readouterr()
    assert said(epochs=2) == [f"Resuming training in epoch 2 after step 3 (state: {tmp_path})"]
    assert said(epochs=3) == [f"Resuming training after epoch 2 (state: {tmp_path})"]
    nothing = [
        f"Nothing left to train: the run already ended after epoch 3 (state: {tmp_path}). "
        "To train longer, use more epochs"
    ]
    assert said(epochs=3) == said(verbose=0, own=True, epochs=3) == nothing
    assert said(verbose=0, epochs=3) == said(own=False, epochs=3) == []


def test_it_warns_if_the_number_of_threads_has_changed(
    model_of_start, tmp_path, monkeypatch, caplog
):
    fit(model_of_start(), tmp_path, epochs=1)
    fit(model_of_start(), tmp_path, epochs=1)
    assert caplog.messages == []
    cores = resume.count_cores()
    monkeypatch.setattr(resume, "count_cores", lambda: 64)
    fit(model_of_start(), tmp_path, epochs=1)
    (message,) = caplog.messages
    assert (
        f"started with another number of threads (intra-op threads: {cores}, parts of a batch: 1"
        in message
    )
    assert "than now (intra-op threads: 64, parts of a batch: 1), so the last" in message
    assert "the last bits of the weights will differ" in message


def test_it_hides_no_error_of_fit(model_of_start, tmp_path):
    model = make_model()
    model = Seq2Seq(model.encoder, model.decoder)
    with pytest.raises(ValueError, match=r"must call `compile\(\)`"):
        fit(model, tmp_path)
    with pytest.raises(ValueError, match="`validation_split` is only supported for"):
        fit(model_of_start(), tmp_path, validation_split=0.5)


def test_a_generator_cannot_be_read_again(model_of_start, tmp_path):
    batches = (batch for batch in make_data())
    with pytest.raises(ValueError, match=r"data that can be read again: .* Received: generator"):
        fit(model_of_start(), tmp_path, data=batches, shuffle=False)


def test_a_log_without_whole_rows_is_cut(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("epoch,loss,val_loss\r\n0,3,4\r\n1,2,3\r\n2,1")
    logger = keras.callbacks.CSVLogger(log)
    with continued_logs([logger, keras.callbacks.CSVLogger(tmp_path / "none.csv")], 1):
        assert logger.append
    assert not logger.append
    assert log.read_text().split() == ["epoch,loss,val_loss", "0,3,4"]
