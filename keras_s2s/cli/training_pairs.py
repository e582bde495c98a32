"""Training pairs, read and checked before TensorFlow is imported."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from types import SimpleNamespace
from typing import NamedTuple

import click

from keras_s2s.checks import count_of
from keras_s2s.cli.features import FeatureCounts
from keras_s2s.cli.streams import StatusLine, warn
from keras_s2s.data import iterate_pairs, read_pairs
from keras_s2s.data.pairs import is_records
from keras_s2s.errors import InputError
from keras_s2s.pair_statistics import PairStatistics, measure_pairs
from keras_s2s.special_ids import SPECIAL_TOKENS
from keras_s2s.texts import split_features

_SYMBOL = 2.5  # mean length of words that are symbols, such as phones


class TrainingPairs(NamedTuple):
    """Pairs for training.

    Attributes:
        train: List of training pairs, or of the paths of their files if they are streamed.
        valid: List of validation pairs.
        statistics: `PairStatistics` of the training pairs.
        target_tokens: Integer. Number of different tokens in the training targets, and special
            tokens.
        can_copy: Boolean. Whether any source token is spelled like a target token.
    """

    train: list[tuple[str, str]] | list[str]
    valid: list[tuple[str, str]]
    statistics: PairStatistics
    target_tokens: int = 0
    can_copy: bool = True


def holds_records(settings: SimpleNamespace) -> bool:
    """Return whether a file of training pairs contains TFRecords.

    Args:
        settings: Namespace of all settings.
    """
    return any(map(is_records, settings.train))


def read_training_pairs(settings: SimpleNamespace) -> TrainingPairs:
    """Read and check the training pairs and the validation pairs, and print their numbers.

    TensorFlow is imported only if a file contains TFRecords.

    Args:
        settings: Namespace of all settings.

    Returns:
        The `TrainingPairs`.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file is malformed. The message contains path and line. Also if a pipe is to
            be streamed.
    """
    for path in settings.train if settings.stream else ():
        if not os.path.isfile(path):  # reading a pipe again would wait forever
            raise InputError(
                f"{path}: not a regular file, so it cannot be read again in each epoch. Omit "
                "--stream, or write the pairs to a file"
            )
    with StatusLine("Reading the pairs"):
        valid = read_pairs(settings.valid, features_column=settings.features_column)
        train = settings.train if settings.stream else list(_read_files(settings))
        valid_sources = {source for source, _ in valid}
        both: set[str] = set()
        features = FeatureCounts()
        source_tokens: set[str] = set()
        target_tokens: set[str] = set()

        def noting() -> Iterable[tuple[str, str]]:
            for pair in iterate_training_pairs(settings, train):
                source_tokens.update(_tokens(settings.source_tokenizer or "features", pair[0]))
                target_tokens.update(_tokens(settings.target_tokenizer, pair[1]))
                if pair[0] in valid_sources:
                    both.add(pair[0])
                if settings.features_column:
                    features.note(*pair)
                yield pair

        statistics = measure_pairs(noting())
    if settings.features_column:
        features.check(settings.features_column, settings.train)
        statistics = statistics._replace(features=True)
    click.echo(
        f"{count_of(statistics.number, 'training pair')}, {count_of(len(valid), 'validation pair')}"
    )
    if both:
        sources = count_of(len(valid_sources), "validation source")
        warn(
            f"the training pairs contain {len(both):,} of {sources}, so the error rates will be "
            "too low"
        )
    new_tokenizers = settings.init_from is None and settings.teacher is None
    if new_tokenizers and settings.target_tokenizer == "char":
        _suggest_words([target for _, target in valid])
    can_copy = not source_tokens.isdisjoint(target_tokens)
    size = len(target_tokens) + len(SPECIAL_TOKENS)
    return TrainingPairs(train, valid, statistics, size, can_copy)


def _tokens(kind: str, text: str) -> Iterable[str]:
    """Return the tokens of a text that may be copied, for the name of a tokenizer."""
    if kind == "byte":
        return (kind,)  # a byte is spelled like no token of another tokenizer
    if kind == "word":
        return text.split()
    if kind == "decomposed":
        return unicodedata.normalize("NFD", text)
    # Each character that a subword tokenizer knows is also a subword.
    return split_features(text)[0] if kind == "features" else text


def _suggest_words(targets: list[str]) -> None:
    """Suggest a word tokenizer for targets that look like symbols separated by spaces."""
    words = [word for target in targets for word in target.split()]
    if len(words) >= 2 * len(targets) and sum(map(len, words)) <= _SYMBOL * len(words):
        warn(
            f"the targets look like symbols separated by spaces, such as {targets[0]!r}; "
            "--target-tokenizer word makes each symbol one token"
        )


def iterate_training_pairs(
    settings: SimpleNamespace, train: list[tuple[str, str]] | list[str]
) -> Iterable[tuple[str, str]]:
    """Iterate over the training pairs, from the files if they are streamed.

    Args:
        settings: Namespace of all settings.
        train: List of pairs, or of paths, as in `TrainingPairs`.

    Returns:
        An iterable of the pairs.
    """
    return _read_files(settings) if settings.stream else train  # type: ignore[return-value]


def _read_files(settings: SimpleNamespace) -> Iterable[tuple[str, str]]:
    """Read the training pairs from their files."""
    return iterate_pairs(settings.train, features_column=settings.features_column)
