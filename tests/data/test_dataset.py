from __future__ import annotations

import collections
import gzip
import itertools
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.data import dataset as dataset_module
from keras_s2s.data import make_dataset, write_records
from keras_s2s.tokenizers import ByteTokenizer, CharTokenizer, WordTokenizer


def _random_pairs(number: int, seed: int = 0, longest: int = 12) -> list[tuple[str, str]]:
    """Distinct pairs of different lengths."""
    random = np.random.default_rng(seed)
    pairs: dict[str, str] = {}
    while len(pairs) < number:
        source_length = int(random.integers(1, longest))
        target_length = max(1, source_length + int(random.integers(-2, 3)))
        source = "".join(random.choice(list("abcdefgh"), source_length))
        pairs[source] = " ".join(random.choice(["AA", "B", "K", "TH"], target_length))
    return list(pairs.items())


PAIRS = _random_pairs(200)
SOURCE = CharTokenizer.train(source for source, _ in PAIRS)
TARGET = WordTokenizer.train(target for _, target in PAIRS)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """The same pairs in memory, in files of lines and in files of records."""
    folder = tmp_path_factory.mktemp("given")
    lines = [f"{source}\t{target}\n".encode() for source, target in PAIRS]
    plain, compressed = folder / "plain.tsv", folder / "compressed.tsv.gz"
    plain.write_bytes(b"".join(lines[:50]))
    compressed.write_bytes(gzip.compress(b"".join(lines[50:])))
    return {
        "memory": PAIRS,
        "lines": [plain, compressed],
        "records": write_records(PAIRS, folder / "train", shards=3),
    }


FILES = pytest.mark.parametrize("kind", ["lines", "records"])


def _texts(batch) -> list[tuple[str, str]]:
    """The pairs of a batch, read from its ids."""
    inputs, target_labels = batch
    sources = _read(inputs["source_ids"].numpy(), SOURCE.vocabulary, "")
    return list(zip(sources, _read(target_labels.numpy(), TARGET.vocabulary, " "), strict=True))


def _read(ids: np.ndarray, vocabulary: list[str], separator: str) -> list[str]:
    """Convert ids to texts in plain Python, which is faster for many small batches."""
    rows = (row[: row.index(3)] for row in ids.tolist())
    return [separator.join(vocabulary[i] for i in row) for row in rows]


def _epoch(dataset) -> list[list[tuple[str, str]]]:
    """The pairs of each batch of an epoch."""
    return [_texts(batch) for batch in dataset]


def test_a_batch_has_the_ids_of_the_tokenizers():
    pairs = [("ab", "A"), ("abc", "A B K"), ("a", "A B")]
    source, target = CharTokenizer.train(["abc"]), WordTokenizer.train(["A A A B B K"])
    ((inputs, target_labels),) = make_dataset(pairs, source, target)
    # From short to long.
    assert inputs["source_ids"].numpy().tolist() == [[4, 3, 0, 0], [4, 5, 3, 0], [4, 5, 6, 3]]
    assert inputs["target_inputs"].numpy().tolist() == [[2, 4, 5, 0], [2, 4, 0, 0], [2, 4, 5, 6]]
    assert target_labels.numpy().tolist() == [[4, 5, 3, 0], [4, 3, 0, 0], [4, 5, 6, 3]]


@pytest.mark.parametrize("shuffle", [False, True])
def test_ids_are_int32_of_any_batch_size_and_length(shuffle):
    spec = tf.TensorSpec([None, None], tf.int32)
    dataset = make_dataset(PAIRS, SOURCE, TARGET, shuffle=shuffle)
    assert dataset.element_spec == ({"source_ids": spec, "target_inputs": spec}, spec)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [7, 64, 200, 1000])
@pytest.mark.sampled(4)
def test_every_epoch_has_every_pair_once(shuffle, batch_size):
    dataset = make_dataset(PAIRS, SOURCE, TARGET, batch_size=batch_size, shuffle=shuffle, seed=5)
    for _ in range(3):
        batches = _epoch(dataset)
        assert len(batches) == len(dataset) == -(-len(PAIRS) // batch_size)
        assert sorted(itertools.chain(*batches)) == sorted(PAIRS)
        sizes = sorted(map(len, batches), reverse=True)
        assert sizes == [batch_size] * (len(PAIRS) // batch_size) + [
            size for size in [len(PAIRS) % batch_size] if size
        ]


def test_a_batch_is_as_wide_as_its_longest_texts():
    for inputs, target_labels in make_dataset(PAIRS, SOURCE, TARGET, batch_size=16, shuffle=True):
        for ids in (inputs["source_ids"], inputs["target_inputs"], target_labels):
            assert (ids.numpy() != 0).any(axis=0).all()


@pytest.mark.parametrize("shuffle", [False, True])
def test_there_is_little_padding(shuffle):
    pairs = _random_pairs(4000)
    real = np.zeros(2)
    padded = np.zeros(2)
    for inputs, target_labels in make_dataset(
        pairs, SOURCE, TARGET, batch_size=64, shuffle=shuffle, seed=0
    ):
        for side, ids in enumerate((inputs["source_ids"].numpy(), target_labels.numpy())):
            real[side] += np.count_nonzero(ids)
            padded[side] += ids.size
    assert (1 - real / padded < 0.08).all()


def test_the_same_seed_gives_the_same_orders():
    first = make_dataset(PAIRS, SOURCE, TARGET, batch_size=8, shuffle=True, seed=3)
    again = make_dataset(PAIRS, SOURCE, TARGET, batch_size=8, shuffle=True, seed=3)
    for _ in range(3):
        assert _epoch(first) == _epoch(again)


def test_each_epoch_has_a_different_order_and_batches():
    dataset = make_dataset(PAIRS, SOURCE, TARGET, batch_size=8, shuffle=True, seed=3)
    first, second = _epoch(dataset), _epoch(dataset)
    assert first != second
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}


def test_different_seeds_give_different_orders():
    first, second = (
        make_dataset(PAIRS, SOURCE, TARGET, batch_size=8, shuffle=True, seed=seed)
        for seed in (0, 1)
    )
    assert _epoch(first) != _epoch(second)


def test_without_a_seed_the_order_follows_the_seed_of_keras():
    orders = []
    for seed in (7, 7, 8):
        keras.utils.set_random_seed(seed)
        orders.append(_epoch(make_dataset(PAIRS, SOURCE, TARGET, batch_size=8, shuffle=True)))
    assert orders[0] == orders[1] != orders[2]


def test_an_epoch_depends_only_on_the_seed_and_its_number():
    dataset = make_dataset(PAIRS, SOURCE, TARGET, batch_size=8, shuffle=True, seed=3)
    epochs = [_epoch(dataset) for _ in range(3)]
    other = make_dataset(PAIRS, SOURCE, TARGET, batch_size=8, shuffle=True, seed=3)
    for number in range(2):
        # Broken off in the middle.
        assert [_texts(batch) for batch in other.take(5)] == epochs[number][:5]
    assert _epoch(other) == epochs[2]


def test_without_shuffling_every_epoch_goes_from_short_to_long():
    dataset = make_dataset(PAIRS, SOURCE, TARGET, batch_size=8)
    epochs = [_epoch(dataset) for _ in range(2)]
    assert epochs[0] == epochs[1]
    pairs = itertools.chain(*epochs[0])
    lengths = [(len(source), len(target.split())) for source, target in pairs]
    assert lengths == sorted(lengths)


def test_pairs_of_the_same_lengths_are_mixed_freely():
    pairs = [(f"{a}{b}", "AA") for a in "abcdefgh" for b in "abcdefgh"]
    dataset = make_dataset(pairs, SOURCE, TARGET, batch_size=2, shuffle=True, seed=0)
    mates = collections.Counter(frozenset(batch) for _ in range(5) for batch in _epoch(dataset))
    assert sum(mates.values()) == 5 * 32
    assert mates.most_common(1)[0][1] <= 2


def test_the_smaller_batch_is_not_always_the_longest_pairs():
    dataset = make_dataset(PAIRS, SOURCE, TARGET, batch_size=16, shuffle=True, seed=0)
    longest = []
    for _ in range(6):
        (smaller,) = (batch for batch in _epoch(dataset) if len(batch) == 8)
        longest.append(max(len(source) for source, _ in smaller))
    assert len(set(longest)) > 2


@pytest.mark.parametrize("kind", ["memory", "lines"])
@pytest.mark.sampled(1)
def test_fit_trains_on_the_same_orders(kind, given):
    def recorded(train):
        batches = []

        class Recorder(keras.Model):
            def __init__(self):
                super().__init__()
                self.dense = keras.layers.Dense(TARGET.vocabulary_size)

            def call(self, inputs):
                tf.py_function(lambda ids: batches.append(ids.numpy().tolist()), [inputs], [])
                return self.dense(keras.ops.one_hot(inputs, 8))

        model = Recorder()
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        dataset = train.map(lambda inputs, labels: (inputs["target_inputs"], labels))
        history = model.fit(dataset, epochs=2, verbose=0, shuffle=False)
        assert len(history.epoch) == 2
        return batches

    def made():
        return make_dataset(given[kind], SOURCE, TARGET, batch_size=32, shuffle=True, seed=1)

    dataset = made()
    iterated = [x["target_inputs"].numpy().tolist() for _ in range(2) for x, _ in dataset]
    assert recorded(made()) == iterated


@pytest.mark.parametrize("kind", ["memory", "lines", "records"])
def test_deleting_an_iterator_does_not_wait_for_the_tuner(kind, given):
    """An iterator that is dropped, as after each `fit`, would wait until the tuner wakes up."""
    dataset = make_dataset(given[kind], SOURCE, TARGET, batch_size=16, shuffle=True, seed=0)
    assert not dataset.options().autotune.enabled
    assert not dataset.repeat().take(3).options().autotune.enabled


@pytest.mark.parametrize("kind", ["memory", "lines"])
@pytest.mark.sampled(1)
def test_a_dataset_is_distributed_over_devices(kind, given):
    dataset = make_dataset(given[kind], SOURCE, TARGET, batch_size=16, shuffle=True, seed=0)
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        inside = make_dataset(given[kind], SOURCE, TARGET, batch_size=16, shuffle=True, seed=0)
    expected = [labels.numpy().tolist() for _, labels in dataset]
    distributed = strategy.experimental_distribute_dataset(inside)
    assert [labels.numpy().tolist() for _, labels in distributed] == expected


@pytest.mark.parametrize(
    ("kind", "shuffle", "batch_size"),
    [("lines", True, 7), ("lines", False, 64), ("records", True, 64), ("records", True, 1000)],
)
@pytest.mark.sampled(2)
def test_every_epoch_of_files_has_every_pair_once(kind, shuffle, batch_size, given):
    dataset = make_dataset(
        given[kind], SOURCE, TARGET, batch_size=batch_size, shuffle=shuffle, buffer_size=60
    )
    for _ in range(2):
        batches = _epoch(dataset)
        assert len(batches) == len(dataset) == -(-len(PAIRS) // batch_size)
        assert sorted(itertools.chain(*batches)) == sorted(PAIRS)
        assert sorted(map(len, batches))[1:] == [batch_size] * (len(batches) - 1)


@pytest.mark.slow
def test_an_epoch_of_files_depends_only_on_the_seed_and_its_number(given):
    def made(seed):
        return make_dataset(
            given["lines"], SOURCE, TARGET, batch_size=16, shuffle=True, seed=seed, buffer_size=96
        )

    dataset = made(3)
    first, second = _epoch(dataset), _epoch(dataset)
    assert first != second
    other = made(3)
    # Broken off in the middle.
    assert [_texts(batch) for batch in other.take(5)] == first[:5]
    assert _epoch(other) == second
    assert _epoch(made(4)) != first


@pytest.mark.parametrize("kind", ["memory", "lines"])
def test_a_resumed_run_continues_with_the_next_epoch(kind, given):
    def made(initial_epoch):
        return make_dataset(
            given[kind],
            SOURCE,
            TARGET,
            shuffle=True,
            seed=3,
            initial_epoch=initial_epoch,
            buffer_size=128,
        )

    dataset = made(0)
    epochs = [_epoch(dataset) for _ in range(2)]
    assert _epoch(made(1)) == epochs[1] != epochs[0]


@pytest.mark.parametrize("kind", ["memory", "lines"])
def test_machines_share_each_batch(kind, given):
    options = make_dataset(given[kind], SOURCE, TARGET).options()
    policy = options.experimental_distribute.auto_shard_policy
    assert policy == tf.data.experimental.AutoShardPolicy.DATA


def test_without_shuffling_pairs_keep_the_order_of_the_files(given):
    dataset = make_dataset(given["lines"], SOURCE, TARGET, batch_size=10, buffer_size=40)
    epochs = [_epoch(dataset) for _ in range(2)]
    assert epochs[0] == epochs[1]
    for block in range(0, 200, 20):
        pairs = list(itertools.chain(*epochs[0][block // 10 : block // 10 + 2]))
        assert sorted(pairs) == sorted(PAIRS[block : block + 20])
        lengths = [(len(source), len(target.split())) for source, target in pairs]
        assert lengths == sorted(lengths)


def test_a_single_path_can_be_passed(given):
    for path in (given["lines"][0], str(given["lines"][0])):
        assert len(make_dataset(path, SOURCE, TARGET, batch_size=50)) == 1
    (texts,) = _epoch(make_dataset(iter(given["lines"]), SOURCE, TARGET, batch_size=200))
    assert sorted(texts) == sorted(PAIRS)


@pytest.mark.parametrize(
    ("kind", "shuffle"), [("memory", False), ("memory", True), ("lines", True)]
)
def test_batches_by_tokens_are_full(kind, shuffle, given):
    dataset = make_dataset(given[kind], SOURCE, TARGET, batch_tokens=100, shuffle=shuffle, seed=0)
    batches = list(dataset)
    sizes = [
        labels.shape[0] * max(inputs["source_ids"].shape[1], labels.shape[1])
        for inputs, labels in batches
    ]
    assert max(sizes) <= 100
    assert np.median(sizes) > 80
    texts = itertools.chain(*map(_texts, batches))
    assert sorted(texts) == sorted(PAIRS)


@pytest.mark.parametrize("kind", ["memory", "lines"])
def test_pairs_longer_than_a_batch_are_skipped(kind, given, caplog):
    dataset = make_dataset(given[kind], SOURCE, TARGET, batch_tokens=9, shuffle=True)
    kept = [p for p in PAIRS if len(p[0]) < 9 and len(p[1].split()) < 9]
    assert 0 < len(kept) < len(PAIRS)
    assert sorted(itertools.chain(*_epoch(dataset))) == sorted(kept)
    assert [record.getMessage() for record in caplog.records] == [
        f"Skipped {200 - len(kept)} of 200 pairs: longer than batch_tokens=9."
    ]


@FILES
@pytest.mark.sampled(1)
def test_long_pairs_of_files_are_skipped_and_counted(kind, given, caplog):
    kept = [p for p in PAIRS if len(p[0]) < 6 and len(p[1].split()) < 5]
    dataset = make_dataset(
        given[kind],
        SOURCE,
        TARGET,
        batch_size=8,
        shuffle=True,
        max_source_length=6,
        max_target_length=5,
    )
    assert len(dataset) == -(-len(kept) // 8)
    assert sorted(itertools.chain(*_epoch(dataset))) == sorted(kept)
    assert [record.getMessage() for record in caplog.records] == [
        f"Skipped {200 - len(kept)} of 200 pairs: longer than max_source_length=6, "
        "max_target_length=5."
    ]
    with pytest.raises(ValueError, match=r"Received: 200 longer pairs"):
        make_dataset(given[kind], SOURCE, TARGET, max_source_length=1)


def test_a_fault_in_a_file_is_reported_before_training(tmp_path):
    path = tmp_path / "bad.tsv"
    path.write_bytes(b"a\tB\n" * 3 + b"no tab\n")
    with pytest.raises(ValueError, match=r"bad\.tsv, line 4: no tab in the line"):
        make_dataset(path, SOURCE, TARGET)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.tsv: there is no such file"):
        make_dataset([path, tmp_path / "nowhere.tsv"], SOURCE, TARGET)
    with pytest.raises(
        FileNotFoundError, match=r"^ab: .* \(a list of str is read as a list of paths\)$"
    ):
        make_dataset(["ab", "c"], SOURCE, TARGET)


def test_a_file_changed_after_the_check_is_refused(tmp_path):
    path = tmp_path / "changed.tsv"
    path.write_bytes(b"a\tB\n" * 100)
    dataset = make_dataset(path, SOURCE, TARGET)
    path.write_bytes(b"a\tB\n" * 50 + b"no tab\n")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"changed\.tsv, line 51: no tab"):
        list(dataset)


def test_pairs_may_come_from_a_generator():
    dataset = make_dataset((pair for pair in PAIRS), ByteTokenizer(), TARGET, batch_size=200)
    assert [labels.shape[0] for _, labels in dataset] == [200]


def test_texts_are_tokenized_in_chunks(monkeypatch):
    whole = [_texts(batch) for batch in make_dataset(PAIRS, SOURCE, TARGET)]
    monkeypatch.setattr(dataset_module, "_CHUNK", 7)
    assert [_texts(batch) for batch in make_dataset(PAIRS, SOURCE, TARGET)] == whole


def test_swapped_tokenizers_are_reported(caplog):
    make_dataset(PAIRS, SOURCE, TARGET)
    assert not caplog.records
    make_dataset(PAIRS, TARGET, SOURCE)
    source, target = (record.getMessage() for record in caplog.records)
    assert source.startswith("The source tokenizer does not know ")
    assert "source tokens. Are the tokenizers swapped, or was this one trained" in source
    assert target.startswith("The target tokenizer does not know ")


def test_long_pairs_are_skipped_and_counted(caplog):
    pairs = [("a", "B"), ("ab", "B"), ("a", "B B"), ("abc", "B B B")]
    with caplog.at_level(logging.INFO, logger="keras_s2s"):
        kept = _epoch(make_dataset(pairs, SOURCE, TARGET, max_source_length=3))
        assert kept == [[("a", "B"), ("a", "B B"), ("ab", "B")]]
        kept = _epoch(make_dataset(pairs, SOURCE, TARGET, max_target_length=2))
        assert kept == [[("a", "B"), ("ab", "B")]]
        kept = _epoch(make_dataset(pairs, SOURCE, TARGET, max_source_length=2, max_target_length=2))
        assert kept == [[("a", "B")]]
        make_dataset(pairs, SOURCE, TARGET, max_source_length=4, max_target_length=4)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "Skipped 1 of 4 pairs: longer than max_source_length=3."),
        ("WARNING", "Skipped 2 of 4 pairs: longer than max_target_length=2."),
        ("WARNING", "Skipped 3 of 4 pairs: longer than max_source_length=2, max_target_length=2."),
    ]


def test_limits_that_skip_all_pairs_are_refused():
    with pytest.raises(
        ValueError,
        match=r"must be within max_source_length=1, max_target_length=9 \(including eos\)\. "
        "Received: 200 longer pairs",
    ):
        make_dataset(PAIRS, SOURCE, TARGET, max_source_length=1, max_target_length=9)


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ([], ValueError, "`pairs` must contain at least one pair. Received: none"),
        (
            b"ab",
            TypeError,
            r"`pairs` must be an iterable of \(source, target\) pairs. Received: b'ab'",
        ),
        (5, TypeError, r"`pairs` must be an iterable of \(source, target\) pairs. Received: 5"),
        ([("a", "b"), "ab"], TypeError, "Received: 'ab' as pair 1"),
        ([("a",)], TypeError, r"Received: \('a',\) as pair 0"),
        ([("a", "b", "c")], TypeError, r"Received: \('a', 'b', 'c'\) as pair 0"),
        ([("a", None)], TypeError, r"Received: \('a', None\) as pair 0"),
        ([(b"a", "b")], TypeError, r"Received: \(b'a', 'b'\) as pair 0"),
        ([("a", "\udc80")], ValueError, "lone surrogate"),
        ([("a", "b"), ("", "b")], ValueError, r"\('', 'b'\) as pair 1: the source is empty"),
        ([("a", " ")], ValueError, r"Received: \('a', ' '\) as pair 0: the target is empty"),
        ([("a\0", "b")], ValueError, "as pair 0: a NUL character in the source"),
    ],
)
def test_invalid_pairs_are_refused(pairs, error, message):
    with pytest.raises(error, match=message):
        make_dataset(pairs, SOURCE, TARGET)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be a positive integer. Received: batch_size=0"),
        ({"shuffle": "no"}, "`shuffle` must be True or False. Received: shuffle='no'"),
        ({"seed": -1}, "`seed` must be an integer of at least 0. Received: seed=-1"),
        ({"initial_epoch": -1}, "`initial_epoch` must be an integer of at least 0"),
        ({"buffer_size": 1}, "`buffer_size` must be an integer of at least 2"),
        ({"batch_tokens": 0}, "`batch_tokens` must be a positive integer"),
        (
            {"batch_size": 8, "batch_tokens": 99},
            "`batch_tokens` cannot be combined. Received: batch_size=8, batch_tokens=99",
        ),
        ({"max_source_length": 0}, "`max_source_length` must be a positive integer"),
        ({"max_target_length": 2.5}, "`max_target_length` must be a positive integer"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_dataset(PAIRS, SOURCE, TARGET, **arguments)


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_tokenizer_must_be_a_tokenizer(side):
    tokenizers = {"source": SOURCE, "target": TARGET, side: str.split}
    with pytest.raises(
        TypeError, match=f"`{side}` must be a Tokenizer. Received: method_descriptor"
    ):
        make_dataset(PAIRS, **tokenizers)
