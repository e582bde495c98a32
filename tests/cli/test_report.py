"""Metrics, their intervals, and confusions."""

from __future__ import annotations

import json

import pytest

from keras_s2s.cli.report import Confusion, make_report
from keras_s2s.evaluation import bleu, chrf, error_rates

OUTPUTS = ["a b", "a c", "d", "x y z", "a b c d e"]
REFERENCES = [["a b"], ["a b"], ["e", "d e"], ["x z"], ["a b c d e", "a"]]


def test_metrics_are_those_of_the_package():
    report = make_report(OUTPUTS, REFERENCES)
    rates = error_rates(OUTPUTS, REFERENCES)
    assert report.figures["wer"].value == rates.sequence_error_rate
    assert report.figures["ter"].value == rates.token_error_rate
    assert report.figures["bleu"].value == bleu(OUTPUTS, REFERENCES).score
    assert report.signatures["chrf"] == chrf(OUTPUTS, REFERENCES).signature
    for figure in report.figures.values():
        assert figure.low < figure.high


def test_samples_without_a_single_match_have_an_interval_too():
    figure = make_report(["x", "a b c d e"], [["y"], ["a b c d e"]], metrics=["bleu"]).figures
    assert (figure["bleu"].low, figure["bleu"].high) == (0.0, pytest.approx(100.0))


def test_the_most_frequent_confusions_come_first():
    outputs, references = ["b", "b c", "a x", "a"], [["a"], ["a c"], ["a"], ["a y"]]
    report = make_report(outputs, references, metrics=["ter"])
    assert report.confusions == [
        Confusion("a", "b", 2),
        Confusion("y", None, 1),
        Confusion(None, "x", 1),
    ]
    assert "      2  a → b\n" in report.to_text()
    assert "∅ → x" in report.to_text()


def test_the_interval_of_a_rate_is_that_of_the_binomial():
    outputs = ["a"] * 300 + ["b"] * 100
    wer = make_report(outputs, [["a"]] * 400, metrics=["wer"], bootstrap=4000).figures["wer"]
    half = 1.96 * (0.25 * 0.75 / 400) ** 0.5  # 0.042; 0.036 for an interval of 90%
    assert wer[1:] == pytest.approx((0.25 - half, 0.25 + half), abs=0.003)


def test_characters_can_be_the_unit_of_comparison():
    report = make_report(["abd"], [["abc"]], metrics=["ter"], tokens="characters")
    assert report.figures["ter"].value == pytest.approx(1 / 3)
    assert json.loads(report.to_json())["confusions"] == [
        {"reference": "c", "output": "d", "count": 1}
    ]


def test_bleu_is_computed_with_the_chosen_tokenization():
    outputs, references = ["it is so, abc"], [["it is so , abc"]]
    report = make_report(outputs, references, metrics=["bleu"], bleu_tokenize="none")
    assert "tok:none" in report.signatures["bleu"]
    assert report.figures["bleu"].value == bleu(outputs, references, tokenize="none").score
