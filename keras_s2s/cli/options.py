"""Options shared by several commands, with their checks and imports."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

from keras_s2s.cli.setting_table import STOPPING
from keras_s2s.errors import InputError, MissingPackageError
from keras_s2s.files import check_writable

STOPPING_HELP = (
    "When a beam search stops: bound (no better output is possible), finished (as many outputs as "
    "the beam width are finished) or length (at the maximum length)."
)
_OF_MODEL = "the model's"
_MODULES = "keras_s2s.modules"  # key in click's context


def _keep_modules(ctx: click.Context, option: click.Parameter, names: tuple[str, ...]) -> None:
    """Check the module names, and store them until a model is loaded."""
    check_modules(names)
    ctx.meta[_MODULES] = names


MODEL = click.argument("model", type=click.Path(exists=True), metavar="MODEL")
PAIRS = click.argument("pairs", type=click.Path(exists=True, dir_okay=False), metavar="PAIRS")
FEATURES_COLUMN = click.option(
    "--features-column",
    type=click.IntRange(0, 3),
    help="Column with features, if PAIRS has three columns: 2 for lemma<TAB>features<TAB>form; 0: "
    "PAIRS has two columns.",
    show_default="that of the run folder, otherwise 0",
)
COLUMNS = click.option(
    "--columns",
    type=click.Choice(["first", "text", "features"]),
    help="How to read lines with tabs: only the first column (first), the whole line as one text "
    "(text), or source<TAB>features (features).",
    show_default="features for a model with a features tokenizer, otherwise an error",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON.")
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace existing files.")
BATCH_SIZE = click.option(
    "--batch-size",
    type=click.IntRange(1, 1 << 20),
    default=64,
    show_default=True,
    help="Number of texts per batch.",
)
IMPORT: Any = click.option(
    "--import",
    "modules",
    multiple=True,
    metavar="MODULE",
    expose_value=False,
    callback=_keep_modules,
    help="Python module that registers custom layers or functions, in the current folder or "
    "installed. May be given several times.",
)


def refuse_extra_arguments(hint: str) -> None:
    """Raise an error for extra arguments, with a hint at what was probably meant.

    The command must have `allow_extra_args` in its context settings.

    Args:
        hint: What to do instead.

    Raises:
        click.UsageError: If the command line has more arguments than the command takes.
    """
    context = click.get_current_context()
    if context.args:
        raise click.UsageError(f"Got unexpected extra argument {context.args[0]!r}. {hint}")


def check_free(path: str, overwrite: bool) -> None:
    """Check before the work starts that an output file can be written.

    Args:
        path: Path of the file to write.
        overwrite: Boolean. Whether an existing file may be replaced.

    Raises:
        FileExistsError: If the file exists and `overwrite` is false.
        OSError: If the folder does not exist or is not writable.
    """
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(f"{path}: the file already exists; use --overwrite to replace it")
    check_writable(path)


def search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the search options to a command. Each defaults to `None`.

    Args:
        command: The command function.

    Returns:
        The function with the options `beam_width`, `length_penalty`, `max_length` and `stopping`.
    """
    for option in (
        click.option(
            "--stopping", type=click.Choice(STOPPING), show_default=_OF_MODEL, help=STOPPING_HELP
        ),
        click.option(
            "--max-length",
            type=click.IntRange(1, 1 << 20),
            help="Maximum number of target tokens, including eos.",
            show_default=_OF_MODEL,
        ),
        click.option(
            "--length-penalty",
            type=click.FloatRange(0),
            help="Length penalty α in score = log P / length**α.",
            show_default=_OF_MODEL,
        ),
        click.option(
            "--beam-width",
            type=click.IntRange(1, 1 << 16),
            help="Number of hypotheses kept at each step.",
            show_default=_OF_MODEL,
        ),
    ):
        command = option(command)
    return command


def import_modules(names: Iterable[str] = ()) -> None:
    """Import the modules given by `--import` and by `names`.

    Args:
        names: More module names, such as those in the settings of a run. Defaults to none.

    Raises:
        MissingPackageError: If a module does not exist.
        InputError: If a name is not a valid module name, or importing the module fails.
    """
    context = click.get_current_context(silent=True)
    given = () if context is None else context.meta.get(_MODULES, ())
    for name in dict.fromkeys([*given, *names]):
        _import_module(name)


def check_modules(names: Iterable[str]) -> None:
    """Check before TensorFlow is imported that modules exist.

    Args:
        names: Module names.

    Raises:
        MissingPackageError: If a module does not exist.
        InputError: If a name is not a valid module name.
    """
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")) or name.endswith(".py"):
            raise InputError(
                f"--import {name}: not the name of a module. Expected: my_module for a file "
                "my_module.py, my_package.my_module for one in a package"
            )
        package = name.partition(".")[0]
        with _current_folder_on_path():
            if package not in sys.modules and importlib.util.find_spec(package) is None:
                raise _missing_module(name, package)


def _import_module(name: str) -> None:
    check_modules([name])
    try:
        with _current_folder_on_path():
            importlib.import_module(name)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{name}.".startswith(f"{missing}."):
            raise _missing_module(name, missing) from error
        raise InputError(f"--import {name}: {type(error).__name__}: {error}") from error


def _missing_module(name: str, missing: str) -> MissingPackageError:
    return MissingPackageError(
        f"--import {name}: there is no module {missing!r}, neither in the current folder nor "
        "installed"
    )


@contextlib.contextmanager
def _current_folder_on_path() -> Iterator[None]:
    """Make modules in the current folder importable."""
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        yield
    finally:
        if added:
            sys.path.remove(here)
