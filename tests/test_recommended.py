"""Settings recommended for training pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from keras_s2s import (
    CharTokenizer,
    WordTokenizer,
    make_dataset,
    pair_statistics,
    recommended_settings,
)
from keras_s2s.layers import decoder_features
from keras_s2s.pair_statistics import PairStatistics, measure_pairs
from keras_s2s.recommended import (
    ATTENTION_KINDS,
    FITTED,
    WARMUP_SHARE,
    RecommendedSettings,
    fit_settings,
)

NUMBERS = [1, 20, 400, 800, 8_000, 33_344, 107_882, 3_000_000]
# In the order of the source; the order reversed.
FOLLOWING = [("ab", "A B"), ("ba", "B A"), ("cab", "C A B")]
REVERSED = [("ab", "B A"), ("ba", "A B"), ("cab", "B A C")]


def fit(number: int, length: float = 12.0, crossing: float = 0.0, **given) -> RecommendedSettings:
    return fit_settings(PairStatistics(number, length, length, crossing), **given)


@pytest.mark.parametrize("number", NUMBERS)
def test_steps_are_those_of_all_epochs_and_warm_up_is_a_share_of_them(number):
    settings = fit(number)
    assert settings.steps == settings.epochs * -(-number // settings.batch_size)
    assert settings.warmup_steps == pytest.approx(WARMUP_SHARE * settings.steps, abs=1)
    assert settings.patience < settings.epochs


def test_more_pairs_have_larger_batches_more_steps_and_fewer_epochs():
    fitted = [fit(number, attention="luong") for number in NUMBERS[1:]]
    for few, many in itertools.pairwise(fitted):
        assert few.batch_size <= many.batch_size
        assert few.steps < many.steps
        assert few.dropout >= many.dropout
        assert few.units * few.encoder_layers <= many.units * many.encoder_layers
        assert few.learning_rate >= many.learning_rate


@pytest.mark.parametrize(("number", "share"), [(800, 0.6), (8_000, 1.0)])
def test_few_pairs_with_monotonic_attention_need_fewer_steps(number, share):
    luong = fit(number, attention="luong")
    assert fit(number).steps == pytest.approx(share * luong.steps, rel=0.05)


def test_many_pairs_with_monotonic_attention_have_a_model_that_trains_fast():
    luong, monotonic = fit(107_882, attention="luong"), fit(107_882)
    assert monotonic.attention == "monotonic"
    assert monotonic.epochs == luong.epochs
    assert monotonic.steps > luong.steps
    assert monotonic.units < luong.units
    assert monotonic.learning_rate > luong.learning_rate


def test_the_kinds_of_attention_are_those_of_the_decoder():
    assert set(ATTENTION_KINDS) == set(decoder_features.ATTENTION)


def test_long_texts_have_smaller_batches():
    assert fit(100_000, attention="luong").batch_size == 128
    assert fit(100_000, 250.0).batch_size == 32
    assert fit(100_000, 9000.0).batch_size == 16


def test_lengths_are_those_of_the_longer_side():
    pairs = [("a" * 250, "b"), ("a", "b" * 250)] * 1000
    assert recommended_settings(iter(pairs)) == fit(2000, 250.0)


def test_given_settings_stay_and_the_others_follow_them():
    free = fit(800)
    settings = fit(800, batch_size=2 * free.batch_size, dropout=0)
    assert (settings.batch_size, settings.dropout) == (2 * free.batch_size, 0)
    assert settings.reasons["dropout"] == "chosen by you"
    assert settings.epochs == pytest.approx(2 * free.epochs, abs=2)
    assert fit(800, epochs=3).warmup_steps < free.warmup_steps


@pytest.mark.parametrize(
    ("pairs", "attention"),
    [(FOLLOWING, "monotonic"), (REVERSED, "luong")],
    ids=["following", "reversed"],
)
def test_attention_is_monotonic_where_targets_follow_the_order_of_their_sources(pairs, attention):
    assert recommended_settings(pairs * 10).attention == attention
    assert recommended_settings(pairs * 20_000).attention == attention


def test_sources_without_words_have_no_features():
    assert not measure_pairs([("", "a"), (" ", "b"), ("c", "c")]).features


def test_the_order_is_that_of_pairs_from_the_whole_file():
    crossing = measure_pairs(FOLLOWING * 1_000 + REVERSED * 1_000).crossing
    assert crossing == pytest.approx(0.5, abs=0.1)


def test_a_reordered_task_is_recognized_though_parts_of_it_keep_their_order():
    dates = [
        (f"{day} {month} 19{year}", f"19{year}-{month}-{day}")
        for day, month, year in zip("123456789" * 9, "abcdefghi" * 9, range(10, 91), strict=True)
    ]
    assert recommended_settings(dates).attention == "luong"


def test_sources_with_features_keep_attention_that_goes_anywhere():
    inflected = [(f"{source} V;PST", f"{source}ed") for source, _ in FOLLOWING] * 10
    assert recommended_settings(inflected).attention == "luong"


def test_inflection_copies_if_forms_have_the_letters_of_their_lemma():
    inflected = [(f"{source} V;PST", f"{source}ed") for source, _ in FOLLOWING] * 10
    assert recommended_settings(inflected).copy
    assert not recommended_settings(inflected, attention=None).copy
    assert not recommended_settings([(it.upper(), form) for it, form in inflected]).copy
    assert not recommended_settings([(it[:-6], form) for it, form in inflected]).copy  # no features
    source = CharTokenizer.train(source for source, _ in inflected)
    target = CharTokenizer.train(target for _, target in inflected)
    assert recommended_settings(inflected, units=4).build_model(source, target).decoder.copy
    with pytest.raises(ValueError, match=r"`copy` needs source tokens .* Use copy=False"):
        recommended_settings(inflected, units=4).build_model(source, CharTokenizer.train(["X"]))


def test_long_texts_and_unclear_orders_keep_attention_that_goes_anywhere():
    assert fit(800, 12.0).attention == "monotonic"
    assert fit(800, 120.0).attention == "luong"
    unclear = recommended_settings([("a", "b")])  # no links to compare
    assert unclear.attention == "luong"
    assert unclear.reasons["attention"].startswith("the pairs do not show whether")


def test_one_long_text_does_not_make_the_others_long():
    pairs = [*FOLLOWING * 10, ("a" * 5000, "A" * 5000)]
    assert recommended_settings(pairs).attention == "monotonic"
    assert measure_pairs([]).typical_length == 0
    assert measure_pairs([("a" * 200, "A")] * 2).typical_length == 200


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([chr(0xAC00 + number) for number in range(84)], "decomposed"),
        (["né", "ne", "nu"], "char"),
        ([f"{chr(0xAC00 + number)} V;PST" for number in range(84)], "features"),
        (["said; he", "in the U.S.;", "no;yes"], "char"),
    ],
)
def test_the_source_tokenizer_fits_the_sources(sources, expected):
    settings = recommended_settings([(source, "a") for source in sources])
    assert settings.source_tokenizer == expected
    given = recommended_settings([("각", "a")], source_tokenizer="word")
    assert given.source_tokenizer == "word"


def test_the_order_of_long_texts_costs_little(monkeypatch):
    long = [("ab" * 40, "AB" * 40)] * 9
    assert np.isnan(measure_pairs(long).crossing)
    assert recommended_settings(long).reasons["attention"].startswith("long texts")
    looked_at = []
    monkeypatch.setattr(pair_statistics, "_MAX_LINKS", 40)
    monkeypatch.setattr(
        pair_statistics, "_linked_characters", lambda it: looked_at.extend(it) or {}
    )
    pair_statistics.crossing_share([("ab", "ABCDE")] * 100)  # 10 possible links each
    assert len(looked_at) == 4


@pytest.mark.parametrize("attention", [None, "bahdanau"])
def test_a_given_attention_is_that_of_the_model(attention):
    settings = recommended_settings(FOLLOWING * 10, attention=attention, units=4)
    source = CharTokenizer.train(source for source, _ in FOLLOWING)
    target = WordTokenizer.train(target for _, target in FOLLOWING)
    assert settings.build_model(source, target).decoder.attention == attention
    assert settings.reasons["attention"] == "chosen by you"


def test_every_setting_has_a_reason_and_stands_in_the_printed_table():
    settings = fit(800)
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
        ({"attention": "none"}, "`attention` must be one of None, 'luong', "),
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
    with pytest.raises(ValueError, match=r"`pairs` must contain at least one pair. Received: none"):
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
    assert 0.0 < float(model.optimizer.learning_rate) < 0.0011 * settings.learning_rate
