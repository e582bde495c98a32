from __future__ import annotations

import collections
import itertools
import os
import tracemalloc

import numpy as np
import pytest

from keras_s2s.data import iterate_pairs, write_records
from keras_s2s.data.stream import PairStream


def _write(folder, name, numbers):
    path = folder / name
    path.write_text("".join(f"source {n}\ttarget {n}\n" for n in numbers), encoding="utf-8")
    return str(path)


def _numbers(blocks):
    """The numbers of the pairs in each block."""
    read = []
    for sources, targets in blocks:
        numbers = [int(source.removeprefix("source ")) for source in sources]
        assert [f"target {number}" for number in numbers] == targets
        read.append(numbers)
    return read


def _flat(blocks):
    return list(itertools.chain(*blocks))


@pytest.fixture
def stream(tmp_path):
    paths = [_write(tmp_path, f"{n}.tsv", range(100 * n, 100 * n + 100)) for n in range(10)]
    return PairStream.scan(paths, None)


def test_without_a_seed_pairs_keep_the_order_of_the_files(stream):
    assert stream.pairs == stream.read == 1000
    blocks = _numbers(stream.blocks(300, None, 0))
    assert [len(block) for block in blocks] == [300, 300, 300, 100]
    assert _flat(blocks) == list(range(1000))


def test_all_blocks_except_the_last_are_full(stream):
    blocks = _numbers(stream.blocks(64, 0, 0))
    assert [len(block) for block in blocks] == [64] * 15 + [40]
    assert sorted(_flat(blocks)) == list(range(1000))


def test_the_order_depends_only_on_the_seed_and_the_epoch(stream):
    def order(seed, epoch):
        return _numbers(stream.blocks(64, seed, epoch))

    assert order(1, 2) == order(1, 2)
    orders = [order(seed, epoch) for seed in (1, 12) for epoch in (0, 1, 2, 21)]
    assert all(one != other for i, one in enumerate(orders) for other in orders[:i])


def test_a_block_has_pairs_of_many_files(stream):
    files = [{number // 100 for number in block} for block in _numbers(stream.blocks(64, 0, 0))]
    assert len(files[0]) == 8
    assert len(set().union(*files[:3])) >= 8


def test_files_are_read_in_a_different_order_each_epoch(stream):
    last = [
        collections.Counter(number // 100 for number in _numbers(stream.blocks(64, 0, epoch))[-1])
        for epoch in range(8)
    ]
    assert len({counter.most_common(1)[0][0] for counter in last}) > 2


def test_pairs_of_one_sorted_file_are_mixed(tmp_path):
    stream = PairStream.scan([_write(tmp_path, "sorted.tsv", range(1000))], None)
    (first, *_) = _numbers(stream.blocks(100, 0, 0))
    assert max(first) > 150
    order = _flat(_numbers(stream.blocks(100, 0, 0)))
    # How far a pair is from its place in the file.
    assert 30 < np.mean(np.abs(np.array(order) - np.arange(1000))) < 300


def test_skipped_pairs_never_appear(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_s2s.data.stream._CHUNK", 16)
    paths = [_write(tmp_path, f"{n}.tsv", range(50 * n, 50 * n + 50)) for n in range(3)]

    def is_left_out(pairs):
        numbers = np.array([int(source.split()[1]) for source, _ in pairs])
        return (numbers % 7 == 0) & (numbers < 100)

    stream = PairStream.scan(paths, is_left_out)
    expected = [number for number in range(150) if number % 7 or number >= 100]
    assert (stream.pairs, stream.read) == (len(expected), 150)
    assert [bits is None for bits in stream.left_out] == [False, False, True]
    assert _flat(_numbers(stream.blocks(10, None, 0))) == expected
    assert sorted(_flat(_numbers(stream.blocks(10, 1, 1)))) == expected


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("kind", ["lines", "records"])
@pytest.mark.sampled(2)
def test_memory_does_not_grow_with_the_files(kind, seed, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_s2s.data.stream._CHUNK", 256)
    path = _write(tmp_path, "long.tsv", (f"{n:0200}" for n in range(10_000)))
    paths = [path] if kind == "lines" else write_records(path, tmp_path / "long", shards=2)
    assert sum(os.path.getsize(path) for path in paths) > 4_000_000
    tracemalloc.start()
    try:
        stream = PairStream.scan(paths, lambda pairs: np.arange(len(pairs)) % 50 == 0)
        assert sum(len(sources) for sources, _ in stream.blocks(50, seed, 0)) == stream.pairs
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert stream.pairs < stream.read == 10_000
    # A pool of 100 pairs is 50 kB; 256 pairs are looked through, and 256 records read, at once.
    assert peak < 1_200_000


def test_files_are_read_one_by_one(tmp_path):
    one = _write(tmp_path, "one.tsv", range(3))
    other = _write(tmp_path, "other.tsv", range(3, 5))
    (records,) = write_records(other, tmp_path / "other", shards=1)
    pairs = [(f"source {n}", f"target {n}") for n in range(5)]
    assert list(iterate_pairs([one, records])) == pairs
    assert list(iterate_pairs(other)) == pairs[3:]
    with open(other, "a", encoding="utf-8") as file:
        file.write("no tab\n")
    reading = iterate_pairs(iter([one, other]))
    assert list(itertools.islice(reading, 5)) == pairs
    with pytest.raises(ValueError, match=r"other\.tsv, line 3: no tab"):
        next(reading)


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ([], ValueError, r"`files` must contain at least one path\. Received: none"),
        ([("a", "b")], TypeError, r"`files` must be paths\. Received: \('a', 'b'\)"),
        ("nowhere.tsv", FileNotFoundError, "there is no such file"),
    ],
)
def test_a_path_must_be_a_file(files, error, message):
    with pytest.raises(error, match=message):
        iterate_pairs(files)


def test_a_pipe_is_refused():
    reader, writer = os.pipe()
    os.close(writer)
    with pytest.raises(ValueError, match=r"not a regular file\. Every epoch reads the file again"):
        PairStream.scan([f"/dev/fd/{reader}"], None)
    os.close(reader)
