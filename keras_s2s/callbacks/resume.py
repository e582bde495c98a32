"""A training that goes on where it was interrupted."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_s2s.callbacks.callback_state import read_callbacks, restore_callbacks
from keras_s2s.callbacks.training_state import (
    TrainingState,
    load_state,
    read_values,
    save_state,
    write_values,
)
from keras_s2s.checks import check_int
from keras_s2s.files import remove_unfinished
from keras_s2s.keras_private import set_initial_epoch
from keras_s2s.replicas import gather_from_workers, has_workers

_FILE = "training_state.npz"
_FILE_BEFORE = "training_state_before.npz"  # the one before it, on several machines


class Resume(keras.callbacks.Callback):
    """Keeps the state of a training in a folder, so that the same command goes on from there.

    After an interruption at any moment, a kill or a power failure too, the same program run again
    trains what is left, and ends with the same weights, bit for bit, as if it had never been
    interrupted. When all is trained already it trains nothing and has the final weights; with more
    `epochs` it goes on. To begin anew, remove the folder.

    Kept are: weights, the optimiser with its step, learning rate, averages and accumulated
    gradients, the seeds of dropout and of sampling, the sums of the metrics, the history, and what
    `EarlyStopping`, `ReduceLROnPlateau`, `ModelCheckpoint`, `SwapEMAWeights` and
    `SearchEvaluation` know; of other callbacks the attributes that they name in a tuple
    `state_attributes`. The file is written beside and then renamed: there never is half of one.

    **Data** must be a `tf.data.Dataset` that gives the same batches again: one of `make_dataset`
    with a seed, or one whose order depends on its seeds and on how often it was iterated over; or
    arrays with `shuffle=False`. Batches of the interrupted epoch that were trained already are
    read again, not trained: for them the callbacks are called again, and the progress bar runs
    quickly.

    **Several machines** (`MultiWorkerMirroredStrategy`) keep a state each, in folders of their own,
    and go on together from the last one that all of them have.

    Args:
        folder: where the state is kept; one for each training, and for each worker.
        every: "epoch", or a number of steps, after which the state is kept too. It is three times
            as large as the weights with Adam: not every step, if that is to cost nothing.

    Raises:
        TypeError: if the model is none of this package.
        ValueError: if the data does not go by epochs that can be repeated, what is in the folder
            is damaged or belongs to another model, or `every` is something else.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> pairs = [("ab", "A B"), ("b", "B")]
        >>> source = CharTokenizer.train(source for source, _ in pairs)
        >>> target = WordTokenizer.train(target for _, target in pairs)
        >>> def train(epochs):
        ...     model = Seq2Seq(LSTMEncoder(source.vocabulary_size, 4),
        ...                     LSTMDecoder(target.vocabulary_size, 4))
        ...     model.compile("adam", loss=SequenceLoss())
        ...     dataset = make_dataset(pairs, source, target, shuffle=True, seed=0)
        ...     return model.fit(dataset, epochs=epochs, verbose=0, callbacks=[Resume(folder)])
        >>> first = train(epochs=1)
        >>> train(epochs=3).epoch
        [0, 1, 2]
    """

    def __init__(self, folder: str | os.PathLike[str], *, every: str | int = "epoch") -> None:
        super().__init__()
        if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
            raise TypeError(f"`folder` must be the path of a folder. Received: folder={folder!r}")
        self.folder = os.path.abspath(os.fsdecode(folder))
        self.every = check_every(every)
        self._path = os.path.join(self.folder, _FILE)
        self._path_before = os.path.join(self.folder, _FILE_BEFORE)
        self._data: Any = None
        self._state: TrainingState | None = None
        self._callbacks: list[keras.callbacks.Callback] = []
        self._epoch = self._steps = self._left_to_skip = 0

    def check_data(self, given: dict[str, Any]) -> None:
        """Take note of what `fit` trains on, refuse what cannot be read a second time.

        Args:
            given: the arguments of `fit`.

        Raises:
            ValueError: if the batches of an epoch cannot be known.
        """
        if given.get("steps_per_epoch") is not None:
            raise ValueError(
                "`Resume` needs epochs that are the dataset's own. "
                f"Received: steps_per_epoch={given['steps_per_epoch']!r}"
            )
        data = given.get("x")
        is_dataset = isinstance(data, tf.data.Dataset | tf.distribute.DistributedDataset)
        if not is_dataset and given.get("shuffle", True):
            raise ValueError(
                "`Resume` needs batches that can be given again: a dataset, such as that of "
                f"`make_dataset`, or arrays with shuffle=False. Received: {type(data)}, shuffled"
            )
        self._data = data if is_dataset else ()

    def check_place(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Take note of the other callbacks, refuse to stand in front of one.

        Args:
            callbacks: all callbacks of a `fit`, in their order.

        Raises:
            ValueError: if one that has a state is behind this one.
        """
        keras_own = (keras.callbacks.History, keras.callbacks.ProgbarLogger)
        others = [it for it in callbacks if not isinstance(it, keras_own)]
        if others[-1] is not self:
            raise ValueError(
                "`Resume` must be the last of the callbacks, and the only one of its kind. "
                f"Received: a `{type(others[-1]).__name__}` behind it"
            )
        self._callbacks = others[:-1]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._data is None:
            raise TypeError(f"`Resume` needs the `fit` of a `Seq2Seq`. Received: {self.model!r}")
        os.makedirs(self.folder, exist_ok=True)
        remove_unfinished(self.folder)
        self._state = state = self._load()
        if state is None:
            return
        variables, _ = self.model.training_variables()
        self._assign(variables, state.variables)
        restore_callbacks(self._callbacks, state.callbacks)
        set_initial_epoch(self.model, self.params["epochs"] if state.stopped else state.epoch)
        if not state.stopped:
            _advance(self._data, state.epoch)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._steps = epoch, 0
        self._restore_history()
        state, self._state = self._state, None
        if state is not None and state.steps:
            self._assign(self.model.training_variables()[1], state.metrics)
            self._left_to_skip = state.steps
            self.model.train_function = self._skipping(self.model.train_function)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        before, self._steps = self._steps, batch + 1
        if self.every == "epoch" or self._left_to_skip:
            return
        if self._steps // self.every > before // self.every:
            self._save(self._epoch, self._steps, self._history({}))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._save(epoch + 1, 0, self._history(logs or {}))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._restore_history()  # where there was nothing left to train

    def release(self) -> None:
        """Let go of what belongs to one `fit`, which may have been interrupted."""
        if self._left_to_skip:
            self.model.train_function = None
        self._left_to_skip = 0
        self._state = self._data = None
        self._callbacks = []
        set_initial_epoch(self.model, None)  # the next `fit` is another one

    def _skipping(self, train: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Wrap a training function: first read the batches that were trained already."""

        def skip(iterator: Any) -> Any:
            for _ in range(self.model.steps_per_execution):
                next(iterator, None)
            self._left_to_skip = max(0, self._left_to_skip - self.model.steps_per_execution)
            if not self._left_to_skip:
                self.model.train_function = train
            return self.model.get_metrics_result()

        return skip

    @property
    def _has_workers(self) -> bool:
        """Whether other machines take part, each with a state of its own."""
        return has_workers(self.model.distribute_strategy)

    def _load(self) -> TrainingState | None:
        """Read the state; on several machines the last one that all of them have."""
        state = load_state(self._path)
        if not self._has_workers:
            return state
        states = [state, load_state(self._path_before)]
        newest = next((it for it in states if it is not None), None)
        common = min(gather_from_workers(self.model.distribute_strategy, _position(newest)))
        for state in (*states, None):
            if _position(state) == common:
                return state
        raise ValueError(
            f"Cannot resume from {self.folder!r}: the states of the workers are not of one "
            "training, or that of another worker was removed. Remove the folders of all workers "
            "to begin anew."
        )

    def _save(self, epoch: int, steps: int, history: dict[str, Any]) -> None:
        variables, metrics = self.model.training_variables()
        state = TrainingState(
            epoch=epoch,
            steps=steps,
            stopped=bool(self.model.stop_training),
            history=history,
            callbacks=read_callbacks(self._callbacks),
            variables=read_values(variables),
            metrics=read_values(metrics),
        )
        if self._has_workers and os.path.exists(self._path):
            os.replace(self._path, self._path_before)
        save_state(self._path, state)

    def _assign(self, variables: Sequence[Any], values: Sequence[Any]) -> None:
        try:
            write_values(variables, values)
        except ValueError as error:
            raise ValueError(
                f"Cannot resume from {self._path!r}: it belongs to another model or optimiser: "
                f"{error}. Remove it to begin anew, or choose another folder."
            ) from error

    def _history(self, logs: dict[str, Any]) -> dict[str, Any]:
        """The history with the epoch that has just ended, if `logs` are given."""
        kept = self.model.history
        history = {name: [float(it) for it in values] for name, values in kept.history.items()}
        epochs = list(kept.epoch)
        if logs and self._epoch not in epochs:
            epochs.append(self._epoch)
            for name, value in logs.items():
                history.setdefault(name, []).append(float(value))
        return {"epoch": epochs, "history": history}

    def _restore_history(self) -> None:
        if self._state is not None:
            self.model.history.epoch = self._state.history["epoch"]
            self.model.history.history = self._state.history["history"]


def check_every(every: Any) -> Any:
    """Check how often something is done.

    Args:
        every: "epoch" or a number of steps.

    Returns:
        The same.

    Raises:
        ValueError: if it is something else.
    """
    if isinstance(every, str) and every == "epoch":
        return every
    return check_int(
        "every", every, minimum=1, expected="'epoch' or a positive integer, a number of steps"
    )


def _position(state: TrainingState | None) -> int:
    """How far a training has come, as a number that grows."""
    return -1 if state is None else (state.epoch << 40) + state.steps


def _advance(data: Any, epochs: int) -> None:
    """Let a dataset believe that it was iterated over in the epochs before.

    Keras makes an iterator at the beginning of each epoch and, where it knows the number of
    batches, another one at its end.
    """
    if isinstance(data, tuple):
        return
    for _ in range(epochs):
        next(iter(data), None)
        if data.cardinality() >= 0:
            iter(data)
