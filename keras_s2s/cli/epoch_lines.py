"""Terminal output of training: a line per epoch, why training ended, and the best epoch."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import click
import keras

from keras_s2s.callbacks.epoch_metrics import KeepBest
from keras_s2s.checks import count_of
from keras_s2s.cli.report import EXPLANATIONS, explain_ter, name_of, shown
from keras_s2s.cli.streams import StatusLine

_REDRAW = 0.5  # seconds


class EpochLines(keras.callbacks.Callback):
    """Prints the metrics after each epoch, and the progress within an epoch on a terminal.

    The first step takes long, because TensorFlow compiles it. Until it ends, a terminal shows the
    elapsed time. Call `stop` after `fit`, in case `fit` raised an error during that step. The
    callback must come after `KeepBest` in the list of callbacks.

    Args:
        keep: The `KeepBest` callback, which knows the best epoch.
        tokens: Unit of the token error rate: "words", "characters" or "phones".
    """

    def __init__(self, keep: KeepBest, tokens: str) -> None:
        super().__init__()
        self.keep, self.tokens = keep, tokens
        self._number, self._since, self._drawn = "", 0.0, 0.0
        self._compiling = StatusLine("Compiling the training step")

    def stop(self) -> None:
        """Remove the status line of the compilation, if it is still shown."""
        self._compiling.stop()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._compiling = StatusLine("Compiling the training step").start()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._number = f"Epoch {epoch + 1} of {self.params['epochs']}"
        self._since = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.stop()
        now = time.monotonic()
        if sys.stderr.isatty() and now - self._drawn >= _REDRAW:
            self._drawn = now
            steps = self.params.get("steps")
            of_all = f" of {steps}" if steps else ""
            loss = f", loss {float(logs['loss']):.4f}" if logs and "loss" in logs else ""
            click.echo(
                f"\r\033[K{self._number}: step {batch + 1}{of_all}{loss}", nl=False, err=True
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if sys.stderr.isatty():
            click.echo("\r\033[K", nl=False, err=True)
        seconds = time.monotonic() - self._since
        best = ", best so far" if self.keep.best_epoch == epoch else ""
        figures = describe_figures(logs or {}, self.tokens)
        click.echo(f"{self._number}: {figures}, {seconds:.0f} s{best}")


def describe_figures(row: dict[str, Any], tokens: str) -> str:
    """Return the losses and metrics of an epoch as text, with error rates in percent.

    Args:
        row: Dictionary of Keras logs, or a row of the learning curve.
        tokens: Unit of the token error rate.
    """
    parts = [
        f"{name} {float(row[key]):.4f}"
        for key, name in (("loss", "loss"), ("val_loss", "validation loss"))
        if key in row
    ]
    for key, value in row.items():
        name = name_of(key.removeprefix("val_"), tokens)
        if key.startswith("val_") and name is not None:
            parts.append(f"{name} {shown(key.removeprefix('val_'), float(value))}")
    return ", ".join(parts)


def describe_metrics(tokens: str) -> str:
    """Return a line that explains the error rates in the line of an epoch.

    Args:
        tokens: Unit of the token error rate.
    """
    ter = name_of("ter", tokens)
    return (
        f"Metrics on the validation pairs: {name_of('wer', tokens)} is the {EXPLANATIONS['wer']}; "
        f"{ter} is the number of {explain_ter(tokens)}"
    )


def describe_limit(evaluated: int, sources: int) -> str | None:
    """Return a line that says why the error rates of an epoch differ from those at the end.

    Args:
        evaluated: Integer. Maximum number of sources to evaluate after each epoch; 0 for all.
        sources: Integer. Number of validation sources.

    Returns:
        The line, or `None` if all sources are evaluated after each epoch.
    """
    if not 0 < evaluated < sources:
        return None
    return (
        f"Each epoch is evaluated on the first {evaluated:,} of {sources:,} validation sources "
        "(--evaluation-sources); at the end, the best model is evaluated on all of them"
    )


def describe_ending(settings: SimpleNamespace, callbacks: SimpleNamespace) -> str:
    """Return two lines: why training ended, and which epoch was the best.

    Args:
        settings: Namespace of the training settings.
        callbacks: Namespace of the callbacks `curve`, `pace`, `keep`, `lines` and `early`. `early`
            may be `None`.
    """
    rows, early = callbacks.curve.rows, callbacks.early
    reason = ""
    if early is not None and early.is_over():
        waited = count_of(early.patience, "epoch")
        reason = f", because no metric improved for {waited} (--patience)"
    elif callbacks.pace.is_over() and len(rows) < settings.epochs:
        limit = count_of(float(settings.minutes), "minute")
        reason = f", because the time limit of {limit} was reached (--minutes)"
    lines = [f"Training ended after epoch {len(rows)} of {settings.epochs}{reason}"]
    kept = callbacks.keep.best_epoch
    for row in rows:
        if row["epoch"] == kept:
            figures = describe_figures(row, callbacks.lines.tokens)
            lines.append(f"Best epoch: {kept + 1} ({figures})")
    return "\n".join(lines)
