from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import pytest
import tensorflow as tf

from keras_s2s.data import read_pairs, write_records
from keras_s2s.data.pair_files import iterate_file

PAIRS = [(f"süß {n}\ttab", f"line\n{n} 👩🏽‍🚀") for n in range(10)]


def _example(**features):
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
                for name, values in features.items()
            }
        )
    ).SerializeToString()


def _write(folder, *records, name="bad.tfrecord"):
    path = str(folder / name)
    with tf.io.TFRecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    return path


GOOD = _example(source=[b"a"], target=[b"b"])


def test_written_pairs_are_read_back(tmp_path):
    paths = write_records(iter(PAIRS), tmp_path / "train", shards=3)
    assert [os.path.basename(path) for path in paths] == [
        f"train-0000{n}-of-00003.tfrecord" for n in range(3)
    ]
    assert sorted(os.listdir(tmp_path)) == [os.path.basename(path) for path in paths]
    read = [list(iterate_file(path)) for path in paths]
    assert read == [PAIRS[::3], PAIRS[1::3], PAIRS[2::3]]


def test_records_are_not_lines(tmp_path):
    (path,) = write_records(PAIRS, tmp_path / "train", shards=1)
    with pytest.raises(
        ValueError, match=r"a TFRecord file by its name. Expected: a file of source"
    ):
        read_pairs(path)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            tf.errors.ResourceExhaustedError,
            r"No space left on device: '.*-00000-of-00001.tfrecord'",
        ),
        (tf.errors.UnknownError, r"Could not write '.*-00000-of-00001.tfrecord': no more"),
    ],
)
def test_records_that_cannot_be_written_leave_no_file(tmp_path, monkeypatch, error, message):
    def write(*_):
        raise error(None, None, "no more")

    monkeypatch.setattr(tf.io.TFRecordWriter, "write", write)
    with pytest.raises(OSError, match=message):
        write_records(PAIRS, tmp_path / "train", shards=1)
    assert not list(tmp_path.iterdir())


def test_files_of_lines_become_records(tmp_path):
    one, other = tmp_path / "one.tsv", tmp_path / "other.tsv.gz"
    one.write_bytes(b"a\tA\nb\tB\n")
    other.write_bytes(gzip.compress(b"c\tC\n"))
    (path,) = write_records([one, other], str(tmp_path / "all"), shards=1)
    assert list(iterate_file(path)) == [("a", "A"), ("b", "B"), ("c", "C")]
    (again,) = write_records(path, str(tmp_path / "again"), shards=1)
    assert list(iterate_file(again)) == list(iterate_file(path))
    (of_one,) = write_records(one, str(tmp_path / "one"), shards=1)
    assert list(iterate_file(of_one)) == read_pairs(one)


def test_features_have_their_own_column_in_files_of_lines(tmp_path):
    (tmp_path / "eng.trn").write_text("walk\tV;PST\twalked\n", encoding="utf-8")
    (path,) = write_records(tmp_path / "eng.trn", tmp_path / "eng", shards=1, features_column=2)
    assert list(iterate_file(path)) == [("walk V;PST", "walked")]
    with pytest.raises(ValueError, match="`features_column` must be 1, 2 or 3"):
        write_records(PAIRS, tmp_path / "train", features_column=4)


def test_other_programs_read_the_records(tmp_path):
    (path,) = write_records(PAIRS, tmp_path / "train", shards=1)
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in ("source", "target")}
    dataset = tf.data.TFRecordDataset(path).map(lambda x: tf.io.parse_single_example(x, features))
    read = [(pair["source"], pair["target"]) for pair in dataset.as_numpy_iterator()]
    assert [(source.decode(), target.decode()) for source, target in read] == PAIRS


@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecords", "a.tfrecord-00000-of-00001"])
def test_records_are_recognized_by_the_file_name(name, tmp_path):
    assert list(iterate_file(_write(tmp_path, GOOD, GOOD, name=name))) == [("a", "b")] * 2


def test_compressed_records_are_read(tmp_path):
    path = str(tmp_path / "a.tfrecord.gz")
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        writer.write(GOOD)
    assert list(iterate_file(path)) == [("a", "b")]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"\xff\xff", "not a tf.train.Example with one text in each feature"),
        (_example(source=[b"a"]), "not a tf.train.Example with one text in each feature"),
        (
            _example(source=[b"a"], target=[b"b", b"c"]),
            "not a tf.train.Example with one text in each feature",
        ),
        (_example(source=[b"\xff"], target=[b"b"]), "a text is not UTF-8"),
        (_example(source=[b""], target=[b"b"]), "the source is empty"),
        (_example(source=[b"a"], target=["\u3000 ".encode()]), "the target is empty"),
        (_example(source=[b"a"], target=[b"b\0"]), "a NUL character in the target"),
    ],
    ids=["noise", "no target", "two targets", "no UTF-8", "no source", "empty target", "NUL"],
)
def test_a_record_that_is_not_a_pair_is_refused_with_its_number(record, reason, tmp_path):
    path = _write(tmp_path, GOOD, GOOD, record, GOOD)
    pairs = iterate_file(path)
    assert [next(pairs), next(pairs)] == [("a", "b")] * 2
    with pytest.raises(ValueError, match=r"bad\.tfrecord, record 3: ") as caught:
        next(pairs)
    assert str(caught.value).startswith(f"{path}, record 3: {reason}. Expected: the features")


@pytest.mark.parametrize("damage", ["truncated", "changed", "something else"])
def test_a_damaged_file_is_refused(damage, tmp_path):
    path = _write(tmp_path, *[GOOD] * 5)
    with open(path, "rb") as file:
        content = bytearray(file.read())
    if damage == "changed":
        content[-7] ^= 1
    content = {"truncated": content[:-3], "something else": bytearray(b"a\tb\n" * 9)}.get(
        damage, content
    )
    with open(path, "wb") as file:
        file.write(content)
    with pytest.raises(
        ValueError, match=r"bad\.tfrecord: damaged or truncated after record [04], or"
    ):
        list(iterate_file(path))


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"bad\.tfrecord: the file is empty\. Expected: records"):
        list(iterate_file(_write(tmp_path)))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        list(iterate_file(str(tmp_path / "nowhere.tfrecord")))


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ([("a", "b"), ("a", "")], ValueError, r"Received: \('a', ''\) as pair 1: the target is em"),
        ([("a\0", "b")], ValueError, "as pair 0: a NUL character in the source"),
        ([("a", "b")], ValueError, r"must not exceed the number of pairs.*shards=2 for 1 pair"),
        ([], ValueError, "shards=2 for 0 pairs"),
        ([("a", "b"), ("a", 1)], TypeError, r"Received: \('a', 1\) as pair 1"),
        (3, TypeError, "`pairs` must be an iterable"),
        ("nowhere.tsv", FileNotFoundError, "there is no such file"),
    ],
)
def test_failed_writes_leave_nothing(pairs, error, message, tmp_path):
    with pytest.raises(error, match=message):
        write_records(pairs, tmp_path / "train", shards=2)
    assert os.listdir(tmp_path) == []


def test_invalid_arguments_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`shards` must be a positive integer"):
        write_records(PAIRS, tmp_path / "train", shards=0)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        write_records(PAIRS, tmp_path / "nowhere" / "train")


def _framed(path):
    """Return the content of a file and the end of each record."""
    with open(path, "rb") as file:
        content = file.read()
    ends = [0]
    while ends[-1] < len(content):
        (length,) = struct.unpack_from("<Q", content, ends[-1])
        ends.append(ends[-1] + 16 + length)
    return content, ends


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("behind", [0, 1, 4, 8, 11, 12, 15])
def test_a_file_truncated_near_the_end_of_a_record_is_refused(compressed, behind, tmp_path):
    (path,) = write_records(PAIRS * 60, tmp_path / "train", shards=1)
    content, ends = _framed(path)
    cut = content[: ends[300] + behind]
    with open(path, "wb") as file:
        file.write(gzip.compress(cut) if compressed else cut)
    with pytest.raises(ValueError, match=r"train-00000-of-00001\.tfrecord: .*truncated after rec"):
        list(iterate_file(path))


@pytest.mark.parametrize("cut", [1, 4, 7, 8, 9, 100])
def test_compressed_records_that_are_truncated_are_refused(cut, tmp_path):
    (path,) = write_records(PAIRS * 60, tmp_path / "train", shards=1)
    whole = gzip.compress(_framed(path)[0])
    with open(path, "wb") as file:
        file.write(whole[:-cut])
    with pytest.raises(ValueError, match=r"\.tfrecord: .*truncated (or padded )?after record \d+"):
        list(iterate_file(path))


@pytest.mark.parametrize("size", [2, 3, 8, 10, 11, 15])
def test_compressed_records_that_are_truncated_near_the_header_are_not_called_empty(size, tmp_path):
    (path,) = write_records(PAIRS, tmp_path / "train", shards=1)
    compressed = tmp_path / "train.tfrecord.gz"
    compressed.write_bytes(gzip.compress(Path(path).read_bytes(), mtime=0)[:size])
    with pytest.raises(ValueError, match=r"\.gz: .*truncated .*after record 0.*: .*gzip"):
        list(iterate_file(str(compressed)))
    compressed.write_bytes(gzip.compress(b"", mtime=0))
    with pytest.raises(ValueError, match=r"\.gz: the file is empty"):
        list(iterate_file(str(compressed)))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("padding", [b"\0", b"\0" * 11, b"\0" * 12, b"\0" * 4096, b"more"])
def test_padded_records_are_refused(compressed, padding, tmp_path):
    (path,) = write_records(PAIRS, tmp_path / "train", shards=1)
    content, _ = _framed(path)
    with open(path, "wb") as file:
        file.write((gzip.compress(content) if compressed else content) + padding)
    with pytest.raises(ValueError, match=r"truncated after record 10"):
        list(iterate_file(path))


def test_records_without_marks_are_read(tmp_path):
    path = _write(tmp_path, *[GOOD] * 300)
    assert list(iterate_file(path)) == [("a", "b")] * 300
    content, ends = _framed(path)
    for behind in range(1, 12):  # without marks, at least a part of a record is noticed
        with open(path, "wb") as file:
            file.write(content[: ends[-2] + behind])
        with pytest.raises(ValueError, match="truncated after record 299, or followed by"):
            list(iterate_file(path))


@pytest.mark.parametrize("compressed", [False, True])
def test_concatenated_files_are_read(compressed, tmp_path):
    paths = write_records(PAIRS, tmp_path / "train", shards=2)
    parts = [_framed(path)[0] for path in paths]
    together = tmp_path / "all.tfrecord"
    together.write_bytes(b"".join(map(gzip.compress, parts) if compressed else parts))
    assert list(iterate_file(str(together))) == PAIRS[::2] + PAIRS[1::2]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([0, 1, 2, 0, 1, 2, 3], "record 4: records before it are missing, or it was appended"),
        ([1, 2, 3], "record 3: records before it are missing, or it was appended"),
        ([0, 1, 3], "record 3: it was written as record 4 but follows 2 records"),
        ([0, 1, 2, 3, 1], "record 5: records before it are missing, or it was appended"),
        (
            [0, 1],
            "truncated after record 2: the last record is missing. Copy or download the file again",
        ),
    ],
)
def test_missing_records_are_detected(order, message, tmp_path):
    (path,) = write_records(PAIRS[:4], tmp_path / "train", shards=1)
    content, ends = _framed(path)
    with open(path, "wb") as file:
        file.write(b"".join(content[ends[number] : ends[number + 1]] for number in order))
    with pytest.raises(ValueError, match=message):
        list(iterate_file(path))
