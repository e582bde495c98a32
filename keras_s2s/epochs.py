"""Which epoch a dataset is read for: the one that `fit` is in."""

from __future__ import annotations

from typing import Any

import keras


class EpochClock(keras.callbacks.Callback):
    """Tells the datasets of `make_dataset` which epoch `fit` is in.

    While a `fit` runs, every iteration over such a dataset has the order of the current epoch:
    how often somebody looked at a batch changes nothing.

    A `fit` that begins with `initial_epoch` above 0, or that a `Resume` keeps the state of, counts
    epochs as it numbers them. Otherwise epochs go on where the last `fit` on the dataset ended, so
    that repeated calls with `epochs=1` have different orders.
    """

    # The clock of the `fit` that runs, if any. There is one process-wide, because a dataset that
    # users have mapped, filtered or distributed cannot be asked for what it is made of.
    _running: EpochClock | None = None

    def __init__(self, initial_epoch: int = 0) -> None:
        super().__init__()
        self.epoch = initial_epoch
        self.is_absolute = initial_epoch > 0

    def begin_fit(self, model: Any, arguments: dict[str, Any], callbacks: Any) -> None:
        """Begin to tell the epoch.

        Args:
            model: the model that is trained.
            arguments: the arguments of `fit`.
            callbacks: all callbacks.
        """
        EpochClock._running = self

    def end_fit(self) -> None:
        """Stop telling the epoch, however `fit` ended."""
        EpochClock._running = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch = epoch

    @classmethod
    def running(cls) -> EpochClock | None:
        """Return the clock of the `fit` that runs, or None outside of `fit`."""
        return cls._running


class EpochCounter:
    """Numbers the epochs of one dataset; what the number is based on, `EpochClock` says.

    Outside of `fit`, each iteration over the dataset is an epoch.

    Args:
        initial_epoch: Number of the first epoch.
    """

    def __init__(self, initial_epoch: int = 0) -> None:
        self._iterations = self._trained = self._first = initial_epoch
        self._clock: EpochClock | None = None

    def next(self) -> int:
        """Return the number of the epoch that an iteration begins."""
        clock = EpochClock.running()
        if clock is None:
            self._iterations += 1
            return self._iterations - 1
        if clock.is_absolute:
            epoch = clock.epoch
        else:
            if self._clock is not clock:
                self._clock, self._first = clock, self._trained
            epoch = self._first + clock.epoch
        self._trained = max(self._trained, epoch + 1)
        return epoch
