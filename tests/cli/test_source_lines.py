"""Lines are read in groups without waiting."""

from __future__ import annotations

import gzip
import os
import threading
import time

import pytest

from keras_s2s.cli import source_lines
from keras_s2s.cli.source_lines import LineReader, decode_line, read_lines


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    with open(reading, "rb") as file:
        yield file, writing


def test_a_line_is_returned_without_waiting_for_the_next(pipe):
    file, writing = pipe
    reader = LineReader(file)
    os.write(writing, b"one\ntw")
    assert reader.read(5) == [b"one"]
    os.write(writing, b"o\n")
    assert reader.read(5) == [b"two"]
    os.close(writing)
    assert reader.read(5) == []


def test_available_lines_are_returned_in_groups_of_the_requested_size(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"%d\n" % number for number in range(50000)))
    with path.open("rb") as file:
        reader = LineReader(file)
        groups = list(iter(lambda: reader.read(20000), []))
    assert [len(group) for group in groups] == [20000, 20000, 10000]
    assert [int(line) for group in groups for line in group] == list(range(50000))
    assert reader.position == path.stat().st_size


def test_a_line_that_arrives_in_parts_is_returned_whole(pipe):
    file, writing = pipe
    threading.Timer(0.1, lambda: (os.write(writing, "€\n".encode()[1:]), os.close(writing))).start()
    os.write(writing, "€".encode()[:1])
    reader = LineReader(file)
    assert reader.read(5) == ["€".encode()]
    assert reader.read(5) == []


def test_the_time_for_a_long_line_grows_with_its_length(tmp_path, monkeypatch):
    monkeypatch.setattr(source_lines, "_CHUNK", 16)
    path = tmp_path / "lines"
    path.write_bytes(b"a" * (1 << 20) + b"\r\nb")
    start = time.process_time()
    with path.open("rb") as file:
        reader = LineReader(file)
        assert [len(line) for line in reader.read(5)] == [1 << 20, 1]
    assert time.process_time() - start < 3  # 0.1 s; with a copy for each part, 10 s


def test_the_first_line_can_be_peeked_at(pipe):
    file, writing = pipe
    os.write(writing, b"\xef\xbb\xbfone\ntwo\n")
    reader = LineReader(file)
    assert reader.peek() == reader.peek() == b"one"
    assert reader.number == 0
    assert reader.read(5) == [b"one", b"two"]
    os.close(writing)
    assert reader.peek() is None


@pytest.mark.parametrize(
    ("line", "text"), [(b"walk\tV;PST", "walk V;PST"), (b"walk V;PST", "walk V;PST")]
)
def test_features_may_have_their_own_column(line, text):
    assert decode_line(line, "line 1", "features") == text


@pytest.mark.parametrize("columns", [None, "first", "text", "features"])
def test_a_line_of_white_space_is_empty(columns):
    assert decode_line(" \t\u3000".encode(), "line 1", columns).strip() == ""


@pytest.mark.parametrize("columns", [None, "first", "text", "features"])
def test_lines_that_end_with_a_carriage_return_alone_are_refused(columns):
    line = b"ab\td\rc\tf" if columns in ("first", "text") else b"ab c\rd"
    with pytest.raises(ValueError, match=r"f, line 1: a carriage return at character 5. Expected"):
        decode_line(line, "f, line 1", columns)


def test_features_must_be_one_column():
    with pytest.raises(ValueError, match=r"line 1: 3 columns\. Expected: source<TAB>features"):
        decode_line(b"walk\tV;PST\twalked", "line 1", "features")


@pytest.mark.parametrize("name", ["words.txt", "words.gz"])
def test_files_of_sources_may_be_compressed(name, tmp_path):
    path, content = str(tmp_path / name), "\ufeffab\r\n \nc".encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert read_lines(path) == [(f"{path}, line 1", "ab"), (f"{path}, line 3", "c")]


def test_a_compressed_stream_is_refused():
    with pytest.raises(ValueError, match="line 1: the text is compressed with gzip; decompress it"):
        decode_line(gzip.compress(b"ab"), "line 1")


def test_a_file_of_sources_in_utf16_is_refused(tmp_path):
    (tmp_path / "words.txt").write_text("ab\n", encoding="utf-16")
    with pytest.raises(
        ValueError, match=r"line 1: the text is UTF-16; save it as UTF-8\. Expected: one source per"
    ):
        read_lines(str(tmp_path / "words.txt"))
