"""Datasets know the epoch that `fit` is in."""

from __future__ import annotations

import keras
import pytest
from helpers.small import TARGET_LABELS, inputs, make_model

from keras_s2s.data import make_dataset
from keras_s2s.epochs import EpochClock, EpochCounter
from keras_s2s.losses import SequenceLoss
from keras_s2s.tokenizers import CharTokenizer

TEXTS = [first + second for first in "abcd" for second in "abcdefg"]
TOKENIZER = CharTokenizer.train(TEXTS)


def made(kind, folder, **kwargs):
    pairs = [(text, text) for text in TEXTS]
    if kind == "lines":
        path = folder / "pairs.tsv"
        path.write_text("".join(f"{text}\t{text}\n" for text in TEXTS))
        pairs = path
    return make_dataset(pairs, TOKENIZER, TOKENIZER, batch_size=4, shuffle=True, seed=0, **kwargs)


def order(dataset):
    return [labels.numpy().tolist() for _, labels in dataset]


def fit(datasets, epochs, initial_epoch=0, looks=()):
    """The orders in which a `fit` would read datasets, one list for each dataset."""
    clock = EpochClock(initial_epoch)
    clock.begin_fit(None, {}, [])
    try:
        found = [[] for _ in datasets]
        for epoch in range(initial_epoch, epochs):
            clock.on_epoch_begin(epoch)
            for dataset in looks:
                next(iter(dataset))
            for orders, dataset in zip(found, datasets, strict=True):
                orders.append(order(dataset))
        return found
    finally:
        clock.end_fit()


@pytest.mark.parametrize("kind", ["memory", "lines"])
def test_the_order_of_an_epoch_depends_only_on_its_number(kind, tmp_path):
    dataset = made(kind, tmp_path)
    epochs = [order(dataset) for _ in range(4)]  # outside of `fit`, each iteration is one
    assert len({str(epoch) for epoch in epochs}) == 4
    other = made(kind, tmp_path)
    next(iter(other))
    mapped = other.map(lambda inputs, labels: (inputs, labels)).prefetch(2)
    assert fit([mapped], 2, looks=[other, other]) == [epochs[:2]]
    next(iter(other))
    # a second `fit` continues, one with `initial_epoch` has that epoch
    assert fit([mapped], 1) == [epochs[2:3]]
    assert fit([other], 2, initial_epoch=1) == [epochs[1:2]]
    assert fit([made(kind, tmp_path)], 4, initial_epoch=2) == [epochs[2:]]


def test_each_dataset_counts_for_itself():
    first, second = EpochCounter(), EpochCounter(5)
    assert [first.next(), first.next(), second.next()] == [0, 1, 5]
    clock = EpochClock()
    clock.begin_fit(None, {}, [])
    clock.on_epoch_begin(0)
    assert [first.next(), first.next(), second.next()] == [0, 0, 5]
    clock.on_epoch_begin(1)
    assert [first.next(), second.next()] == [1, 6]
    clock.end_fit()
    assert EpochClock.running() is None
    assert [first.next(), second.next()] == [2, 6]


def test_fits_that_overlap_each_have_a_clock_until_they_end():
    first, second = EpochClock(), EpochClock()
    first.begin_fit(None, {}, [])
    second.begin_fit(None, {}, [])
    first.end_fit()
    assert EpochClock.running() is second
    second.end_fit()
    assert EpochClock.running() is None


def test_each_iteration_of_an_epoch_of_steps_has_its_own_number():
    counter, clock = EpochCounter(), EpochClock()
    clock.begin_fit(None, {"steps_per_epoch": 20}, [])
    found = []
    for epoch, iterations in ((0, 3), (1, 1), (7, 1)):
        clock.on_epoch_begin(epoch)
        found.append([counter.next() for _ in range(iterations)])
    clock.end_fit()
    assert found == [[0, 1, 2], [3], [7]]


def test_a_fit_within_a_fit_leaves_the_outer_clock_running():
    outer, inner = EpochClock(), EpochClock()
    for clock in (outer, inner):
        clock.begin_fit(None, {}, [])
    inner.end_fit()
    assert EpochClock.running() is outer
    outer.end_fit()
    assert EpochClock.running() is None


def test_fit_runs_a_clock_and_stops_it_however_it_ends():
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            clock = EpochClock.running()
            seen.append((clock.epoch, clock.is_absolute))
            if epoch == 4:
                raise KeyboardInterrupt

    model = make_model("luong")
    model.compile("sgd", loss=SequenceLoss())
    data = {"x": inputs(), "y": TARGET_LABELS, "verbose": 0}
    given = keras.callbacks.CallbackList([Look()], model=model, epochs=5, steps=1)
    with pytest.raises(KeyboardInterrupt):
        model.fit(**data, epochs=5, initial_epoch=4, callbacks=given)
    assert seen == [(4, True)]
    assert EpochClock.running() is None
    assert [type(it).__name__ for it in given.callbacks] == ["Look"]
