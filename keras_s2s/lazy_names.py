"""Names of a package that are imported on first use (PEP 562)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(
    namespace: dict[str, Any], modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions `__getattr__` and `__dir__` of a package.

    Args:
        namespace: `globals()` of the package. A name is added to it when it is first used.
        modules: Mapping of public names to the modules of the package that define them.

    Returns:
        A function that imports a name, and one that lists the public names.
    """
    package = namespace["__name__"]

    def import_name(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{modules[name]}"), name)
        namespace[name] = value  # later uses do not call this function
        return value

    return import_name, lambda: sorted(modules)
