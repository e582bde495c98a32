"""Pairs with a column of features, and the check that the column contains features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from keras_s2s.checks import count_of
from keras_s2s.cli.setting import name_as_given
from keras_s2s.cli.streams import warn
from keras_s2s.data import read_pairs
from keras_s2s.errors import InputError
from keras_s2s.texts import FEATURE_SEPARATOR, split_features

_FEW = 20  # pairs that may all have different features


def read_checked_pairs(path: str, column: int | None) -> list[tuple[str, str]]:
    """Read a file of pairs, and check its features column as `train` does.

    Args:
        path: Path of the file.
        column: Integer or None. Number of the features column.

    Returns:
        A list of pairs.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is malformed, or another column contains the features.
    """
    pairs = read_pairs(path, features_column=column)
    if column:
        counts = FeatureCounts()
        for pair in pairs:
            counts.note(*pair)
        counts.check(column, [path])
    return pairs


def features_column_of(given: int | None, run: Mapping[str, Any]) -> int | None:
    """Return the features column of a file of pairs.

    Args:
        given: Integer or None. Value of `--features-column`; 0 means no features.
        run: Mapping of the settings of the run, which may be empty.
    """
    return (run.get("features_column") if given is None else given) or None


class FeatureCounts:
    """Counts that distinguish a column of features from a column of words."""

    def __init__(self) -> None:
        self._pairs = self._total = 0
        self._distinct: set[str] = set()
        # Number of lines with a separator: in the features, the source word and the target.
        self._lists = [0, 0, 0]

    def note(self, source: str, target: str) -> None:
        """Count the features of a pair whose source ends with its features."""
        lemma, features = split_features(source)
        self._pairs += 1
        self._total += len(features)
        self._distinct.update(features)
        lists = (len(features) > 1, FEATURE_SEPARATOR in lemma, FEATURE_SEPARATOR in target)
        for place, is_list in enumerate(lists):
            self._lists[place] += is_list

    def check(self, column: int, paths: Iterable[str]) -> None:
        """Check that the column contains features.

        Args:
            column: Integer. Number of the column.
            paths: Paths of the files, for the error message.

        Raises:
            ValueError: If another column contains lists of features and this one does not.
        """
        others = [other for other in (1, 2, 3) if other != column]
        for other, lists in zip(others, self._lists[1:], strict=True):
            if 2 * lists > self._pairs and 2 * self._lists[0] < self._pairs:
                raise InputError(
                    f"{', '.join(paths)}: {name_as_given('features_column')} must be the column "
                    f"with features such as V;PST, which is column {other} in {lists:,} of "
                    f"{count_of(self._pairs, 'pair')}. Received: {column}"
                )
        if self._pairs >= _FEW and 2 * len(self._distinct) > self._total:
            warn(
                f"{count_of(len(self._distinct), 'different feature')} in "
                f"{count_of(self._pairs, 'pair')}: check that column {column} (--features-column) "
                "contains features, not words"
            )
