"""Definition of one training setting: name, default, help text and allowed values."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import click

from keras_s2s.checks import short_repr
from keras_s2s.errors import InputError

NONE = "none"  # what null means for a setting without a default
RECOMMENDED = "recommended for the training pairs"  # what null means for a fitted setting
_LARGEST_INTEGER = 2**31 - 1  # for settings without a maximum
_SMALLEST_SHOWN = 1e-6  # a smaller minimum is a technical limit, which only errors name
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
    unset: str | None = None  # what null means in a settings file; `None`: null is an error
    several: bool = False  # a list
    registered: bool = False  # also accepts a name registered with Keras: package>name

    def check(self, value: Any, name: str | None = None) -> Any:
        """Validate a value and convert it to the type of the setting.

        Args:
            value: Value from a settings file or a command line option.
            name: Name for error messages. Defaults to the name in a settings file.

        Returns:
            The converted value.

        Raises:
            ValueError: If the value is not allowed for this setting.
        """
        if value is None and self.unset is not None:
            return None
        name = name or f"`{self.name}`"
        if self.several:
            values = value if isinstance(value, list | tuple) else [value]
            return [self._check_one(item, name) for item in values]
        return self._check_one(value, name)

    def _check_one(self, value: Any, name: str) -> Any:
        if self.kind is bool or isinstance(value, bool):
            if self.kind is bool and isinstance(value, bool):
                return value
            raise self._error(value, name)
        if self.kind is str:
            own = self.registered and ">" in str(value)
            if not isinstance(value, str) or (
                self.choices and value not in self.choices and not own
            ):
                raise self._error(value, name)
            if not value:
                raise InputError(f"{name} must not be empty. Received: {value!r}")
            if not _can_be_a_path(value):
                raise InputError(
                    f"{name} must be text without NUL characters or lone surrogates. "
                    f"Received: {short_repr(value)}"
                )
            return value
        try:
            number = self.kind(value)
        except (TypeError, ValueError, OverflowError):
            raise self._error(value, name) from None
        whole = self.kind is float or isinstance(value, int) or str(number) == str(value)
        least = -math.inf if self.minimum is None else self.minimum
        if not whole or number == math.inf or not least <= number <= self.maximum:
            raise self._error(value, name)
        if self.kind is int and number > _LARGEST_INTEGER and self.maximum == math.inf:
            shown = short_repr(value)
            raise InputError(f"{name} must not exceed {_LARGEST_INTEGER}. Received: {shown}")
        return number

    def _error(self, value: Any, name: str) -> InputError:
        unset = _rename(self.unset or "", option_name if name.startswith("-") else str)
        without = f". Default: {unset}" if unset and unset != NONE else ""
        if unset == RECOMMENDED:
            without = ". Leave it out to use the recommended value"
        return InputError(
            f"{name} must be {self.expected()}. Received: {short_repr(value)}{without}"
        )

    def option_help(self) -> str:
        """Return the help text of the command line option."""
        several = ". May be given several times" if self.several else ""
        return f"{_rename(self.help, option_name)}{several}."

    def option_default(self) -> str:
        """Return the default of the command line option as text, empty if there is none."""
        if self.default is None:
            return "" if self.unset == NONE else _rename(self.unset or "", option_name)
        if self.kind is bool:
            return "on" if self.default else "off"
        return f"{self.default:g}" if self.kind is float else str(self.default)

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
            return "a string"
        if self.kind is bool:
            return "true or false"
        return describe_number(self.kind, self.minimum, self.maximum)


def option_name(name: str) -> str:
    """Return the name of the command line option of a setting."""
    return f"--{name.replace('_', '-')}"


def _switch(name: str, value: bool) -> str:
    """Return the command line option that turns a setting on or off."""
    return option_name(name if value else f"no_{name}")


def name_as_given(name: str) -> str:
    """Return the name of a setting as the user gave it: an option, or a name in a settings file.

    Args:
        name: Name of the setting.
    """
    return option_name(name) if _is_typed(name) else f"`{name}`"


def value_as_given(name: str, value: Any) -> str:
    """Return a setting and its value as the user gave them.

    Args:
        name: Name of the setting.
        value: Its value.

    Returns:
        An option such as `--attention none` or `--copy`, or a line of a settings file.
    """
    if not _is_typed(name):
        return as_in_file(name, value)
    return _switch(name, value) if isinstance(value, bool) else f"{option_name(name)} {value}"


def as_in_file(name: str, value: Any) -> str:
    """Return a setting and its value as a line of a settings file, in backticks.

    Args:
        name: Name of the setting.
        value: Its value.
    """
    shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else value
    return f"`{name}: {shown}`"


def _is_typed(name: str) -> bool:
    """Return whether a setting was given as an option on the command line."""
    context = click.get_current_context(silent=True)
    return (
        context is not None
        and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    )


def describe_number(kind: type, minimum: float | None, maximum: float | None) -> str:
    """Return the numbers that are allowed, for an error message.

    Args:
        kind: `int` or `float`.
        minimum: The smallest allowed number, or `None`.
        maximum: The largest allowed number, or `None` or infinity.
    """
    article = "an integer" if kind is int else "a number"
    if minimum is None:
        return article
    if maximum is None or math.isinf(maximum):
        return f"{article} of at least {_show(minimum)}"
    return f"{article} between {_show(minimum)} and {_show(maximum)}"


def describe_range(minimum: float | None, maximum: float | None) -> str:
    """Return the allowed range of a number for a help text.

    Args:
        minimum: The smallest allowed number, or `None`.
        maximum: The largest allowed number, or `None` or infinity.

    Returns:
        The range, or an empty text if it is obvious, such as that a number is positive.
    """
    if minimum is None:
        return ""
    if maximum is not None and 0 < minimum < _SMALLEST_SHOWN <= maximum < math.inf:
        return f"more than 0, at most {_show(maximum)}"
    if maximum is None or maximum > _LARGEST_SHOWN:
        return f"at least {_show(minimum)}" if minimum > 1 else ""
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
