"""Definition of one training setting: name, default, help text and allowed values."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from keras_s2s.checks import short_repr
from keras_s2s.errors import InputError

_LARGEST_INTEGER = 2**31 - 1  # for settings without a maximum
_LARGEST_SHOWN = 1_000  # larger maxima are technical limits, which only errors name


class Setting(NamedTuple):
    """Definition of a training setting.

    The texts name other settings in backticks.
    """

    name: str
    default: Any
    help: str  # without a period
    kind: type = str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float = math.inf
    unset: str | None = None  # what null means in a settings file; `None`: null is not allowed
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
        if value is None and self.unset is not None:
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
                    f"Received: {short_repr(value)}"
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
        without = f". If it is left out: {self.unset}" if self.unset else ""
        return InputError(
            f"`{self.name}` must be {self.expected()}. Received: {short_repr(value)}{without}"
        )

    def option_help(self) -> str:
        """Return the help text of the command line option."""
        several = ". May be given several times" if self.several else ""
        return f"{_rename(self.help, option_name)}{several}."

    def option_default(self) -> str:
        """Return the default of the command line option as text, empty if it is required."""
        if self.default is None:
            return _rename(self.unset or "", option_name)
        return str(self.default).lower()

    def comment(self) -> str:
        """Return the explanation for a settings file."""
        notes = ["a list" if self.several else "", describe_range(self.minimum, self.maximum)]
        allowed = ", ".join(filter(None, notes))
        null = f"; null: {self.unset}" if self.unset else ""
        return _rename(f"{self.help}{f' ({allowed})' if allowed else ''}{null}.", str)

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
            return f"{kind} of at least {_show(self.minimum)}"
        return f"{kind} between {_show(self.minimum)} and {_show(self.maximum)}"


def option_name(name: str) -> str:
    """Return the name of the command line option of a setting."""
    return f"--{name.replace('_', '-')}"


def describe_range(minimum: float | None, maximum: float | None) -> str:
    """Return the allowed range of a number in words, or an empty text if all are allowed.

    Args:
        minimum: The smallest allowed number, or `None`.
        maximum: The largest allowed number, or `None` or infinity.
    """
    if minimum is None:
        return ""
    if maximum is None or maximum > _LARGEST_SHOWN:
        return f"at least {_show(minimum)}"
    return f"{_show(minimum)} to {_show(maximum)}"


def _show(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def _rename(text: str, name_of: Callable[[str], str]) -> str:
    """Replace the names of settings in backticks."""
    return re.sub("`([a-z_]+)`", lambda found: name_of(found[1]), text)


def _can_be_a_path(text: str) -> bool:
    """Return whether the operating system accepts a text as a path or as an argument."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False
