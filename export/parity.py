"""Parity check: an export must return the same outputs as the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_s2s.errors import InputError
from keras_s2s.export.probes import ProbeCall, probe_calls
from keras_s2s.export.sessions import Arrays, Runtime, pad_ids
from keras_s2s.export.signatures import ALL_SIGNATURES, CONFIDENCES
from keras_s2s.special_ids import POSSIBLE
from keras_s2s.translator import Translator

# Maximum difference between the scores of two runtimes for the same text.
TOLERANCE = 1e-4


class Parity(NamedTuple):
    """Measured agreement of an export with the model; part of the model card."""

    compared: str  # the quantity compared: "scores", or "log_probs per token"
    tolerance: float  # maximum difference allowed
    difference: float  # difference found
    num_texts: int  # number of texts that the first search signature translated, in all batches
    num_same_texts: int  # number of those texts whose best output equals the model's


def check_parity(
    translator: Translator, runtime: Runtime, signatures: Iterable[str], probes: list[str]
) -> Parity:
    """Compare an export with the model: same text, scores within `TOLERANCE`.

    Runtimes round differently, which may change the order of two outputs with almost equal scores.
    A different text passes only if the model assigns it the log probability that the runtime
    reports, and if its score is within the tolerance of the model's own output.

    Args:
        translator: The model.
        runtime: The export.
        signatures: Names of the signatures to compare.
        probes: The texts.

    Returns:
        The maximum difference of two scores, as `Parity`.

    Raises:
        ValueError: If an output differs. The message has the signature, the text and both outputs.
    """
    signatures = list(signatures)
    worst, same_texts = 0.0, []
    for signature, call, answer in _run_both(translator, runtime, signatures, probes):
        wrong = find_differences(call, answer)
        if wrong:
            raise InputError(
                "The export and the model return different outputs, so the export was removed. "
                f"Signature {signature!r}, source {call.texts[wrong[0]]!r} in a batch of "
                f"{len(call.texts)}. Expected: {_row(call.expected, wrong[0])}. Received: "
                f"{_row(answer, wrong[0])}"
            )
        difference = np.abs(answer["scores"] - call.expected["scores"])
        worst = max(worst, float(np.max(difference)))
        if signature == _main_signature(signatures):
            same_texts += _same_output(call.expected, answer)[:, 0].tolist()
    return Parity("scores", TOLERANCE, worst, len(same_texts), sum(same_texts))


def check_agreement(
    translator: Translator,
    runtime: Runtime,
    signatures: Iterable[str],
    probes: list[str],
    tolerance: float,
) -> Parity:
    """Compare an export that has quantized weights with the model.

    Every signature must run and return outputs with the right names, dtypes and shapes, and answer
    the texts that the model answers. The comparison is of log probabilities: with "score" or
    "score_ids", of the model's own best outputs; if neither is exported, of the runtime's outputs.

    Args:
        translator: The model.
        runtime: The export.
        signatures: Names of the signatures to run.
        probes: The texts.
        tolerance: Maximum mean difference of a token's log probability from the model's.

    Returns:
        The difference, as `Parity`.

    Raises:
        ValueError: If an output has the wrong form, only one side answers a text, or the difference
            exceeds the tolerance.
    """
    signatures = list(signatures)
    scoring = [name for name in ("score", "score_ids") if name in signatures] or signatures
    total, num_tokens, same_texts = 0.0, 0, []
    for signature, call, answer in _run_both(translator, runtime, signatures, probes):
        _check_same_answered(signature, call, answer)
        if signature == _main_signature(signatures):
            same_texts += _same_output(call.expected, answer)[:, 0].tolist()
        if signature == scoring[0]:
            found = answer["log_probs"] > POSSIBLE
            difference = np.abs(answer["log_probs"] - call.rescore(answer))
            total += float(np.sum(difference[found]))
            num_tokens += _count_tokens(translator, {**call.inputs, **answer}, found)
    mean = total / max(num_tokens, 1)
    if mean > tolerance:
        raise InputError(
            "The export differs too much from the model, so it was removed. Expected: log "
            f"probabilities that differ by at most {tolerance} per token on average. Received: "
            f"{mean:.3g}"
        )
    return Parity("log_probs per token", tolerance, mean, len(same_texts), sum(same_texts))


def check_form(signature: str, call: ProbeCall, answer: Arrays) -> None:
    """Check that a runtime returns the expected outputs, with one row for each row of the inputs.

    Args:
        signature: Name of the signature.
        call: The call.
        answer: The outputs of a runtime.

    Raises:
        ValueError: If a name, a dtype or a shape differs, or a score is not a number.
    """
    promised = {output.name: output for output in ALL_SIGNATURES[signature].outputs}
    if "confidences" in call.expected:
        promised["confidences"] = CONFIDENCES
    found = {name: value.shape for name, value in answer.items()}
    for name, output in promised.items():
        value = answer.get(name)
        if (
            value is None
            or value.shape[:2] != call.expected[name].shape[:2]
            or not output.shape.is_compatible_with(value.shape)
            or (output.dtype.is_floating and not np.all(np.isfinite(value)))
        ):
            raise InputError(
                f"The export returns a wrong output {name!r} for the signature {signature!r}, so "
                "it was removed. Expected: finite values of shape "
                f"{call.expected[name].shape}. Received: {value!r} among the shapes {found}"
            )


def find_differences(call: ProbeCall, answer: Arrays) -> list[int]:
    """Find the rows in which an output differs from the model's.

    Args:
        call: The call.
        answer: The outputs of a runtime, in the right form.

    Returns:
        The indices of the rows.
    """
    expected = call.expected
    same = np.isclose(answer["scores"], expected["scores"], rtol=0, atol=TOLERANCE)
    # a log probability is a sum over all tokens, so its rounding error grows with it
    same &= np.isclose(answer["log_probs"], expected["log_probs"], rtol=1e-5, atol=TOLERANCE)
    if "confidences" in expected:
        same &= np.isclose(answer["confidences"], expected["confidences"], rtol=0, atol=TOLERANCE)
    if "lengths" in answer:
        same &= answer["lengths"] == np.count_nonzero(answer["target_ids"], axis=2)
    same_output = _same_output(expected, answer)
    if not np.all(same_output):
        rescored = call.rescore(answer)
        confirmed = np.isclose(answer["log_probs"], rescored, rtol=1e-5, atol=TOLERANCE)
        same &= same_output | confirmed
    rows = np.all(same.reshape(len(same), -1), axis=1)
    return [int(row) for row in np.flatnonzero(~rows)]


def _check_same_answered(signature: str, call: ProbeCall, answer: Arrays) -> None:
    """Raise if only the model, or only the export, has a best output for a text, or a score."""
    ours, theirs = (
        part["log_probs"].reshape(len(call.texts), -1)[:, 0] > POSSIBLE
        for part in (call.expected, answer)
    )
    rows = np.flatnonzero(ours != theirs)
    if len(rows):
        raise InputError(
            "For this text only one of the export and the model has an output, so the export was "
            f"removed. Signature {signature!r}, source {call.texts[rows[0]]!r}. Expected: "
            f"{_row(call.expected, rows[0])}. Received: {_row(answer, rows[0])}"
        )


def _main_signature(signatures: list[str]) -> str | None:
    """Return the signature whose best outputs are counted: the default or the first search."""
    searching = (name for name in signatures if not name.startswith("score"))
    return "serving_default" if "serving_default" in signatures else next(searching, None)


def _count_tokens(translator: Translator, arrays: Arrays, found: np.ndarray[Any, Any]) -> int:
    """Count the target tokens of the outputs marked in `found`, including eos."""
    if "lengths" in arrays:
        return int(np.sum(arrays["lengths"][found]))
    if "target_ids" in arrays:
        return int(np.count_nonzero(arrays["target_ids"][found]))
    texts = arrays["target"][found].astype(object)
    return int(np.count_nonzero(translator.target.tokenize(tf.constant(texts, tf.string))))


def _run_both(
    translator: Translator, runtime: Runtime, signatures: Iterable[str], probes: list[str]
) -> Iterator[tuple[str, ProbeCall, Arrays]]:
    """Yield each signature, a call with the model's output, and the output of the runtime."""
    for signature, call in probe_calls(translator, signatures, probes):
        answer = runtime(signature, call.inputs)
        check_form(signature, call, answer)
        yield signature, call, answer


def _same_output(expected: Arrays, answer: Arrays) -> np.ndarray[Any, Any]:
    """Return, for each hypothesis, whether the text or the ids are the same."""
    if "target" in expected:
        return np.asarray(expected["target"].astype(object) == answer["target"].astype(object))
    if "target_ids" in expected:
        length = max(expected["target_ids"].shape[2], answer["target_ids"].shape[2])
        first, second = (pad_ids(part["target_ids"], length) for part in (expected, answer))
        return np.asarray(np.all(first == second, axis=2))
    return np.ones(expected["scores"].shape, bool)


def _row(arrays: Arrays, row: int) -> str:
    """Format the output for one row."""
    return ", ".join(f"{name} {value[row].tolist()}" for name, value in sorted(arrays.items()))
