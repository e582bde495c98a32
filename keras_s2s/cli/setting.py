"""One setting of a training: what it is called, what it means, and what it may be."""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class Setting(NamedTuple):
    """One setting."""

    name: str
    default: Any
    help: str
    kind: type = str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float = math.inf
    optional: bool = False  # null is a value of it
    several: bool = False  # a list

    def check(self, value: Any) -> Any:
        """Bring a value into the right type.

        Args:
            value: what stands in a file or behind a flag.

        Returns:
            The value.

        Raises:
            ValueError: if it cannot be a value of this setting.
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
            if not isinstance(value, str) or (self.choices and value not in self.choices):
                raise self._error(value)
            return value
        try:
            number = self.kind(value)
        except (TypeError, ValueError):
            raise self._error(value) from None
        whole = self.kind is float or isinstance(value, int) or str(number) == str(value)
        least = -math.inf if self.minimum is None else self.minimum
        if not whole or not math.isfinite(number) or not least <= number <= self.maximum:
            raise self._error(value)
        return number

    def _error(self, value: Any) -> ValueError:
        return ValueError(f"`{self.name}` must be {self.expected()}. Received: {value!r}")

    def expected(self) -> str:
        """Say in words what the values are."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.kind is str:
            return "a text"
        if self.kind is bool:
            return "true or false"
        kind = "an integer" if self.kind is int else "a number"
        if self.minimum is None:
            return kind
        if math.isinf(self.maximum):
            return f"{kind} of at least {self.minimum:g}"
        return f"{kind} between {self.minimum:g} and {self.maximum:g}"
