"""Options shared by several commands, with their checks and imports."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

from keras_s2s.cli.paths import MODELS, PAIRS_FILE, ExistingPath, check_output
from keras_s2s.cli.setting import Setting, describe_number, describe_range, option_name
from keras_s2s.cli.setting_table import SETTINGS
from keras_s2s.errors import InputError, MissingPackageError

_OF_MODEL = "that of the model"
_MODULES = "keras_s2s.modules"  # key in click's context


def _keep_modules(ctx: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> None:
    """Check the module names, and store them until a model is loaded."""
    check_modules(names)
    ctx.meta[_MODULES] = names


class Option(click.Option):
    """Option whose help ends with its range and its default as sentences.

    Args:
        allowed: The allowed range in words. Defaults to that of the type.
        always: Boolean. Whether the help says that the option is required, although the setting may
            also be in a file. Defaults to `False`.
    """

    def __init__(
        self, *args: Any, allowed: str | None = None, always: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.allowed, self.always = allowed, always

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the names of the option and its help."""
        record = super().get_help_record(ctx)
        if record is None:
            return None
        default = self.show_default
        if default is True and self.default is not None:
            values = self.default if isinstance(self.default, tuple) else (self.default,)
            default = ", ".join(map(str, values))
        allowed = self.allowed
        if allowed is None and isinstance(self.type, click.IntRange | click.FloatRange):
            allowed = describe_range(self.type.min, self.type.max)
        sentences = [
            str(self.help),
            f"Allowed: {allowed}." if allowed else "",
            f"Default: {default}." if isinstance(default, str) and default else "",
            "Required." if self.required or self.always else "",
        ]
        return record[0].replace(" RANGE", ""), " ".join(filter(None, sentences))

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Convert a value. An error says what is expected, as those of settings do."""
        try:
            return super().type_cast_value(ctx, value)
        except click.BadParameter as error:
            kind = self.type
            if isinstance(kind, click.Choice):
                expected = f"one of {', '.join(kind.choices)}"
            elif isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
                number = int if isinstance(kind, click.types.IntParamType) else float
                limits = (getattr(kind, name, None) for name in ("min", "max"))
                expected = describe_number(number, *limits)
            else:
                raise
            received = " ".join(value) if isinstance(value, list | tuple) else value
            raise click.UsageError(
                f"{max(self.opts, key=len)} must be {expected}. Received: {received}", ctx
            ) from error


option = functools.partial(click.option, cls=Option)
MODEL = click.argument("model", type=ExistingPath(MODELS, folder=True), metavar="MODEL")
PAIRS = click.argument("pairs", type=ExistingPath(PAIRS_FILE), metavar="PAIRS")
FEATURES_COLUMN = option(
    "--features-column",
    type=click.IntRange(0, 3),
    help="Number of the column with morphological features, if PAIRS has three columns: 2 for "
    "lemma<TAB>features<TAB>form. 0 means that PAIRS has two columns.",
    show_default="that of the run folder, otherwise 0",
)
COLUMNS = option(
    "--columns",
    type=click.Choice(["first", "text", "features"]),
    help="How to read lines with tabs: translate only the first column (first), treat tabs as "
    "spaces (text), or read source<TAB>features (features).",
    show_default="features if the model has a features tokenizer, otherwise a tab is an error",
)
JSON = option("--json", "as_json", is_flag=True, help="Print JSON.")
OVERWRITE = option("--overwrite", is_flag=True, help="Replace existing files.")
BATCH_SIZE = option(
    "--batch-size",
    type=click.IntRange(1, 1 << 20),
    default=64,
    show_default=True,
    help="Number of texts per batch.",
)
IMPORT: Any = option(
    "--import",
    "modules",
    multiple=True,
    metavar="MODULE",
    expose_value=False,
    callback=_keep_modules,
    help=SETTINGS["import"].option_help(),
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


def check_free(name: str, path: str, overwrite: bool) -> None:
    """Check before the work starts that an output file can be written.

    Args:
        name: Name of the option or argument, for error messages.
        path: Path of the file to write.
        overwrite: Boolean. Whether an existing file may be replaced.

    Raises:
        FileExistsError: If the file exists and `overwrite` is false.
        OSError: If the folder does not exist or is not writable.
    """
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(
            f"{name} {path}: the file already exists; use --overwrite to replace it"
        )
    check_output(name, path)


def search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the search options to a command. Each defaults to `None`.

    Args:
        command: The command function.

    Returns:
        The function with the options `beam_width`, `length_penalty`, `max_length` and `stopping`.
    """
    for name in ("stopping", "max_length", "length_penalty", "beam_width"):
        setting = SETTINGS[name]
        command = option(
            option_name(name),
            type=_type_of(setting),
            show_default=_OF_MODEL,
            help=setting.option_help(),
        )(command)
    return command


def _type_of(setting: Setting) -> click.ParamType[Any]:
    """Return the type of an option with the choices or the range of a setting."""
    if setting.choices:
        return click.Choice(setting.choices)
    if setting.kind is float:
        return click.FloatRange(setting.minimum)
    return click.IntRange(int(setting.minimum or 0), int(setting.maximum))


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
                f"--import {name}: not a module name. Expected: my_module for a file my_module.py, "
                "or my_package.my_module for a module in a package"
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
        f"--import {name}: no module {missing!r} in the current folder or among the installed "
        "packages"
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
