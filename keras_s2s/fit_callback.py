"""Interface between callbacks and `fit` or `Resume`, besides the methods of Keras.

`FitCallback` is the base class of this package's callbacks that act before or after `fit`. Any
callback may also have `state_attributes` (`HasState`) or a method `is_over` (`StopsTraining`),
which `Resume` uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import keras


class FitCallback(keras.callbacks.Callback):
    """Callback that also acts before Keras reads the arguments of `fit`, or after `fit` has failed.

    Attributes:
        runs_last: Whether `fit` calls this callback after all others. Defaults to `False`.
    """

    runs_last: ClassVar[bool] = False

    def begin_fit(self, model: Any, arguments: dict[str, Any], callbacks: Sequence[Any]) -> None:
        """Act before Keras reads the arguments of `fit`. The default does nothing.

        Args:
            model: The model being trained.
            arguments: The arguments of `fit`.
            callbacks: All callbacks, in their order.
        """

    def end_fit(self) -> None:
        """Act at the end of `fit`, even if `fit` failed. The default does nothing."""


@runtime_checkable
class HasState(Protocol):
    """Callback whose state `Resume` saves and restores.

    Attributes:
        state_attributes: Names of the attributes that make up the state. Their values are numbers,
            texts, arrays, and lists and dictionaries of these.
    """

    state_attributes: tuple[str, ...]


@runtime_checkable
class StopsTraining(Protocol):
    """Callback that stops training, and decides whether a resumed run continues."""

    def is_over(self) -> bool:
        """Return whether training has ended, according to this callback."""
