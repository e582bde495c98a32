"""`Resume`: callback that continues an interrupted training run."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_s2s.callbacks.training_state import (
    TrainingState,
    continued_logs,
    load_state,
    read_callbacks,
    read_values,
    restore_callbacks,
    save_state,
    without_batch_hooks,
    write_values,
)
from keras_s2s.checks import check_int, short_repr
from keras_s2s.epochs import EpochClock
from keras_s2s.errors import InputError
from keras_s2s.files import locked, remove_unfinished
from keras_s2s.fit_callback import FitCallback, StopsTraining
from keras_s2s.keras_private import set_initial_epoch
from keras_s2s.models.batches import count_cores, count_parts
from keras_s2s.replicas import gather_from_workers, has_workers

_LOGGER = logging.getLogger("keras_s2s")

_FILE = "training_state.npz"
_LOCK = ".lock"
_FILE_BEFORE = "training_state_before.npz"  # the previous state, on several machines


class Resume(FitCallback):
    """Callback that saves the training state in a folder, and resumes training from there.

    After an interruption at any moment, even if the process was killed or the power failed, run the
    same program again to train the rest. On a CPU, the final weights and metrics are the same, bit
    for bit, as without the interruption; on a GPU, they are nearly the same. If the run is
    complete, `fit` only restores the final weights. With more `epochs`, training continues. To
    start over, remove the folder.

    The state consists of the weights, the optimizer with its step, learning rate, averages and
    accumulated gradients, the seeds of dropout and of sampling, the sums of the metrics, and
    the history. It includes the state of `EarlyStopping`, `ReduceLROnPlateau`, `ModelCheckpoint`,
    `SwapEMAWeights` and `SearchEvaluation`. A callback of your own can list attributes to save in a
    tuple `state_attributes`. If it stops training and has a method `is_over()`, the run continues
    once this method returns `False`, whatever `epochs` is. A `CSVLogger` appends to its file. The
    state is written to a temporary file, which is then renamed, so the saved state is never
    incomplete.

    **Data** must yield the same batches again. Use a dataset of `make_dataset` with a seed, another
    `tf.data.Dataset` whose order depends only on its seeds and on the number of iterations over it,
    or arrays with `shuffle=False`. `fit` skips the batches that were trained on before the
    interruption: it reads them, but does not train on them again. Your own callbacks are called for
    these batches again.

    **Threads.** The last bits of the weights depend on the number of threads. Resuming with
    a different number of threads logs a warning to the logger "keras_s2s".

    **Several machines** (`MultiWorkerMirroredStrategy`) each save the state in their own folder,
    and resume together from the last state that all of them have.

    Args:
        folder: Folder of the state. Each training run, and each worker, needs its own folder.
        every: "epoch" to save at the end of each epoch, or an integer n to save after every n steps
            as well. With Adam, the state is three times as large as the weights, so saving at every
            step is slow. Defaults to "epoch".
        verbose: Whether to print where training resumes. `None` prints unless `fit` is silent.
            Defaults to `None`.

    Raises:
        TypeError: If the model is not a `Seq2Seq`.
        BlockingIOError: If another training run uses the folder.
        ValueError: If the data cannot be read again in the same order, the file in the folder
            is damaged or belongs to another model, or `every` is invalid.

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

    # `fit` calls this callback after the callbacks whose state it saves.
    runs_last = True

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        every: str | int = "epoch",
        verbose: bool | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
            raise TypeError(f"`folder` must be the path of a folder. Received: folder={folder!r}")
        self.folder = os.path.abspath(os.fsdecode(folder))
        self.every = check_every(every)
        self.verbose = verbose
        self._path = os.path.join(self.folder, _FILE)
        self._path_before = os.path.join(self.folder, _FILE_BEFORE)
        self._data: Any = None
        self._state: TrainingState | None = None
        self._callbacks: list[keras.callbacks.Callback] = []
        self._epoch = self._steps = self._left_to_skip = 0
        self._skipped: TrainingState | None = None  # while batches are skipped
        self._undo = contextlib.ExitStack()  # closed at the end of `fit`
        self._pause = contextlib.ExitStack()  # closed when no batches are left to skip

    def begin_fit(self, model: Any, arguments: dict[str, Any], callbacks: Sequence[Any]) -> None:
        """Check the arguments of `fit`, and load the state.

        Args:
            model: The model being trained.
            arguments: The arguments of `fit`.
            callbacks: All callbacks, in their order.

        Raises:
            BlockingIOError: If another training run uses the folder.
            ValueError: If the batches of an epoch are not reproducible, another callback is listed
                after this one, or the state is damaged.
        """
        self._data = _repeatable_data(arguments)
        self._callbacks = self._saved_callbacks(callbacks)
        clock = EpochClock.running()
        if clock is not None:
            clock.is_absolute = True
        os.makedirs(self.folder, exist_ok=True)
        try:
            self._undo.enter_context(locked(os.path.join(self.folder, _LOCK)))
        except BlockingIOError as error:
            raise BlockingIOError(
                f"Another training run uses the folder {self.folder!r} of `Resume` "
                f"({error.strerror}). Wait for it to end, or choose another folder"
            ) from None
        remove_unfinished(self.folder)
        self._state = self._load(model.distribute_strategy)
        epoch = None if self._state is None else self._state.epoch
        self._undo.enter_context(continued_logs(self._callbacks, epoch))

    def end_fit(self) -> None:
        """Undo all changes that are specific to one `fit`, even if `fit` failed."""
        if self._left_to_skip and self.model is not None:
            self.model.train_function = None
        if self.model is not None:
            set_initial_epoch(self.model, None)  # must not affect the next `fit`
        self._left_to_skip = 0
        self._state = self._skipped = self._data = None
        self._callbacks = []
        self._pause.close()
        self._undo.close()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._data is None:
            raise TypeError(
                "`Resume` must be passed to the `fit` of a `Seq2Seq`. "
                f"Received: {short_repr(self.model)}"
            )
        state = self._state
        if state is None:
            return
        self._restore(state)
        over = self._is_over(state)
        set_initial_epoch(self.model, self.params["epochs"] if over else state.epoch)
        self._report(state, over=over)
        if not over:
            _repeat_iterations(self._data, state.epoch)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._steps = epoch, 0
        self._restore_history()
        state, self._state = self._state, None
        if state is not None and state.steps:
            self._write_variables(self.model.training_variables()[1], state.metrics)
            self._left_to_skip = state.steps
            self.model.train_function = self._skip_trained_batches(self.model.train_function, state)
            self._pause.enter_context(without_batch_hooks(self._callbacks))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        before, self._steps = self._steps, batch + 1
        if self._skipped is not None and not self._left_to_skip:
            # Callbacks ran at the beginning of the epoch and for the skipped batches, and may have
            # changed the learning rate. Restore the state again.
            self._pause.close()
            self._restore(self._skipped)
            self._skipped = None
        if self.every == "epoch" or self._left_to_skip:
            return
        if self._steps // self.every > before // self.every:
            self._save(self._epoch, self._steps, self._history({}))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._save(epoch + 1, 0, self._history(logs or {}))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._restore_history()  # if nothing was left to train

    def _restore(self, state: TrainingState) -> None:
        """Restore the model, its optimizer and the other callbacks."""
        variables, _ = self.model.training_variables()
        self._write_variables(variables, state.variables)
        restore_callbacks(self._callbacks, state.callbacks)

    def _is_over(self, state: TrainingState) -> bool:
        """Return whether a callback stopped the run, and nothing has changed since."""
        if not state.stopped:
            return False
        deciding = [it for it in self._callbacks if isinstance(it, StopsTraining)]
        if deciding:
            return any(it.is_over() for it in deciding)
        return bool(self.params["epochs"] <= state.epochs)

    def _report(self, state: TrainingState, *, over: bool) -> None:
        """Print where training resumes, and warn if the last bits of the weights will differ."""
        if self.params.get("verbose") if self.verbose is None else self.verbose:
            place = (
                f"after epoch {state.epoch}"
                if not state.steps
                else (f"in epoch {state.epoch + 1} after step {state.steps}")
            )
            done = over or (state.epoch >= self.params["epochs"] and not state.steps)
            line = f"Resuming training {place} (state: {self.folder})"
            if done:
                longer = "" if state.stopped else ". To train longer, use more epochs"
                line = (
                    f"Nothing left to train: the run already ended {place} (state: {self.folder})"
                )
                line += longer
            sys.stdout.write(f"{line}\n")
        here = _thread_counts()
        if state.threads != here:
            _LOGGER.warning(
                "The training run in %s started with another number of threads (%s) than now (%s), "
                "so the last bits of the weights will differ.",
                self.folder,
                _describe_threads(state.threads),
                _describe_threads(here),
            )

    def _skip_trained_batches(
        self, train: Callable[[Any], Any], state: TrainingState
    ) -> Callable[[Any], Any]:
        """Wrap a training function so that it skips the batches that were already trained."""
        self._skipped = state

        def skip(iterator: Any) -> Any:
            for _ in range(self.model.steps_per_execution):
                next(iterator, None)
            self._left_to_skip = max(0, self._left_to_skip - self.model.steps_per_execution)
            if not self._left_to_skip:
                self.model.train_function = train
            return self.model.get_metrics_result()

        return skip

    def _saved_callbacks(self, callbacks: Sequence[Any]) -> list[keras.callbacks.Callback]:
        """Return the callbacks whose state is saved, which must be listed before this one."""
        own = (keras.callbacks.History, keras.callbacks.ProgbarLogger, EpochClock)
        others = [it for it in callbacks if not isinstance(it, own)]
        if others[-1] is not self:
            raise InputError(
                "`Resume` must be the last of the callbacks, and the only one of its kind. "
                f"Received: a `{type(others[-1]).__name__}` after it"
            )
        return others[:-1]

    def _load(self, strategy: Any) -> TrainingState | None:
        """Load the state. On several machines, load the last state that all of them have."""
        state = load_state(self._path)
        if not has_workers(strategy):
            return state
        states = [state, load_state(self._path_before)]
        newest = next((it for it in states if it is not None), None)
        common = min(gather_from_workers(strategy, _progress(newest)))
        for state in (*states, None):
            if _progress(state) == common:
                return state
        raise InputError(
            f"Cannot resume from {self.folder!r}: the states of the workers come from different "
            "training runs, or one of them was removed. Remove the folders of all workers to start "
            "over."
        )

    def _save(self, epoch: int, steps: int, history: dict[str, Any]) -> None:
        variables, metrics = self.model.training_variables()
        state = TrainingState(
            epoch=epoch,
            steps=steps,
            stopped=bool(self.model.stop_training),
            epochs=self.params["epochs"],
            history=history,
            callbacks=read_callbacks(self._callbacks),
            variables=read_values(variables),
            metrics=read_values(metrics),
            threads=_thread_counts(),
        )
        if has_workers(self.model.distribute_strategy) and os.path.exists(self._path):
            os.replace(self._path, self._path_before)
        save_state(self._path, state)

    def _write_variables(self, variables: Sequence[Any], values: Sequence[Any]) -> None:
        try:
            write_values(variables, values)
        except ValueError as error:
            raise InputError(
                f"Cannot resume from {self._path!r}: it belongs to another model or optimizer: "
                f"{error}. Remove it to start over, or choose another folder."
            ) from error

    def _history(self, logs: dict[str, Any]) -> dict[str, Any]:
        """Return the history, with the epoch that has just ended if `logs` are given."""
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
    """Check an argument `every`.

    Args:
        every: "epoch" or a number of steps.

    Returns:
        The same value.

    Raises:
        ValueError: If the value is anything else.
    """
    if isinstance(every, str) and every == "epoch":
        return every
    return check_int(
        "every", every, minimum=1, expected="'epoch' or a positive integer, a number of steps"
    )


def _repeatable_data(arguments: dict[str, Any]) -> Any:
    """Return the dataset of `fit`, or () for arrays. Raise if the data cannot be read again."""
    if arguments.get("steps_per_epoch") is not None:
        raise InputError(
            "With `Resume`, an epoch must be one pass over the dataset: omit `steps_per_epoch`. "
            f"Received: steps_per_epoch={arguments['steps_per_epoch']!r}"
        )
    data = arguments.get("x")
    if isinstance(data, tf.data.Dataset | tf.distribute.DistributedDataset):
        return data
    if hasattr(data, "__next__") or arguments.get("shuffle", True):
        how = "" if hasattr(data, "__next__") else ", shuffled"
        raise InputError(
            "`Resume` requires data that can be read again: a dataset, such as one from "
            f"`make_dataset`, or arrays with shuffle=False. Received: {type(data).__name__}{how}"
        )
    return ()


def _thread_counts() -> dict[str, int]:
    """Return the numbers of threads and parts, on which the last bits of sums depend."""
    return {
        "intra-op threads": tf.config.threading.get_intra_op_parallelism_threads() or count_cores(),
        "parts of a batch": count_parts(),
    }


def _describe_threads(threads: dict[str, int]) -> str:
    return ", ".join(f"{name}: {number}" for name, number in threads.items())


def _progress(state: TrainingState | None) -> int:
    """Return the progress of a training run, as a number that increases."""
    return -1 if state is None else (state.epoch << 40) + state.steps


def _repeat_iterations(data: Any, epochs: int) -> None:
    """Iterate over a dataset as often as the previous epochs did.

    The order of TensorFlow's `shuffle` depends on the number of iterations. During `fit`, that of a
    dataset of `make_dataset` does not. Keras creates an iterator at the beginning of each epoch
    and, if it knows the number of batches, another one at the end.
    """
    if isinstance(data, tuple):
        return
    for _ in range(epochs):
        next(iter(data), None)
        if data.cardinality() >= 0:
            iter(data)
