"""Import user modules that register custom layers and functions."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from typing import Any

import click

from keras_s2s.errors import InputError, MissingPackageError

_KEY = "keras_s2s.modules"  # in click's context


def _keep(ctx: click.Context, option: click.Parameter, names: tuple[str, ...]) -> None:
    """Store the module names until a model is loaded."""
    ctx.meta[_KEY] = names


IMPORT: Any = click.option(
    "--import",
    "modules",
    multiple=True,
    metavar="MODULE",
    expose_value=False,
    callback=_keep,
    help="Python module that registers custom layers or functions, in the current folder or "
    "installed. May be given several times.",
)


def import_modules(names: Iterable[str] = ()) -> None:
    """Import the modules given by `--import` and by `names`.

    Args:
        names: More module names, such as those in the settings of a run. Defaults to none.

    Raises:
        MissingPackageError: If a module does not exist.
        InputError: If a name is not a valid module name, or importing the module fails.
    """
    context = click.get_current_context(silent=True)
    given = () if context is None else context.meta.get(_KEY, ())
    for name in dict.fromkeys([*given, *names]):
        _import(name)


def _import(name: str) -> None:
    if not all(part.isidentifier() for part in name.split(".")) or name.endswith(".py"):
        raise InputError(
            f"--import {name}: not the name of a module. Expected: my_module for a file "
            "my_module.py, my_package.my_module for one in a package"
        )
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        importlib.import_module(name)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{name}.".startswith(f"{missing}."):
            raise MissingPackageError(
                f"--import {name}: there is no module {missing!r}, neither in the current folder "
                "nor installed"
            ) from error
        raise InputError(f"--import {name}: {type(error).__name__}: {error}") from error
    finally:
        if added:
            sys.path.remove(here)
