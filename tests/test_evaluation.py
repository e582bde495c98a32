from __future__ import annotations

import sys

import pytest
import sacrebleu

from keras_s2s.errors import InputError
from keras_s2s.evaluation import (
    bleu,
    check_metrics,
    chrf,
    error_rates,
    group_references,
    is_right,
    meaningful_metrics,
    unit_of,
)
from keras_s2s.tokenizers import ByteTokenizer, CharTokenizer, WordTokenizer


def test_an_output_is_right_when_it_equals_any_reference():
    rates = error_rates(["a b", "c"], [["x", "a b"], ["c"]])
    assert rates == (2, 0.0, 0.0)


@pytest.mark.parametrize(
    ("output", "reference", "edits"),
    [
        ("a b c", "a b c d", 1),  # one is missing
        ("a b c", "a c", 1),  # one too many
        ("a b c", "a x c", 1),  # one is another
        ("", "a b", 2),
        ("b a", "a b", 2),
        ("a  b ", "a b", 0),  # white space only separates
    ],
)
def test_the_token_error_rate_counts_edits(output, reference, edits):
    rates = error_rates([output], [[reference]])
    assert rates.token_error_rate == edits / len(reference.split())
    assert rates.sequence_error_rate == (edits > 0)


def test_edits_and_lengths_are_those_of_the_nearest_reference_summed_over_all():
    # 1 edit to 3 tokens (not 2 edits to 4), then 0 edits to 2 tokens
    rates = error_rates(["a b x", "d e"], [["a b c", "a b c d"], ["d e"]])
    assert rates.token_error_rate == 1 / 5


def test_of_equally_near_references_the_shorter_counts_whatever_their_order():
    references = ["a b c d", "a b"]  # one edit to each from "a b c"
    assert error_rates(["a b c"], [references]).token_error_rate == 1 / 2
    assert error_rates(["a b c"], [references[::-1]]).token_error_rate == 1 / 2


def test_characters_are_compared_without_spaces():
    rates = error_rates(["नम ते"], [["नमस्ते"]], tokens="characters")
    assert rates.token_error_rate == 2 / 6


@pytest.mark.parametrize("tokens", ["words", "characters"])
@pytest.mark.parametrize(
    ("output", "reference"), [("newyork", "new york"), ("12 May", "1 2May"), ("a b", "ab")]
)
def test_a_space_in_another_place_is_a_wrong_output(tokens, output, reference):
    rates = error_rates([output], [[reference]], tokens=tokens)
    assert rates.sequence_error_rate == 1.0
    assert not is_right(output, [reference])


@pytest.mark.parametrize("tokens", ["words", "phones", "characters"])
@pytest.mark.parametrize("space", ["  ", "\u3000", "\u00a0", "\u2028", "\t"])
def test_all_white_space_counts_the_same_in_every_unit(tokens, space):
    outputs = [f"a{space}b{space}", f"a{space}c"]
    rates = error_rates(outputs, [["a b"], [f"a{space}b"]], tokens=tokens)
    assert rates == (2, 1 / 2, 1 / 4)
    assert is_right(outputs[0], ["x", "a b"])


SENTENCES = [[f"word{number} is the word of number{number}"] for number in range(100)]


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        (SENTENCES, ("wer", "ter", "bleu", "chrf")),
        ([[f"word{number}"] for number in range(1000)], ("wer", "ter")),  # single words
        ([["HH AH L OW"], ["W ER L D", "W ER D"]] * 1000, ("wer", "ter")),  # phones
    ],
)
def test_bleu_means_something_for_sentences_only(references, expected):
    assert meaningful_metrics(references) == expected


@pytest.mark.parametrize(
    ("tokenizer", "unit"),
    [
        (CharTokenizer.train(["ab"]), "characters"),
        (ByteTokenizer(), "characters"),
        (WordTokenizer.train(["a b"]), "words"),
    ],
)
def test_the_unit_of_errors_follows_the_tokenizer(tokenizer, unit):
    assert unit_of(type(tokenizer)) == unit


def test_an_output_and_an_empty_reference_do_not_divide_by_zero():
    assert error_rates([""], [[""]]) == (1, 0.0, 0.0)


@pytest.mark.parametrize(
    ("outputs", "references", "error", "match"),
    [
        (["a"], [], ValueError, "1 output, 0 references"),
        ([], [], ValueError, "at least one"),
        (["a", "b"], [["a"], []], ValueError, "none at position 1"),
        (["a"], ["a"], TypeError, "'a' at position 0"),
    ],
)
def test_references_that_do_not_fit_are_rejected(outputs, references, error, match):
    with pytest.raises(error, match=match):
        error_rates(outputs, references)


def test_an_unknown_kind_of_token_is_rejected():
    with pytest.raises(ValueError, match="must be one of 'words', 'phones', 'characters'"):
        error_rates(["a"], [["a"]], tokens="syllables")


def test_a_missing_rapidfuzz_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidfuzz.distance", None)
    with pytest.raises(ImportError, match=r"keras-s2s\[eval\]"):
        error_rates(["a"], [["b"]])


def test_references_of_a_source_are_grouped_each_once_and_in_order():
    pairs = [("a", "x"), ("b", "y"), ("a", "z"), ("a", "x")]
    assert group_references(pairs) == {"a": ["x", "z"], "b": ["y"]}
    assert list(group_references(pairs)) == ["a", "b"]


def test_bleu_is_the_geometric_mean_of_the_precisions():
    score, signature = bleu(["a b c d e"], [["a b c d f"]])
    assert score == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** (1 / 4))
    assert "tok:13a" in signature
    assert "version:" in signature


def test_bleu_counts_the_requested_tokens():
    output, reference = ["words are four, and five"], [["words are four , and five"]]
    assert bleu(output, reference).score > 99
    score, signature = bleu(output, reference, tokenize="none")
    assert score < 99
    assert "tok:none" in signature


def test_a_tokenizer_that_sacrebleu_lacks_is_rejected():
    with pytest.raises(
        InputError, match=r"`tokenize` must be a tokenizer of sacrebleu: none, .*foo"
    ):
        bleu(["a"], [["a"]], tokenize="foo")
    with pytest.raises(InputError, match="--bleu-tokenize must be a tokenizer of sacrebleu"):
        check_metrics(["bleu"], bleu_tokenize="foo", name="--bleu-tokenize")
    check_metrics(["wer", "chrf"], bleu_tokenize="foo")


def test_a_tokenizer_whose_package_is_missing_is_rejected(monkeypatch):
    def make(tokenize):
        raise RuntimeError("Japanese needs\n\n  pip install sacrebleu[ja]")

    make.TOKENIZERS = sacrebleu.BLEU.TOKENIZERS
    monkeypatch.setattr(sacrebleu, "BLEU", make)
    with pytest.raises(
        ImportError, match=r"^`bleu_tokenize` 'ja-mecab' cannot .* sacrebleu\[ja\]$"
    ):
        check_metrics(["bleu"], bleu_tokenize="ja-mecab")


@pytest.mark.parametrize("score", [bleu, chrf])
def test_a_translation_that_equals_any_of_its_references_is_perfect(score):
    references = [["something else", "a b c d"], ["e f g h"]]
    assert score(["a b c d", "e f g h"], references).score == pytest.approx(100)
    assert score(["a b c d", "something else"], references).score < 90


def test_chrf_weighs_recall_over_precision():
    score, signature = chrf(["ab"], [["abcd"]])
    assert score < chrf(["abcd"], [["ab"]]).score
    assert "nc:6" in signature


@pytest.mark.parametrize("score", [bleu, chrf])
def test_scores_reject_references_that_do_not_fit(score):
    with pytest.raises(TypeError, match="'a' at position 0"):
        score(["a"], ["a"])


@pytest.mark.parametrize("score", [bleu, chrf])
def test_a_missing_sacrebleu_is_named_with_its_extra(score, monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(ImportError, match=r"keras-s2s\[eval\]"):
        score(["a"], [["b"]])
