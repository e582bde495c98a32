"""Messages of libraries on standard error are hidden, and a terminal shows progress."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import types

import pytest

from keras_s2s.callbacks.epoch_metrics import KeepBest
from keras_s2s.cli import streams
from keras_s2s.cli.epoch_lines import EpochLines
from keras_s2s.cli.streams import StatusLine, heeding_ctrl_c, hushed, in_column, progress


def test_only_column_and_line_ends_become_spaces():
    assert in_column("a\tb\nc\r\nd\0e") == "a b c  d e"
    others = "a\u2028b\u0085c\vd\fe\x1c"
    assert in_column(others) == others


def test_no_progress_is_shown_without_a_terminal(capsys):
    with progress("Working", 3) as advance:
        advance(3)
    assert capsys.readouterr() == ("", "")


NOISE = b"noise of a library"


def turn_into_another_error():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise ImportError("a library was interrupted") from None


def ignore():
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def ctrl_c_interrupts():
    """Handle the signal, which the background jobs of a shell ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_interrupts")
@pytest.mark.parametrize("library", [turn_into_another_error, ignore])
def test_ctrl_c_during_an_import_raises_keyboard_interrupt(library):
    with pytest.raises(KeyboardInterrupt), heeding_ctrl_c():
        library()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Clock:
    """Clock of status lines, on which time passes only when a test says so."""

    def __init__(self) -> None:
        self._elapsed, self._passed, self._shown = 0, threading.Event(), threading.Event()

    def show(self, seconds: int) -> None:
        """Let the status line show these seconds, and return when it is written."""
        self._elapsed = seconds
        self._passed.set()
        assert self._shown.wait(60)

    def seconds(self, line: StatusLine):
        """Take the place of `StatusLine._seconds`."""
        while not self._passed.wait(0.01):
            if line._done.is_set():
                return
        yield self._elapsed
        self._shown.set()
        line._done.wait(60)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()

    def seconds(line):
        return clock.seconds(line)

    monkeypatch.setattr(StatusLine, "_seconds", seconds)
    return clock


@pytest.mark.parametrize(("at_once", "first"), [(False, 1.0), (True, 0.0)])
def test_a_line_is_written_every_second(at_once, first, monkeypatch):
    pauses, times = [], iter([10.0, 10.1, 11.2, 71.4])

    def wait(pause):
        pauses.append(pause)
        return len(pauses) == 4

    monkeypatch.setattr(streams, "time", types.SimpleNamespace(monotonic=times.__next__))
    line = StatusLine("Exporting", at_once=at_once)
    line._done = types.SimpleNamespace(wait=wait)
    assert list(line._seconds()) == [0, 1, 61]
    assert pauses == [first, 1.0, 1.0, 1.0]


def test_a_terminal_shows_that_the_first_step_is_compiling(clock):
    lines = EpochLines(KeepBest(None, "best.keras", "wer"), "words")
    lines.set_params({"epochs": 2, "steps": 7})
    with terminal() as shown:
        lines.on_train_begin()
        clock.show(1)
        lines.stop()
        lines.stop()
    assert shown == [b"\r\033[KCompiling the training step ... 0:01\r\033[K"]


@contextlib.contextmanager
def terminal():
    """Replace standard error by a terminal, and return what it shows in the end."""
    master, slave = os.openpty()
    before, shown = os.dup(2), []
    os.dup2(slave, 2)
    try:
        yield shown
    finally:
        os.dup2(before, 2)
        os.write(slave, b"|")  # the end: one read may return less than was written
        read = b""
        while not read.endswith(b"|"):
            read += os.read(master, 10000)
        shown.append(read.removesuffix(b"|"))
        for descriptor in (before, master, slave):
            os.close(descriptor)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")


def test_output_is_hidden_but_progress_is_shown(clock):
    with terminal() as shown, hushed("Exporting"):
        os.write(2, NOISE)
        clock.show(1)
    assert shown == [b"\r\033[KExporting ... 0:01\r\033[K"]


def test_steps_shorter_than_a_second_are_not_shown(clock):
    with terminal() as shown, hushed("Exporting"):
        os.write(2, NOISE)
    assert shown == [b""]


def test_hidden_output_is_shown_after_an_error(clock):
    with pytest.raises(ZeroDivisionError), terminal() as shown, hushed("Exporting"):
        1 // os.write(2, NOISE) // 0
    assert shown == [NOISE]


def test_debug_shows_all_output(monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    with terminal() as shown, hushed("Exporting"):
        os.write(2, NOISE)
    assert shown == [NOISE]


def test_steps_are_printed_as_lines_without_a_terminal(capfd):
    with hushed("Exporting"):
        logging.getLogger("keras_s2s.export").info("comparing %d answers", 3)
        logging.getLogger("keras_s2s.export").debug("nobody's business")
    assert capfd.readouterr().err == "comparing 3 answers\n"


def test_a_terminal_shows_the_step_and_the_time(clock):
    with terminal() as shown, hushed("Exporting"):
        logging.getLogger("keras_s2s.export").info("comparing")
        clock.show(61)
    assert shown == [b"\r\033[Kcomparing ... 1:01\r\033[K"]


def test_a_long_step_is_shown_at_once(capfd, clock):
    with hushed("Loading TensorFlow", at_once=True):
        pass
    assert capfd.readouterr().err == "Loading TensorFlow\n"
    with terminal() as shown, hushed("Loading TensorFlow", at_once=True):
        clock.show(0)
    assert shown == [b"\r\033[KLoading TensorFlow ... 0:00\r\033[K"]
