"""Entry point of the command line: commands, exit codes and error messages."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

import click

from keras_s2s.cli.average_and_ensemble import average, ensemble
from keras_s2s.cli.compare import compare
from keras_s2s.cli.draw import draw
from keras_s2s.cli.evaluate import evaluate
from keras_s2s.cli.export import export
from keras_s2s.cli.inspect import inspect
from keras_s2s.cli.score import score
from keras_s2s.cli.serving_files import serving_files
from keras_s2s.cli.streams import PROGRAM, naming_output, warn
from keras_s2s.cli.train import train
from keras_s2s.cli.translate import translate
from keras_s2s.errors import InputError, MissingPackageError, TrainingDivergedError

# Exit codes.
_MISTAKE = 2
_FAILURE = 1
_INTERRUPTED = 130  # as in a shell: 128 + SIGINT
_PIPE_CLOSED = 141  # 128 + SIGPIPE
_STDERR = 2  # file descriptor

_MISTAKES = (
    InputError,
    MissingPackageError,
    BlockingIOError,
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


class _PipeClosedError(Exception):
    """The reader of the output closed the pipe, as `head` does."""


class _InterruptedError(Exception):
    """The user pressed Ctrl-C."""


class _Commands(click.Group):
    """Command group that raises its own errors where click would print a message."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            answer = super().invoke(ctx)
            with naming_output():
                sys.stdout.flush()
        except BrokenPipeError as error:
            raise _PipeClosedError from error
        except KeyboardInterrupt as error:
            raise _InterruptedError from error
        return answer


# Every command lists this option in its help; `main` handles it, before TensorFlow is imported.
_DEBUG = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    help="Show tracebacks, and the log messages of TensorFlow and other libraries.",
)


def _add_debug(command: click.Command) -> None:
    """Add `--debug` to the help of a command and of its subcommands."""
    for subcommand in command.commands.values() if isinstance(command, click.Group) else ():
        _add_debug(subcommand)
    _DEBUG(command)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 for success, 2 for a mistake in the command or its input, 1 for any "
    "other failure, and if `compare` finds more changes than allowed.",
)
@click.version_option(package_name="keras-s2s", prog_name=PROGRAM)
@_DEBUG
def commands() -> None:
    """Train, use and export sequence-to-sequence models from source<TAB>target lines."""


for _command in (
    average,
    compare,
    draw,
    ensemble,
    evaluate,
    export,
    inspect,
    score,
    serving_files,
    train,
    translate,
):
    _add_debug(_command)
    commands.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Sequence of arguments after the program name. Defaults to those of this process.

    Returns:
        The exit code: 0 on success, 2 for user errors, 1 for other failures, 130 after Ctrl-C, 141
        if the reader of the output closed the pipe.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    if not debug:  # must be set before TensorFlow is imported
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")
            warnings.filterwarnings("default", category=UserWarning, module=r"keras_s2s\.")
            warnings.showwarning = _show_warning
        try:
            # click returns the code of an `Exit`, otherwise None
            code = commands.main(args=arguments, prog_name=PROGRAM, standalone_mode=False)
        except click.exceptions.Exit as ended:
            return ended.exit_code
        except (click.Abort, _InterruptedError, KeyboardInterrupt):
            return _INTERRUPTED
        except _PipeClosedError:
            # Otherwise Python reports the error again when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return _PIPE_CLOSED
        except click.UsageError as error:
            if error.ctx is not None and type(error).__name__ == "NoArgsIsHelpError":  # click 8.2
                click.echo(error.ctx.get_help())  # as without any arguments
                return 0
            return _report(error)
        except Exception as error:
            if debug:
                traceback.print_exc()
            return _report(error)
    return code if isinstance(code, int) else 0


def run() -> None:
    """Run the command line of this process and exit."""
    _replace_closed_error_stream()
    if sys.stdout is None:
        click.echo(f"{PROGRAM}: failed: standard output is closed", err=True)
        sys.exit(_FAILURE)
    if isinstance(sys.stdout, io.TextIOWrapper):  # the locale may lack α and →, which help uses
        sys.stdout.reconfigure(errors="replace")
    code = main()
    if code == _INTERRUPTED:
        # Packages that were interrupted while they were imported complain when Python exits.
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    if "ai_edge_litert" in sys.modules and "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        # LiteRT writes INFO lines when the process ends, and has no setting for them.
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)
    sys.exit(code)


def _replace_closed_error_stream() -> None:
    """Send messages to the null device if standard error is closed, as by `2>&-`."""
    if sys.stderr is None:
        null = os.open(os.devnull, os.O_WRONLY)
        if null != _STDERR:
            os.dup2(null, _STDERR)
            os.close(null)
        sys.stderr = os.fdopen(_STDERR, "w")


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning of this package in one line."""
    text = " ".join(str(message).split())
    warn(text[:1].lower() + text[1:] if text[1:2].islower() else text)


def _report(error: Exception) -> int:
    """Print an error in one line and return the exit code."""
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        name = context.command_path if context is not None else PROGRAM
        click.echo(f"{name}: {_describe(error)}", err=True)
        return _MISTAKE
    if _is_mistake(error):
        click.echo(f"{PROGRAM}: {_describe(error)}", err=True)
        return _MISTAKE
    text = _describe(error)
    if _is_fault(error):
        kind = type(error).__name__
        text = f"{kind}: {text} (a bug in {PROGRAM}: please report it with the output of --debug)"
    click.echo(f"{PROGRAM}: failed: {text}", err=True)
    return _FAILURE


def _is_mistake(error: Exception) -> bool:
    """Return whether the user can fix the error, such as invalid input or a missing file.

    Args:
        error: The exception.
    """
    return isinstance(error, _MISTAKES)


def _is_fault(error: Exception) -> bool:
    """Return whether the error is unexpected and should be reported as a bug.

    Args:
        error: The exception.
    """
    return not _is_mistake(error) and not isinstance(
        error, (OSError, MemoryError, TrainingDivergedError)
    )


def _describe(error: Exception) -> str:
    """Return the message of an error as a single line.

    Args:
        error: The exception.

    Returns:
        A string without line breaks.
    """
    if isinstance(error, click.ClickException):
        text = error.format_message()
    elif isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error)
    return " ".join(text.split())
