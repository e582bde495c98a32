"""Run the command line in this process or in a new one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from keras_s2s.cli.main import main

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-c", "from keras_s2s.cli.main import run; run()"]


class Runner:
    """Runner of commands in this process."""

    def __init__(self, monkeypatch, capsysbinary, folder):
        self.monkeypatch, self.captured, self.folder = monkeypatch, capsysbinary, folder

    def __call__(self, *arguments: Any, stdin: bytes = b"") -> tuple[int, str, str]:
        """Run a command. Return its exit code, standard output and standard error."""
        given = self.folder / "stdin"
        given.write_bytes(stdin)
        self.captured.readouterr()
        with given.open() as file:
            self.monkeypatch.setattr(sys, "stdin", file)
            code = main([str(argument) for argument in arguments])
        output, errors = self.captured.readouterr()
        return code, output.decode(), errors.decode()


def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
    """Start the command line in a new process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # the command line sets its own log level
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        env=environment,
        stderr=subprocess.PIPE,
        preexec_fn=_hear_interrupts,  # noqa: PLW1509
        **options,
    )


def _hear_interrupts() -> None:
    """Restore the default handling of Ctrl-C, which a shell disables for background processes."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
