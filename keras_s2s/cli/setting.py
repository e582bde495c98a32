"""Definition of one training setting: name, default, help text and allowed values."""

from __future__ import annotations

import math
import os
from typing import Any, NamedTuple

from keras_s2s.errors import InputError

_LARGEST_INTEGER = 2**31 - 1  # for settings without a maximum


class Setting(NamedTuple):
    """Definition of a training setting."""

    name: str
    default: Any
    help: str
    kind: type = str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float = math.inf
    optional: bool = False  # null is allowed
    several: bool = False  # a list
    registered: bool = False  # also accepts a name registered with Keras: package>name

    def check(self, value: Any) -> Any:
        """Validate a value and convert it to the type of the setting.

        Args:
            value: Value from a settings file or a command line option.

        Returns:
            The converted value.

        Raises:
            ValueError: If the value is not allowed for this setting.
        """
        if value is None and self.optional:
            return None
        if self.several:
            values = value if isinstance(value, list | tuple) else [value]
            return [self._check_one(item) for item in values]
        return self._check_one(value)

    def _check_one(self, value: Any) -> Any:
        if self.kind is bool or isinstance(value, bool):
            if self.kind is bool and isinstance(value, bool):
                return value
            raise self._error(value)
        if self.kind is str:
            own = self.registered and ">" in str(value)
            if not isinstance(value, str) or (
                self.choices and value not in self.choices and not own
            ):
                raise self._error(value)
            if not value:
                raise InputError(f"`{self.name}` must not be empty. Received: {value!r}")
            if not _can_be_a_path(value):
                raise InputError(
                    f"`{self.name}` must be text without NUL characters or lone surrogates. "
                    f"Received: {shortened(value)}"
                )
            return value
        try:
            number = self.kind(value)
        except (TypeError, ValueError, OverflowError):
            raise self._error(value) from None
        whole = self.kind is float or isinstance(value, int) or str(number) == str(value)
        least = -math.inf if self.minimum is None else self.minimum
        most = min(self.maximum, _LARGEST_INTEGER) if self.kind is int else self.maximum
        if not whole or number == math.inf or not least <= number <= most:
            raise self._error(value)
        return number

    def _error(self, value: Any) -> InputError:
        _, _, unset = self.help.partition("; null: ")
        without = f". Without it (null in a settings file): {unset}" if unset else ""
        return InputError(
            f"`{self.name}` must be {self.expected()}. Received: {shortened(value)}{without}"
        )

    def bounds(self) -> str:
        """Return the allowed range of a number in click's notation, `0<=x<=1`."""
        show = str if self.kind is int else "{:g}".format
        below = "" if self.minimum is None else show(self.minimum)
        above = "" if math.isinf(self.maximum) else show(self.maximum)
        if below and above:
            return f"{below}<=x<={above}"
        return f"x>={below}" if below else ""

    def expected(self) -> str:
        """Return a description of the allowed values."""
        if self.choices:
            own = (
                ", or the registered name of a custom function: package>name"
                if self.registered
                else ""
            )
            return f"one of {', '.join(self.choices)}{own}"
        if self.kind is str:
            return "a text"
        if self.kind is bool:
            return "true or false"
        kind = "an integer" if self.kind is int else "a number"
        if self.minimum is None:
            return kind
        if math.isinf(self.maximum):
            return f"{kind} of at least {self.minimum:g}"
        if self.kind is int:
            return f"{kind} between {self.minimum} and {self.maximum}"
        return f"{kind} between {self.minimum:g} and {self.maximum:g}"


def shortened(value: Any) -> str:
    """Return the `repr` of a value for a message, truncated if it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]} ... ({len(text)} characters)"


def _can_be_a_path(text: str) -> bool:
    """Return whether the operating system accepts a text as a path or as an argument."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False
