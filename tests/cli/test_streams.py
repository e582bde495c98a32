"""Lines are read in groups without waiting; noise is held back, and a terminal shows progress."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time

import pytest

from keras_s2s.callbacks.epoch_metrics import KeepBest
from keras_s2s.cli.epoch_lines import EpochLines
from keras_s2s.cli.streams import (
    LineReader,
    decode_line,
    heeding_ctrl_c,
    hushed,
    in_column,
    progress,
)


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    with open(reading, "rb") as file:
        yield file, writing


def test_a_line_is_given_without_waiting_for_the_next(pipe):
    file, writing = pipe
    reader = LineReader(file)
    os.write(writing, b"one\ntw")
    assert reader.read(5) == [b"one"]
    os.write(writing, b"o\n")
    assert reader.read(5) == [b"two"]
    os.close(writing)
    assert reader.read(5) == []


def test_plentiful_lines_are_given_in_groups_as_large_as_wanted(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"%d\n" % number for number in range(50000)))
    with path.open("rb") as file:
        reader = LineReader(file)
        groups = list(iter(lambda: reader.read(20000), []))
    assert [len(group) for group in groups] == [20000, 20000, 10000]
    assert [int(line) for group in groups for line in group] == list(range(50000))
    assert reader.position == path.stat().st_size


def test_a_line_that_comes_in_pieces_stays_whole(pipe):
    file, writing = pipe
    threading.Timer(0.1, lambda: (os.write(writing, "€\n".encode()[1:]), os.close(writing))).start()
    os.write(writing, "€".encode()[:1])
    reader = LineReader(file)
    assert reader.read(5) == ["€".encode()]
    assert reader.read(5) == []


def test_what_would_break_columns_becomes_a_space_and_nothing_else_does():
    assert in_column("a\tb\nc\r\nd\0e") == "a b c  d e"
    others = "a\u2028b\u0085c\vd\fe\x1c"
    assert in_column(others) == others


def test_no_progress_is_shown_without_a_terminal(capsys):
    with progress("Working", 3) as advance:
        advance(3)
    assert capsys.readouterr() == ("", "")


NOISE = b"noise of a library"


@pytest.mark.parametrize(
    ("line", "text"), [(b"walk\tV;PST", "walk V;PST"), (b"walk V;PST", "walk V;PST")]
)
def test_features_may_stand_in_a_column(line, text):
    assert decode_line(line, "line 1", "features") == text


def test_features_stand_in_one_column():
    with pytest.raises(ValueError, match=r"line 1: 3 columns\. Expected: source<TAB>features"):
        decode_line(b"walk\tV;PST\twalked", "line 1", "features")


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
def test_ctrl_c_during_an_import_is_heeded(library):
    with pytest.raises(KeyboardInterrupt), heeding_ctrl_c():
        library()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_terminal_shows_that_the_first_step_is_compiled():
    lines = EpochLines(KeepBest(None, "best.keras", "wer"), "words")
    lines.set_params({"epochs": 2, "steps": 7})
    with terminal() as shown:
        lines.on_train_begin()
        time.sleep(1.2)
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


def test_output_is_hidden_but_progress_is_shown():
    with terminal() as shown, hushed("Exporting"):
        os.write(2, NOISE)
        time.sleep(1.2)
    assert shown == [b"\r\033[KExporting ... 0:01\r\033[K"]


def test_what_is_over_in_a_second_is_not_told():
    with terminal() as shown, hushed("Exporting"):
        os.write(2, NOISE)
    assert shown == [b""]


def test_where_something_fails_all_is_shown():
    with pytest.raises(ZeroDivisionError), terminal() as shown, hushed("Exporting"):
        1 // os.write(2, NOISE) // 0
    assert shown == [NOISE]


def test_with_debug_nothing_is_held(monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    with terminal() as shown, hushed("Exporting"):
        os.write(2, NOISE)
    assert shown == [NOISE]


def test_steps_are_shown_as_lines_where_there_is_no_terminal(capfd):
    with hushed("Exporting"):
        logging.getLogger("keras_s2s.export").info("comparing %d answers", 3)
        logging.getLogger("keras_s2s.export").debug("nobody's business")
    assert capfd.readouterr().err == "comparing 3 answers\n"


def test_a_terminal_sees_the_step_beside_the_time():
    with terminal() as shown, hushed("Exporting"):
        logging.getLogger("keras_s2s.export").info("comparing")
        time.sleep(1.2)
    assert shown == [b"\r\033[Kcomparing ... 0:01\r\033[K"]
