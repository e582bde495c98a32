"""Argument validation. Each error states the expected and the received value.

This module also formats the values, counts and reasons in messages.
"""

from __future__ import annotations

import math
import operator
import reprlib
from collections.abc import Iterable
from typing import Any

from keras_s2s.errors import InputError

_MAX_CHARACTERS = 100  # characters of a value in a message
_MAX_LINE = 300  # characters of another library's message


def short_repr(value: Any) -> str:
    """Return the `repr` of a value for a message, shortened if it is long.

    Args:
        value: Any value, of any size.

    Returns:
        The `repr`. Only the first elements of a container and both ends of a text are shown. An
        object with a long `repr`, such as a model, is shown as its type, such as `<Seq2Seq>`.

    Example:
        >>> short_repr("x"), short_repr(list(range(10**6)))
        ("'x'", '[0, 1, 2, 3, ...]')
    """
    return _SHORT.repr(value)


def count_of(number: float, noun: str) -> str:
    """Return a number with its noun, in the singular or plural.

    Args:
        number: Integer, or a float such as a number of minutes.
        noun: The noun in the singular. Its plural ends in "s".

    Returns:
        The text, with commas between the thousands of an integer.

    Example:
        >>> count_of(1, "pair"), count_of(1000, "validation pair"), count_of(0.5, "minute")
        ('1 pair', '1,000 validation pairs', '0.5 minutes')
    """
    shown = f"{number:g}" if isinstance(number, float) else f"{number:,}"
    return f"{shown} {noun}" if number == 1 else f"{shown} {noun}s"


def one_line(message: object) -> str:
    r"""Return a message in one line, shortened if it is long.

    Args:
        message: An error, such as one of another library, or a text.

    Returns:
        The text, with single spaces between words.

    Example:
        >>> one_line(ValueError("bad\n  value"))
        'bad value'
    """
    text = " ".join(str(message).split())
    return text if len(text) <= _MAX_LINE else f"{text[:_MAX_LINE]} ..."


class _ShortRepr(reprlib.Repr):
    """Formatter of `short_repr`."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxlong = _MAX_CHARACTERS
        self.maxlevel = 3
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = 4

    def repr_instance(self, x: Any, level: int) -> str:
        text = repr(x)
        return text if len(text) <= _MAX_CHARACTERS else f"<{type(x).__name__}>"

    def repr_int(self, x: int, level: int) -> str:
        # Python does not format integers of more than 4,300 digits.
        return super().repr_int(x, level) if x.bit_length() < 10_000 else "<int>"


_SHORT = _ShortRepr()


def check_bool(name: str, value: Any) -> bool:
    """Return `value` as a bool if it is one, also of NumPy, otherwise raise `ValueError`."""
    if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):
        raise InputError(f"`{name}` must be True or False. Received: {name}={short_repr(value)}")
    return bool(value)


def check_positive_int(name: str, value: Any) -> int:
    """Return `value` if it is an integer of at least 1, otherwise raise `ValueError`."""
    return check_int(name, value, minimum=1, expected="a positive integer")


def check_int(name: str, value: Any, *, minimum: int, expected: str | None = None) -> int:
    """Return `value` if it is an integer of at least `minimum`, otherwise raise `ValueError`."""
    expected = expected or f"an integer of at least {minimum}"
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:  # also an array of several integers
        number = None
    if number is None or number < minimum:
        raise InputError(f"`{name}` must be {expected}. Received: {name}={short_repr(value)}")
    return number


def check_ints(name: str, values: Any, *, minimum: int) -> tuple[int, ...]:
    """Return `values` as a tuple if they are integers of at least `minimum`.

    Args:
        name: Name of the argument, for the error message.
        values: Value of the argument: a sequence, an array or a tensor.
        minimum: Smallest allowed integer.

    Returns:
        The integers.

    Raises:
        TypeError: If `values` is a single value or a text.
        ValueError: If a value is not an integer of at least `minimum`.
    """
    try:
        listed = None if isinstance(values, str | bytes) else list(values)
    except TypeError:  # a single value
        listed = None
    if listed is None:
        raise TypeError(
            f"`{name}` must be a list of integers. Received: {name}={short_repr(values)}"
        )
    return tuple(
        check_int(f"{name}[{number}]", value, minimum=minimum)
        for number, value in enumerate(listed)
    )


def check_number(
    name: str,
    value: Any,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    below: float | None = None,
    expected: str | None = None,
) -> float:
    """Return `value` as a float if it is in the range, otherwise raise `ValueError`.

    Args:
        name: Name of the argument, for the error message.
        value: Value of the argument.
        minimum: Smallest allowed number.
        above: Number below all allowed numbers, in place of `minimum`.
        maximum: Largest allowed number.
        below: Number above all allowed numbers, in place of `maximum`.
        expected: Description of the allowed values. Defaults to a description of the range.

    Returns:
        The number.
    """
    number = None
    if not isinstance(value, bool | str | bytes):
        try:
            number = float(value)
        except (OverflowError, TypeError, ValueError):
            number = None
    in_range = (
        number is not None
        and math.isfinite(number)
        and (minimum is None or number >= minimum)
        and (above is None or number > above)
        and (maximum is None or number <= maximum)
        and (below is None or number < below)
    )
    if number is None or not in_range:
        expected = expected or _describe_range(minimum, above, maximum, below)
        raise InputError(f"`{name}` must be {expected}. Received: {name}={short_repr(value)}")
    return number


def _describe_range(
    minimum: float | None, above: float | None, maximum: float | None, below: float | None
) -> str:
    """Describe a range of numbers, such as "a number of at least 0 and below 1"."""
    if minimum is not None and maximum is not None:
        return f"a number between {minimum:g} and {maximum:g}"
    limits = (("of at least", minimum), ("above", above), ("at most", maximum), ("below", below))
    return "a number " + " and ".join(
        f"{words} {limit:g}" for words, limit in limits if limit is not None
    )


def check_at_most(name: str, value: Any, maximum: float) -> Any:
    """Return `value` if it is at most `maximum`, otherwise raise `ValueError`."""
    if value > maximum:
        raise InputError(f"`{name}` must be at most {maximum}. Received: {name}={value}")
    return value


def check_choice(name: str, value: Any, choices: Iterable[Any]) -> Any:
    """Return `value` if it is one of `choices`, otherwise raise `ValueError`."""
    choices = list(choices)
    if value not in choices:
        allowed = ", ".join(repr(choice) for choice in choices)
        raise InputError(f"`{name}` must be one of {allowed}. Received: {name}={short_repr(value)}")
    return value


def check_utf8(text: str) -> str:
    """Return `text` if UTF-8 can encode it. Raise `ValueError` if it has a lone surrogate."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            "A text must consist of Unicode characters that UTF-8 can encode. Received: "
            f"{short_repr(str(text))}, which has a lone surrogate at position {error.start}"
        ) from error
    return text
