from __future__ import annotations

import gzip
import os
import pathlib
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from keras_s2s.data import iterate_pairs, read_pairs
from keras_s2s.data.pairs import iterate_lines

LINES = "hello\tHH AH L OW\nça  va\t≈ \n"
PAIRS = [("hello", "HH AH L OW"), ("ça  va", "≈ ")]


def _write(folder: pathlib.Path, content: bytes, name: str = "pairs.tsv") -> pathlib.Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        LINES.encode(),
        LINES.rstrip("\n").encode(),
        LINES.replace("\n", "\r\n").encode(),
        LINES.encode("utf-8-sig"),
        (LINES + "\n\n").encode(),
        (LINES + "\r\n").encode(),
    ],
    ids=["lf", "no_last_end", "crlf", "byte_order_mark", "empty_at_the_end", "empty_crlf"],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_all_usual_file_variants_are_read(content, compressed, tmp_path):
    path = _write(tmp_path, gzip.compress(content) if compressed else content)
    assert read_pairs(path) == PAIRS


def test_compression_is_detected_from_the_content(tmp_path):
    content = gzip.compress(LINES.encode())
    for name in ("pairs.tsv.gz", "pairs.gz", "pairs.tsv", "pairs"):
        assert read_pairs(_write(tmp_path, content, name)) == PAIRS


def test_a_file_of_several_gzip_members_is_read_whole(tmp_path):
    first, second = LINES.splitlines(keepends=True)
    content = gzip.compress(first.encode()) + gzip.compress(second.encode())
    assert read_pairs(_write(tmp_path, content)) == PAIRS


def test_a_path_may_be_a_str_or_a_path_object(tmp_path):
    path = _write(tmp_path, LINES.encode())
    assert read_pairs(str(path)) == read_pairs(path) == PAIRS


def test_a_pipe_is_read(tmp_path):
    reader, writer = os.pipe()
    os.write(writer, gzip.compress(LINES.encode()))
    os.close(writer)
    assert read_pairs(f"/dev/fd/{reader}") == PAIRS
    os.close(reader)


def test_only_line_feeds_end_a_line(tmp_path):
    # str.splitlines would end one at each of these.
    source = "a\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029b"
    assert read_pairs(_write(tmp_path, f"{source}\tx\n".encode())) == [(source, "x")]


def test_pairs_are_yielded_before_the_whole_file_is_read(tmp_path):
    pairs = iterate_lines(_write(tmp_path, b"a\tb\nc\td\nno tab\n"))
    assert [next(pairs), next(pairs)] == [("a", "b"), ("c", "d")]
    with pytest.raises(ValueError, match="line 3: no tab"):
        next(pairs)


SIDES = strategies.text(
    strategies.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r\0"), min_size=1
).filter(lambda text: text.strip() and not text.startswith("\ufeff"))


@hypothesis.settings(
    max_examples=50, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(pairs=strategies.lists(strategies.tuples(SIDES, SIDES), min_size=1, max_size=5))
def test_written_pairs_are_read_back(pairs, tmp_path):
    content = "".join(f"{source}\t{target}\n" for source, target in pairs)
    assert read_pairs(_write(tmp_path, content.encode())) == pairs


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"no tab here", "no tab in the line. Expected: source<TAB>target"),
        (b"a\tb\tc", "3 columns. If column 2 contains morphological features, such as V;PST, read"),
        (b"a\tb\tV;PST", "3 columns. If column 3 contains morphological features"),
        (b"a; b\tc\tV;PST", "3 columns. If column 3 contains morphological features"),
        (b"a\tb\tc\td", "4 columns. Put each additional target of a source on a separate line"),
        (b"a\tb\t", "3 columns"),
        (b"\tb", "the source is empty"),
        (b"a\t", "the target is empty"),
        (b" \xc2\xa0\tb", "the source is empty"),
        (b"a\t ", "the target is empty"),
        (b"\t", "the source is empty"),
        (b"", "the line is empty"),
        (b"a\tcaf\xe9", "not UTF-8: byte 0xE9 at position 5"),
        (b"\xed\xa0\x80\tb", "not UTF-8: byte 0xED at position 0"),
        (b"a\0\tb", "a NUL character in the source"),
        (b"a\rb\tc", "a carriage return inside the line; end lines with LF or CR LF"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("compressed", [False, True])
def test_a_line_that_is_not_a_pair_is_refused_with_its_number(line, reason, compressed, tmp_path):
    content = b"good\tgood\n" * 2 + line + b"\ngood\tgood\n"
    path = _write(tmp_path, gzip.compress(content) if compressed else content)
    with pytest.raises(ValueError, match=r"pairs\.tsv, line 3: ") as caught:
        read_pairs(path)
    assert str(caught.value).startswith(f"{path}, line 3: {reason}")


@pytest.mark.parametrize(
    ("column", "line"),
    [(1, "V;PST\tgo by\twent by"), (2, "go by\tV;PST\twent by"), (3, "go by\twent by\tV;PST")],
)
def test_features_are_read_from_their_column(column, line, tmp_path):
    path = _write(tmp_path, f"{line}\n".encode())
    pairs = [("go by V;PST", "went by")]
    assert read_pairs(path, features_column=column) == pairs
    assert list(iterate_pairs(path, features_column=column)) == pairs


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "a\tb",
            "2 columns with features_column=2. For a file of two columns, omit `features_column` "
            ".* Expected: source<TAB>features<TAB>target",
        ),
        ("a\tb\tc\td", "4 columns with features_column=2"),
        ("a\t \tc", "the features are empty, column 2 of 3"),
        ("a\tV PST\tc", "white space in the features, column 2 of 3. Expected"),
        (
            "a\tc d\tV;PST",
            "white space .*, column 2 of 3. If column 3 contains the features, use fea",
        ),
        ("\tV\tc", "the source is empty"),
        ("a\tV\t", "the target is empty"),
    ],
)
def test_a_line_without_features_in_their_column_is_refused(line, reason, tmp_path):
    path = _write(tmp_path, f"a\tV\tc\n{line}\n".encode())
    with pytest.raises(ValueError, match=f"line 2: {reason}"):
        read_pairs(path, features_column=2)


@pytest.mark.parametrize("column", [0, 4, 2.0, "2", True])
@pytest.mark.parametrize("read", [read_pairs, iterate_pairs])
def test_an_impossible_column_is_refused(column, read, tmp_path):
    with pytest.raises((ValueError, TypeError), match="`features_column` must be"):
        read(_write(tmp_path, b"a\tV\tc\n"), features_column=column)


def test_the_advice_never_drops_a_column(tmp_path):
    with pytest.raises(ValueError, match="3 columns") as caught:
        read_pairs(_write(tmp_path, b"walk\tV;PST\twalked\n"))
    assert "cut" not in str(caught.value)
    assert "features_column=2 (`--features-column 2`)" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("compressed", [False, True])
def test_an_empty_file_is_refused(content, compressed, tmp_path):
    path = _write(tmp_path, gzip.compress(content) if compressed else content)
    with pytest.raises(ValueError, match=r"pairs\.tsv: the file is empty. Expected: lines of"):
        read_pairs(path)


def test_an_empty_file_named_gz_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"pairs\.gz: the file is empty"):
        read_pairs(_write(tmp_path, b"", "pairs.gz"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf16_is_refused(encoding, tmp_path):
    content = (LINES if encoding == "utf-16" else "\ufeff" + LINES).encode(encoding)
    with pytest.raises(ValueError, match="line 1: the text is UTF-16; save it as UTF-8"):
        read_pairs(_write(tmp_path, content))


def _damaged() -> dict[str, bytes]:
    lines = "".join(f"source {i * 7919 % 10007}\ttarget {i * 104729 % 9973}\n" for i in range(9000))
    whole = gzip.compress(lines.encode())
    middle = len(whole) // 2
    return {
        "cut_off": whole[:middle],
        "without_its_end": whole[:-4],
        "only_the_head": whole[:6],
        "no_gzip_behind_the_head": whole[:10] + b"\xff" * 40,
        "wrong_checksum": whole[:-8] + b"\0\0\0\0" + whole[-4:],
        "more_behind": whole + b"more",
    }


@pytest.mark.parametrize("damage", _damaged())
def test_a_damaged_gzip_file_is_refused(damage, tmp_path):
    with pytest.raises(
        ValueError, match=r"pairs\.gz: damaged or truncated after line \d+\. Copy or"
    ):
        read_pairs(_write(tmp_path, _damaged()[damage], "pairs.gz"))


def test_a_gz_file_that_is_not_gzip_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"name ends in \.gz, but the content is not gzip"):
        read_pairs(_write(tmp_path, LINES.encode(), "pairs.gz"))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.tsv: there is no such file"):
        read_pairs(tmp_path / "nowhere.tsv")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(
        IsADirectoryError, match=r"a folder\. Expected: a file of source<TAB>target"
    ):
        read_pairs(tmp_path)


@pytest.mark.parametrize("path", [None, 0, ["a.tsv"]])
def test_a_path_must_be_a_path(path: Any):
    with pytest.raises(TypeError, match=r"`path` must be a str or a path\. Received: "):
        read_pairs(path)
