"""The parity gate: what was exported answers as the model does, or the export fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_s2s.errors import InputError
from keras_s2s.export.questions import Arrays, Question, ask_model
from keras_s2s.export.signatures import ALL_SIGNATURES, CONFIDENCES
from keras_s2s.translator import Translator

# How far the scores that two runtimes give to the same text may lie apart.
TOLERANCE = 1e-4
# The score of a slot without a hypothesis.
_NO_SCORE = -1e9

Runtime = Callable[[str, Arrays], Arrays]
"""Calls a signature, by name, with an array for each input; gives an array for each output."""


class Parity(NamedTuple):
    """How like the model an export is; part of its model card."""

    compared: str  # what was compared: "scores", or "log_probs per token"
    tolerance: float  # how far they were allowed to lie apart
    difference: float  # how far they did
    num_texts: int  # how many probe texts the first searching signature was asked, in all batches
    num_same_texts: int  # to how many of them its best answer was the model's


def check_parity(
    translator: Translator, runtime: Runtime, signatures: Iterable[str], probes: list[str]
) -> Parity:
    """Compare what was exported with the model: same text, scores within `TOLERANCE`.

    Rounding differs from runtime to runtime, so where two answers are equally good it may decide
    which comes first. Another text passes, but only where the model itself gives it the log
    probability that the runtime reports, and a score within the tolerance of its own answer.

    Args:
        translator: The model.
        runtime: What was exported.
        signatures: The names of the signatures to compare.
        probes: The texts.

    Returns:
        The greatest difference of two scores, as `Parity`.

    Raises:
        ValueError: If they differ, with the signature, the text and both answers.
    """
    signatures = list(signatures)
    worst, same_texts = 0.0, []
    for signature, question, answer in _ask_both(translator, runtime, signatures, probes):
        wrong = find_differences(question, answer)
        if wrong:
            raise InputError(
                "What was exported does not answer as the model does, so it was removed. "
                f"Signature {signature!r}, source {question.texts[wrong[0]]!r} in a batch of "
                f"{len(question.texts)}. Expected: {_row(question.expected, wrong[0])}. "
                f"Received: {_row(answer, wrong[0])}"
            )
        difference = np.abs(answer["scores"] - question.expected["scores"])
        worst = max(worst, float(np.max(difference)))
        if signature == _counted(signatures):
            same_texts += _same_output(question.expected, answer)[:, 0].tolist()
    return Parity("scores", TOLERANCE, worst, len(same_texts), sum(same_texts))


def check_agreement(
    translator: Translator,
    runtime: Runtime,
    signatures: Iterable[str],
    probes: list[str],
    tolerance: float,
) -> Parity:
    """Compare what was exported with other weights than the model's: quantized ones.

    Every signature must run and give outputs of the right form. By "score" or "score_ids" the log
    probabilities are compared that both give to the model's own best answers; where neither is
    exported, those that both give to the answers of the runtime.

    Args:
        translator: The model.
        runtime: What was exported.
        signatures: The names of the signatures to run.
        probes: The texts.
        tolerance: How far the log probability of a token may lie from the model's, in the mean.

    Returns:
        How far it does, as `Parity`.

    Raises:
        ValueError: If an output is of the wrong form, or the difference is above the limit.
    """
    signatures = list(signatures)
    scoring = [name for name in ("score", "score_ids") if name in signatures] or signatures
    total, num_tokens, same_texts = 0.0, 0, []
    for signature, question, answer in _ask_both(translator, runtime, signatures, probes):
        if signature == _counted(signatures):
            same_texts += _same_output(question.expected, answer)[:, 0].tolist()
        if signature == scoring[0]:
            found = answer["log_probs"] > _NO_SCORE
            difference = np.abs(answer["log_probs"] - question.rescore(answer))
            total += float(np.sum(difference[found]))
            num_tokens += _count_tokens(translator, {**question.inputs, **answer}, found)
    mean = total / max(num_tokens, 1)
    if mean > tolerance:
        raise InputError(
            "What was exported is too far from the model, so it was removed. Expected: log "
            f"probabilities that differ by at most {tolerance} a token in the mean. "
            f"Received: {mean:.3g}"
        )
    return Parity("log_probs per token", tolerance, mean, len(same_texts), sum(same_texts))


def check_form(signature: str, question: Question, answer: Arrays) -> None:
    """Check that an answer has the promised outputs, and a row for each row of the question.

    Args:
        signature: The signature's name.
        question: What was asked.
        answer: What a runtime said.

    Raises:
        ValueError: If a name, a dtype or a shape is another one, or a score is not a number.
    """
    promised = {output.name: output for output in ALL_SIGNATURES[signature].outputs}
    if "confidences" in question.expected:
        promised["confidences"] = CONFIDENCES
    found = {name: value.shape for name, value in answer.items()}
    for name, output in promised.items():
        value = answer.get(name)
        if (
            value is None
            or value.shape[:2] != question.expected[name].shape[:2]
            or not output.shape.is_compatible_with(value.shape)
            or (output.dtype.is_floating and not np.all(np.isfinite(value)))
        ):
            raise InputError(
                f"What was exported gives a wrong output {name!r} of the signature "
                f"{signature!r}, so it was removed. Expected: finite values of shape "
                f"{question.expected[name].shape}. Received: {value!r} among the shapes {found}"
            )


def find_differences(question: Question, answer: Arrays) -> list[int]:
    """Find the rows in which an answer is not the model's.

    Args:
        question: What was asked.
        answer: What a runtime said, in the right form.

    Returns:
        The numbers of the rows.
    """
    expected = question.expected
    same = np.isclose(answer["scores"], expected["scores"], rtol=0, atol=TOLERANCE)
    # a log probability is a sum over all tokens, so its rounding grows with it
    same &= np.isclose(answer["log_probs"], expected["log_probs"], rtol=1e-5, atol=TOLERANCE)
    if "confidences" in expected:
        same &= np.isclose(answer["confidences"], expected["confidences"], rtol=0, atol=TOLERANCE)
    if "lengths" in answer:
        same &= answer["lengths"] == np.count_nonzero(answer["target_ids"], axis=2)
    same_output = _same_output(expected, answer)
    if not np.all(same_output):
        rescored = question.rescore(answer)
        confirmed = np.isclose(answer["log_probs"], rescored, rtol=1e-5, atol=TOLERANCE)
        same &= same_output | confirmed
    rows = np.all(same.reshape(len(same), -1), axis=1)
    return [int(row) for row in np.flatnonzero(~rows)]


def _counted(signatures: list[str]) -> str | None:
    """Return the signature whose best answers are counted: the first that searches."""
    searching = (name for name in signatures if not name.startswith("score"))
    return "serving_default" if "serving_default" in signatures else next(searching, None)


def _count_tokens(translator: Translator, arrays: Arrays, found: np.ndarray[Any, Any]) -> int:
    """Count the target tokens of an answer, eos included."""
    if "lengths" in arrays:
        return int(np.sum(arrays["lengths"][found]))
    if "target_ids" in arrays:
        return int(np.count_nonzero(arrays["target_ids"]))
    texts = arrays["target"][found].astype(object)
    return int(np.count_nonzero(translator.target.tokenize(tf.constant(texts, tf.string))))


def _ask_both(
    translator: Translator, runtime: Runtime, signatures: Iterable[str], probes: list[str]
) -> Iterator[tuple[str, Question, Arrays]]:
    """Ask model and runtime the same; give the signature, the question and the answer."""
    for signature in signatures:
        for question in ask_model(translator, signature, probes):
            answer = runtime(signature, question.inputs)
            check_form(signature, question, answer)
            yield signature, question, answer


def _same_output(expected: Arrays, answer: Arrays) -> np.ndarray[Any, Any]:
    """Say of each hypothesis whether it is the same text, or the same ids."""
    if "target" in expected:
        return np.asarray(expected["target"].astype(object) == answer["target"].astype(object))
    if "target_ids" in expected:
        length = max(expected["target_ids"].shape[2], answer["target_ids"].shape[2])
        first, second = (_padded(part["target_ids"], length) for part in (expected, answer))
        return np.asarray(np.all(first == second, axis=2))
    return np.ones(expected["scores"].shape, bool)


def _padded(ids: np.ndarray[Any, Any], length: int) -> np.ndarray[Any, Any]:
    """Pad ids `(batch, num_hypotheses, ...)` to a length."""
    return np.pad(ids, [(0, 0), (0, 0), (0, length - ids.shape[2])])


def _row(arrays: Arrays, row: int) -> str:
    """Describe what was said about one row."""
    return ", ".join(f"{name} {value[row].tolist()}" for name, value in sorted(arrays.items()))
