"""Library output is buffered, and a terminal shows progress."""

from __future__ import annotations

import contextlib
import logging
import os
import time

import pytest

from keras_s2s.cli.quiet import hushed

NOISE = b"noise of a library"


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
