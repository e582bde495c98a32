"""Statistics of training pairs that determine recommended settings."""

from __future__ import annotations

import collections
import itertools
import math
import random
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from keras_s2s.texts import split_features

_SAMPLE_SIZE = 2_000  # number of pairs, drawn at random, because a file may be sorted
_MAX_CHARACTERS = 100  # later characters of a text are not linked
_MIN_PAIRS = 3  # in which two characters must occur together to be linked
_MAX_LINKS = 2_000_000  # possible links; beyond, only some of the pairs are counted

# Typical length, in characters, above which monotonic attention is too slow, because its time grows
# with the product of both lengths. The order of longer texts is not measured.
LONG_TEXT = 64
_OUTLIERS = 0.05  # share of pairs, the longest, that a typical length ignores


class PairStatistics(NamedTuple):
    """Statistics of training pairs.

    Attributes:
        number: Number of pairs.
        mean_length: Mean length of the longer side of a pair, in characters.
        typical_length: The same, without the longest 5% of the pairs, in at most 2,000 of them.
        crossing: Share of links that cross, from `crossing_share`, in at most 2,000 of the pairs.
            NaN for long texts, because no setting depends on their order, and if there are no two
            links in any pair.
        features: Whether most sources end with features, such as "V;PST".
        characters: Number of different characters in the sources.
        parts: Number of different characters after Unicode's canonical decomposition.
        shared: Share of the characters of targets that occur in their own source.
    """

    number: int
    mean_length: float
    typical_length: float
    crossing: float
    features: bool = False
    characters: int = 0
    parts: int = 0
    shared: float = 0.0


def measure_pairs(pairs: Iterable[tuple[str, str]]) -> PairStatistics:
    """Compute statistics of pairs: numbers, lengths, and order.

    Args:
        pairs: The (source, target) pairs.

    Returns:
        The `PairStatistics`.
    """
    number = characters = 0
    seen: set[str] = set()
    sample: list[tuple[str, str]] = []
    draw = random.Random(0)  # noqa: S311
    for source, target in pairs:
        number += 1
        characters += max(len(source), len(target))
        seen.update(source)
        if number <= _SAMPLE_SIZE:
            sample.append((source, target))
        elif (place := draw.randrange(number)) < _SAMPLE_SIZE:
            sample[place] = source, target
    typical_length = _typical_length(sample)
    with_features = sum(map(_ends_with_features, (source for source, _ in sample)))
    return PairStatistics(
        number=number,
        mean_length=characters / max(number, 1),
        typical_length=typical_length,
        crossing=crossing_share(sample) if typical_length <= LONG_TEXT else math.nan,
        features=2 * with_features > len(sample),
        characters=len(seen),
        parts=len({part for it in seen for part in unicodedata.normalize("NFD", it)}),
        shared=_shared_characters(sample),
    )


def crossing_share(pairs: Iterable[tuple[str, str]]) -> float:
    """Compute the share of links between source and target characters that cross.

    Each target character is linked to the source character with which it occurs most often, by the
    Dice coefficient over all pairs. Two links of a pair cross if the order of their source
    characters differs from that of their target characters. Only characters that occur once in a
    text are counted, and spaces are ignored. About half of all links cross if the order is
    arbitrary, and 0 to 10% in pronunciation and transliteration.

    If there are more than two million possible links, only every second, third, … pair is counted.

    Args:
        pairs: The (source, target) pairs.

    Returns:
        The share of crossing links, from 0 to 1. NaN if there are no two links in any pair.

    Example:
        >>> crossing_share([("ab", "AB"), ("ba", "BA"), ("cab", "CAB")] * 10)
        0.0
        >>> crossing_share([("ab", "BA"), ("ba", "AB"), ("cab", "BAC")] * 10)
        1.0
    """
    placed = [(_positions(source), _positions(target)) for source, target in pairs]
    possible = sum(len(source) * len(target) for source, target in placed)
    placed = placed[:: max(1, math.ceil(possible / _MAX_LINKS))]
    linked = _linked_characters(placed)
    crossing = compared = 0
    for source, target in placed:
        links = [
            (source[linked[character]], place)
            for character, place in target.items()
            if linked.get(character) in source
        ]
        for (here, first), (there, second) in itertools.combinations(links, 2):
            compared += here != there
            crossing += here != there and (here < there) != (first < second)
    return crossing / compared if compared else math.nan


def _typical_length(pairs: list[tuple[str, str]]) -> float:
    """Return the mean length of the longer side of a pair, without the longest pairs."""
    lengths = sorted(max(map(len, pair)) for pair in pairs)
    kept = lengths[: max(1, len(lengths) - math.ceil(_OUTLIERS * len(lengths)))]
    return sum(kept) / max(1, len(kept))


def _ends_with_features(source: str) -> bool:
    """Return whether the last of several words is a list of features such as "V;PST"."""
    _, features = split_features(source)
    return len(features) > 1 and all(features)


def _shared_characters(pairs: list[tuple[str, str]]) -> float:
    """Return the share of the characters of targets that occur in their own source."""
    shared = sum(character in source for source, target in pairs for character in target)
    return shared / max(1, sum(len(target) for _, target in pairs))


def _positions(text: str) -> dict[str, int]:
    """Return the positions of characters that occur once, with Hangul and accents decomposed."""
    characters = "".join(unicodedata.normalize("NFD", text).split())[:_MAX_CHARACTERS]
    counts = collections.Counter(characters)
    return {it: place for place, it in enumerate(characters) if counts[it] == 1}


def _linked_characters(placed: list[tuple[dict[str, int], dict[str, int]]]) -> dict[str, str]:
    """Return the source character that each target character is linked to."""
    sources: collections.Counter[str] = collections.Counter()
    targets: collections.Counter[str] = collections.Counter()
    both: collections.Counter[tuple[str, str]] = collections.Counter()
    for source, target in placed:
        sources.update(list(source))
        targets.update(list(target))
        both.update(itertools.product(source, target))
    best: dict[str, tuple[float, str]] = {}
    for (source_character, target_character), count in both.items():
        dice = 2 * count / (sources[source_character] + targets[target_character])
        if count >= _MIN_PAIRS and dice > best.get(target_character, (0.0, ""))[0]:
            best[target_character] = dice, source_character
    return {character: found for character, (_, found) in best.items()}
