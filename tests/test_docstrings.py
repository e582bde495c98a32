"""Every example in a docstring runs, and every public method has a docstring."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_s2s

ROOT = Path(__file__).parents[1]
# What an example need not import: the usual short names, and the public names of the package.
COMMON_NAMES = {"keras": keras, "np": np, "tf": tf, "s2s": keras_s2s} | {
    name: getattr(keras_s2s, name) for name in keras_s2s.__all__
}


def _module_names() -> list[str]:
    """Return the name of every module of the package."""
    names = []
    for package, folder in (
        ("keras_s2s", ROOT / "keras_s2s"),
        ("keras_s2s.export", ROOT / "export"),
    ):
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            if parts[0] != "export":
                names.append(".".join([package, *parts]).removesuffix(".__init__"))
    return names


def _own_classes(module: ModuleType) -> list[type]:
    """Return the public classes that `module` defines."""
    return [
        value
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and name[0] != "_"
    ]


def _with_slow_examples() -> list[Any]:
    """Mark the modules whose examples train a model twice or evaluate it in each epoch."""
    slow = {"keras_s2s.callbacks.resume", "keras_s2s.callbacks.search_evaluation"}
    return [
        pytest.param(name, marks=[pytest.mark.slow] if name in slow else [])
        for name in _module_names()
    ]


@pytest.mark.parametrize("name", _with_slow_examples())
def test_every_example_runs_as_printed(name: str) -> None:
    module = importlib.import_module(name)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    found = doctest.testmod(module, optionflags=flags, extraglobs=COMMON_NAMES)
    assert found.failed == 0


@pytest.mark.parametrize("name", _module_names())
def test_every_public_method_has_a_docstring(name: str) -> None:
    missing = [
        f"{own.__name__}.{method}"
        for own in _own_classes(importlib.import_module(name))
        for method, value in vars(own).items()
        if isinstance(value, (property, classmethod, staticmethod)) or inspect.isfunction(value)
        if method[0] != "_" and not value.__doc__
        # An override keeps the docstring of what it overrides, Keras's `build` and `call` too.
        if not any(method in vars(base) for base in own.__mro__[1:])
    ]
    assert missing == []
