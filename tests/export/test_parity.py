from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf
from helpers.served import shared_translator

from keras_s2s.export.parity import Parity, check_agreement, check_parity, find_differences
from keras_s2s.export.probes import ProbeCall
from keras_s2s.export.served_module import trace
from keras_s2s.export.signatures import ALL_SIGNATURES, SIGNATURES
from keras_s2s.translator import Translator

PROBES = ["hello", "zebra", "日 é", "😀"]


@pytest.fixture(scope="module")
def translator():
    return shared_translator()


@pytest.fixture(scope="module")
def functions(translator):
    return trace(translator, ALL_SIGNATURES)


@pytest.fixture
def runtime(functions):
    """The model itself as a runtime; `change` modifies its answers."""

    def run(signature, inputs):
        found = functions[signature](**{name: tf.constant(value) for name, value in inputs.items()})
        answer = {name: value.numpy().copy() for name, value in found.items()}
        return run.change(answer)

    run.change = lambda answer: answer
    return run


def test_the_model_agrees_with_itself(translator, runtime):
    found = check_parity(translator, runtime, SIGNATURES, PROBES)
    # three texts, one and the empty one alone, and the last with the empty one
    assert found._replace(difference=0.0) == Parity("scores", 1e-4, 0.0, 7, 7)
    assert found.difference < 1e-5  # the model answers in other batches, with other products
    found = check_agreement(translator, runtime, SIGNATURES, PROBES, 1e-5)
    assert found._replace(difference=0.0) == Parity("log_probs per token", 1e-5, 0.0, 7, 7)


@pytest.mark.parametrize(
    ("signature", "output", "value"),
    [
        ("serving_default", "target", b"AA B"),
        ("greedy", "target", b"AA B"),
        ("options", "target", b"AA B"),
        ("ids", "target_ids", 5),
        ("ids", "lengths", 5),
    ],
)
@pytest.mark.sampled(3)
def test_a_different_answer_is_refused_and_shown(translator, runtime, signature, output, value):
    def change(answer):
        answer[output][-1, 0] = value
        return answer

    runtime.change = change
    message = f"Signature '{signature}', source '日 é' in a batch of 3. Expected: .* Received: .*"
    with pytest.raises(ValueError, match=f"{message}{re.escape(repr(value))[:-1]}"):
        check_parity(translator, runtime, [signature], PROBES)


@pytest.mark.parametrize("signature", SIGNATURES)
@pytest.mark.parametrize("output", ["scores", "log_probs"])
@pytest.mark.sampled(4)
def test_a_different_score_is_refused(translator, runtime, signature, output):
    def change(answer):
        # the last unit counts from -2 on
        answer[output] += 3e-4
        return answer

    runtime.change = change
    with pytest.raises(ValueError, match=f"Signature '{signature}', source 'hello' in a batch"):
        check_parity(translator, runtime, [signature], PROBES)


@pytest.mark.parametrize("signature", SIGNATURES)
@pytest.mark.sampled(2)
def test_rows_in_another_order_are_refused(translator, runtime, signature):
    runtime.change = lambda answer: {name: value[::-1] for name, value in answer.items()}
    with pytest.raises(ValueError, match=f"Signature '{signature}'"):
        check_parity(translator, runtime, [signature], PROBES)


@pytest.mark.parametrize("check", [check_parity, check_agreement])
@pytest.mark.parametrize(
    ("output", "change"),
    [
        ("lengths", lambda value: None),
        ("scores", lambda value: value[:, :1]),
        ("scores", lambda value: value[:1]),
        ("log_probs", lambda value: value * np.nan),
        ("target_ids", lambda value: value[:, :, 0]),
    ],
)
@pytest.mark.sampled(3)
def test_an_output_with_a_wrong_shape_is_refused(translator, runtime, check, output, change):
    def change_form(answer):
        answer[output] = change(answer[output])
        return {name: value for name, value in answer.items() if value is not None}

    runtime.change = change_form
    arguments = (0.1,) if check is check_agreement else ()
    message = f"returns a wrong output '{output}' for the signature 'ids', so it was removed"
    with pytest.raises(ValueError, match=message):
        check(translator, runtime, ["ids"], PROBES, *arguments)


def test_quantized_weights_may_change_log_probs_slightly(translator, runtime):
    def change(answer):
        answer["log_probs"] += 0.1
        return answer

    runtime.change = change
    assert 0.01 < check_agreement(translator, runtime, ["score"], PROBES, 0.1).difference < 0.1


@pytest.mark.slow
def test_different_answers_of_quantized_weights_are_counted(translator, runtime):
    def change(answer):
        if "target" in answer:
            answer["target"][-1] = b"AA B"
        return answer

    runtime.change = change
    found = check_agreement(translator, runtime, SIGNATURES, PROBES, 0.1)
    assert (found.num_texts, found.num_same_texts) == (7, 3)


@pytest.mark.parametrize("signature", ["serving_default", "ids", "score", "score_ids"])
def test_an_export_that_finds_nothing_is_refused(translator, runtime, signature):
    empty = {"scores": -1e9, "log_probs": -1e9, "target": b"", "target_ids": 0, "lengths": 0}
    runtime.change = lambda answer: {
        name: np.full_like(value, empty[name]) for name, value in answer.items()
    }
    message = f"Signature '{signature}', source 'hello'. Expected: .* Received: .*-1000000000"
    with pytest.raises(ValueError, match=message):
        check_agreement(translator, runtime, [signature], PROBES, 0.1)


def test_an_export_that_answers_what_the_model_cannot_is_refused(translator, runtime):
    parts = translator.model, translator.source, translator.target
    limited = Translator(*parts, search=translator.search, max_source_length=2)
    with pytest.raises(ValueError, match=r"only one of .*Signature 'ids', source 'hello'"):
        check_agreement(limited, runtime, ["ids"], PROBES, 0.1)


def test_log_probs_that_differ_too_much_are_refused(translator, runtime):
    def change(answer):
        answer["log_probs"] -= 10
        return answer

    runtime.change = change
    with pytest.raises(ValueError, match=r"differ by at most 0.1 per token on average. Received"):
        check_agreement(translator, runtime, ["score"], PROBES, 0.1)


TEXTS = {
    "target": np.array([[b"A", b"B"], [b"C", b""]], dtype=object),
    "scores": np.array([[-1.0, -1.00001], [-2.0, -1e9]], np.float32),
    "log_probs": np.array([[-4.0, -4.00004], [-8.0, -1e9]], np.float32),
}
IDS = {
    "target_ids": np.array([[[4, 3], [5, 3]], [[6, 3], [0, 0]]], np.int32),
    "lengths": np.array([[2, 2], [2, 0]], np.int32),
    "scores": TEXTS["scores"],
    "log_probs": TEXTS["log_probs"],
}


def probe_call(expected, rescored=None):
    return ProbeCall(["a", "b"], {}, expected, lambda answer: rescored)


@pytest.mark.parametrize("expected", [TEXTS, IDS])
def test_the_same_answer_has_no_differences(expected):
    assert find_differences(probe_call(expected), expected) == []


def test_ids_padded_further_are_the_same():
    ids = np.pad(IDS["target_ids"], [(0, 0), (0, 0), (0, 3)])
    assert find_differences(probe_call(IDS), {**IDS, "target_ids": ids}) == []
    assert find_differences(probe_call({**IDS, "target_ids": ids}), IDS) == []


@pytest.mark.parametrize("expected", [TEXTS, IDS])
def test_either_of_two_equally_good_answers_may_be_first(expected):
    name = "target" if "target" in expected else "target_ids"
    swapped = {**expected, name: expected[name].copy()}
    swapped[name][0] = expected[name][0, ::-1]
    confirmed = probe_call(expected, rescored=expected["log_probs"])
    assert find_differences(confirmed, swapped) == []
    unconfirmed = probe_call(expected, rescored=expected["log_probs"] - 0.01)
    assert find_differences(unconfirmed, swapped) == [0]


@pytest.mark.parametrize("output", ["scores", "log_probs"])
def test_a_score_may_differ_by_the_rounding_of_a_runtime(output):
    answer = {**TEXTS, output: TEXTS[output] + np.float32(0.9e-4)}
    assert find_differences(probe_call(TEXTS), answer) == []
    answer = {**TEXTS, output: TEXTS[output] + np.float32(2.1e-4)}
    assert find_differences(probe_call(TEXTS), answer) == [0, 1]
