"""Settings recommended for training pairs."""

from __future__ import annotations

import itertools

import pytest

from keras_s2s import CharTokenizer, WordTokenizer, make_dataset, recommended_settings
from keras_s2s.recommended import FITTED, WARMUP_SHARE, fit_settings

NUMBERS = [1, 20, 400, 800, 8_000, 33_344, 107_882, 3_000_000]


@pytest.mark.parametrize("number", NUMBERS)
def test_steps_are_those_of_all_epochs_and_warm_up_is_a_share_of_them(number):
    settings = fit_settings(number, 12.0)
    assert settings.steps == settings.epochs * -(-number // settings.batch_size)
    assert settings.warmup_steps == pytest.approx(WARMUP_SHARE * settings.steps, abs=1)
    assert settings.patience < settings.epochs


def test_more_pairs_have_larger_batches_more_steps_and_fewer_epochs():
    for few, many in itertools.pairwise(fit_settings(number, 12.0) for number in NUMBERS[1:]):
        assert few.batch_size <= many.batch_size
        assert few.steps < many.steps
        assert few.dropout >= many.dropout
        assert few.units * few.encoder_layers <= many.units * many.encoder_layers
        assert few.learning_rate >= many.learning_rate


def test_long_texts_have_smaller_batches():
    assert fit_settings(100_000, 12.0).batch_size == 128
    assert fit_settings(100_000, 250.0).batch_size == 32
    assert fit_settings(100_000, 9000.0).batch_size == 16


def test_lengths_are_those_of_the_longer_side():
    pairs = [("a" * 250, "b"), ("a", "b" * 250)] * 1000
    assert recommended_settings(iter(pairs)) == fit_settings(2000, 250.0)


def test_given_settings_stay_and_the_others_follow_them():
    free = fit_settings(800, 12.0)
    settings = fit_settings(800, 12.0, batch_size=2 * free.batch_size, dropout=0)
    assert (settings.batch_size, settings.dropout) == (2 * free.batch_size, 0)
    assert settings.reasons["dropout"] == "given"
    assert settings.epochs == pytest.approx(2 * free.epochs, abs=2)
    assert fit_settings(800, 12.0, epochs=3).warmup_steps < free.warmup_steps


def test_every_setting_has_a_reason_and_stands_in_the_printed_table():
    settings = fit_settings(800, 12.0)
    assert set(settings.reasons) == set(FITTED)
    lines = str(settings).splitlines()
    assert [line.split()[0] for line in lines] == list(settings.reasons)
    assert all(settings.reasons[line.split()[0]] in line for line in lines)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be an integer of at least 1. Received: batch_s"),
        ({"patience": -1}, "`patience` must be an integer of at least 0"),
        ({"dropout": 1.0}, "`dropout` must be a number between 0 and 0.95. Received: dropout=1.0"),
        ({"label_smoothing": -0.1}, "`label_smoothing` must be a number between 0 and 0.9"),
        ({"learning_rate": 0}, "`learning_rate` must be a number between 1e-09 and 10"),
    ],
)
def test_a_setting_out_of_range_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        recommended_settings([("a", "b")], **given)


def test_an_unknown_setting_is_refused():
    with pytest.raises(TypeError, match=r"no setting 'batchsize'. Expected: one of batch_size, "):
        recommended_settings([("a", "b")], batchsize=8)


def test_no_pairs_are_refused():
    with pytest.raises(ValueError, match=r"`pairs` must hold at least one pair. Received: none"):
        recommended_settings([])


@pytest.mark.parametrize("pairs", ["a\tb", [("a", 1)], [("a",)], ["abc"]])
def test_what_is_not_a_pair_is_refused(pairs):
    with pytest.raises(TypeError, match="`pairs` must"):
        recommended_settings(pairs)


@pytest.mark.parametrize("warmup_steps", [0, 3])
@pytest.mark.slow
def test_the_built_model_trains_and_its_rate_falls_to_zero(warmup_steps):
    pairs = [("ab", "A B"), ("b", "B"), ("a", "A")]
    source = CharTokenizer.train(source for source, _ in pairs)
    target = WordTokenizer.train(target for _, target in pairs)
    settings = recommended_settings(pairs, units=4, epochs=8, warmup_steps=warmup_steps)
    model = settings.build_model(source, target)
    train = make_dataset(pairs, source, target, batch_size=settings.batch_size, seed=0)
    history = model.fit(train, epochs=settings.epochs, verbose=0).history
    assert len(history["loss"]) == 8
    assert float(model.optimizer.learning_rate) == pytest.approx(0.0, abs=1e-9)
