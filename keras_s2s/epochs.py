"""The current epoch of `fit`, for datasets whose order depends on it."""

from __future__ import annotations

from typing import Any, ClassVar

from keras_s2s.fit_callback import FitCallback


class EpochClock(FitCallback):
    """Callback that provides the current epoch of `fit` to the datasets of `make_dataset`.

    While `fit` runs, every iteration over such a dataset has the order of the current epoch, so
    that other iterations over the dataset do not change the order of later epochs.

    If `fit` has an `initial_epoch` above 0, or a `Resume` saves its state, the clock uses the epoch
    numbers of `fit`. Otherwise, numbering continues from the last `fit` on the dataset, so that
    repeated calls with `epochs=1` have different orders. With `steps_per_epoch`, one epoch may have
    several iterations over a repeated dataset, each with its own number.
    """

    # The clocks of the running `fit`s. They are global to the process, because a dataset that was
    # mapped, filtered or distributed does not give access to the dataset it was made from.
    _running: ClassVar[list[EpochClock]] = []

    def __init__(self, initial_epoch: int = 0) -> None:
        super().__init__()
        self.epoch = initial_epoch
        self.is_absolute = initial_epoch > 0
        self.has_steps = False  # whether an epoch is a number of steps, not one iteration

    def begin_fit(self, model: Any, arguments: dict[str, Any], callbacks: Any) -> None:
        """Start reporting the epoch.

        Args:
            model: The model being trained.
            arguments: The arguments of `fit`.
            callbacks: All callbacks.
        """
        self.has_steps = arguments.get("steps_per_epoch") is not None
        # A callback, or another thread, may call the `fit` of another model.
        EpochClock._running.append(self)

    def end_fit(self) -> None:
        """Stop reporting the epoch, even if `fit` failed."""
        if self in EpochClock._running:
            EpochClock._running.remove(self)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch = epoch

    @classmethod
    def running(cls) -> EpochClock | None:
        """Return the clock of the running `fit` that began last, or None outside of `fit`."""
        return cls._running[-1] if cls._running else None


class EpochCounter:
    """Counter for the epochs of one dataset. See `EpochClock` for the numbering.

    Outside of `fit`, each iteration over the dataset is an epoch.

    Args:
        initial_epoch: Number of the first epoch.
    """

    def __init__(self, initial_epoch: int = 0) -> None:
        self._iterations = self._trained = self._first = self._unused = initial_epoch
        self._clock: EpochClock | None = None

    def next(self) -> int:
        """Return the epoch number of a new iteration."""
        clock = EpochClock.running()
        if clock is None:
            self._iterations += 1
            return self._iterations - 1
        if self._clock is not clock:
            self._clock, self._first, self._unused = clock, self._trained, 0
        epoch = clock.epoch if clock.is_absolute else self._first + clock.epoch
        if clock.has_steps:
            epoch = max(epoch, self._unused)
        self._unused = epoch + 1
        self._trained = max(self._trained, epoch + 1)
        return epoch
