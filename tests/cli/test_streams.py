"""Reading lines in groups, without waiting for more lines."""

from __future__ import annotations

import os
import threading

import pytest

from keras_s2s.cli.streams import LineReader, in_column, progress


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
