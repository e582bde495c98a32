"""How often and how far outputs differ from their references."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from keras_s2s.checks import check_choice

_SPLITS: dict[str, Callable[[str], list[str]]] = {
    "words": str.split,
    "characters": lambda text: list(text.replace(" ", "")),
}


class ErrorRates(NamedTuple):
    """Errors of a list of outputs against their references."""

    sequences: int  # how many outputs were compared
    sequence_error_rate: float  # share of outputs that equal none of their references (WER of G2P)
    token_error_rate: float  # edits to the nearest reference, per reference token (PER, TER)


def error_rates(
    outputs: Sequence[str], references: Sequence[Collection[str]], *, tokens: str = "words"
) -> ErrorRates:
    """Compare outputs with their references.

    The token error rate is the sum of the edit distances (insertions, deletions, substitutions,
    each 1) from each output to its nearest reference, divided by the sum of the lengths of these
    references. Of equally near references the shorter counts, so their order has no influence.

    Args:
        outputs: one text for each source.
        references: for each source the texts that are right, at least one.
        tokens: what is compared: "words" (separated by white space) or "characters" (all but
            spaces).

    Returns:
        The `ErrorRates`, as shares: 0.25 is 25 %.

    Raises:
        ValueError: if the lists differ in length, are empty, or an output has no reference.
        TypeError: if the references of an output are a single text.
        ImportError: if rapidfuzz is not installed.

    Example:
        >>> error_rates(["a b", "a c"], [["a b"], ["a b", "d a b"]])
        ErrorRates(sequences=2, sequence_error_rate=0.5, token_error_rate=0.25)

    References:
        - Levenshtein, 1966, "Binary codes capable of correcting deletions, insertions, and
          reversals"; the distance is computed by rapidfuzz.
    """
    split = _SPLITS[check_choice("tokens", tokens, _SPLITS)]
    _check_lengths(outputs, references)
    wrong = edits = length = 0
    for number, (output, accepted) in enumerate(zip(outputs, references, strict=True)):
        if isinstance(accepted, str):
            raise TypeError(
                "`references` must hold a list of texts for each output. Received: "
                f"{accepted!r} at position {number}"
            )
        if not accepted:
            raise ValueError(f"`references` must not be empty. Received: none at {number}")
        found = split(output)
        distance, size = _nearest(found, [split(reference) for reference in accepted])
        wrong += distance > 0
        edits, length = edits + distance, length + size
    return ErrorRates(len(outputs), wrong / len(outputs), edits / max(length, 1))


def _nearest(output: list[str], references: Iterable[list[str]]) -> tuple[int, int]:
    """Give the distance to the nearest reference, and the length of that one."""
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError as error:
        raise ImportError(
            "Error rates need rapidfuzz, which is not installed: pip install 'keras-s2s[eval]'"
        ) from error
    return min((Levenshtein.distance(output, tokens), len(tokens)) for tokens in references)


def _check_lengths(outputs: Sequence[str], references: Sequence[Collection[str]]) -> None:
    if len(outputs) != len(references) or not outputs:
        raise ValueError(
            "There must be one entry of `references` for each of `outputs`, and at least one. "
            f"Received: {len(outputs)} outputs, {len(references)} references"
        )
