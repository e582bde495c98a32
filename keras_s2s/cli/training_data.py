"""Pairs and tokenizers of a training."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import click
import tensorflow as tf

import keras_s2s as s2s
from keras_s2s.errors import InputError
from keras_s2s.pair_statistics import PairStatistics, measure_pairs
from keras_s2s.recommended import fit_settings
from keras_s2s.special_ids import UNK_ID
from keras_s2s.tokenizers.feature_tokenizer import SEPARATOR
from keras_s2s.tokenizers.sentencepiece_tokenizer import DEFAULT_SIZE

# Tokenizer classes by their names in the settings.
TOKENIZERS: dict[str, Any] = {
    "char": s2s.CharTokenizer,
    "decomposed": s2s.DecomposedCharTokenizer,
    "byte": s2s.ByteTokenizer,
    "word": s2s.WordTokenizer,
    "subword": s2s.SentencePieceTokenizer,
    "features": s2s.FeatureTokenizer,
}
_CHUNK = 4096  # texts that are tokenized at once
_FEW = 20  # pairs, of which each may have features of its own


class Data(SimpleNamespace):
    """Data of a training.

    Attributes:
        train: Training pairs, or the paths of their files if they are streamed.
        valid: List of held-out pairs.
        source: Source tokenizer.
        target: Target tokenizer.
        longest: Integer. Number of tokens in the longest training target.
        statistics: `PairStatistics` of the training pairs.
        source_kind: Tuple of the name of the source tokenizer in the settings, and its reason.
    """


class _Features:
    """Counts what tells a column of features from a column of words."""

    def __init__(self) -> None:
        self._pairs = self._total = 0
        self._distinct: set[str] = set()
        # Number of lines with a separator: in the features, the source word and the target.
        self._lists = [0, 0, 0]

    def note(self, source: str, target: str) -> None:
        """Count the features of a pair whose source ends in its features."""
        word, *last = source.rsplit(maxsplit=1) or [""]
        features = last[0].split(SEPARATOR) if last else []
        self._pairs += 1
        self._total += len(features)
        self._distinct.update(features)
        for place, text in enumerate([*last, word, target] if last else ["", word, target]):
            self._lists[place] += SEPARATOR in text

    def check(self, column: int) -> None:
        """Check that the column holds features.

        Raises:
            ValueError: If another column holds lists of features and this one does not.
        """
        others = [other for other in (1, 2, 3) if other != column]
        for other, lists in zip(others, self._lists[1:], strict=True):
            if 2 * lists > self._pairs and 2 * self._lists[0] < self._pairs:
                raise InputError(
                    f"`features_column` must be the column with features such as V;PST, which is "
                    f"column {other} in {lists:,} of {self._pairs:,} training pairs. Received: "
                    f"features_column={column}"
                )
        if self._pairs >= _FEW and 2 * len(self._distinct) > self._total:
            click.echo(
                f"features: {len(self._distinct):,} different ones in {self._pairs:,} pairs: check "
                f"that column {column} holds features, not words (--features-column)",
                err=True,
            )


def read_data(settings: SimpleNamespace, initial: Any = None) -> Data:
    """Read and check the pairs, and train the tokenizers.

    Args:
        settings: Namespace of all settings.
        initial: `Translator` or None. Translator whose tokenizers are used. Defaults to `None`,
            which trains new ones.

    Returns:
        The `Data`.

    Raises:
        ValueError: If a file is malformed. The message contains path and line.
    """
    valid = s2s.read_pairs(settings.valid, features_column=settings.features_column)
    train = settings.train if settings.stream else list(_read_pairs(settings))
    statistics = _report_pairs(settings, train, valid)
    source_kind = _source_kind(settings, statistics, initial)
    sides = []
    for place, side in enumerate(("source", "target")):
        if initial is not None:
            sides.append(getattr(initial, side))
            continue
        texts = (pair[place] for pair in _iterate_pairs(settings, train))
        kind = source_kind[0] if side == "source" else settings.target_tokenizer
        sides.append(_train_tokenizer(settings, side, kind, texts))
    data = Data(train=train, valid=valid, source=sides[0], target=sides[1], longest=0)
    data.statistics, data.source_kind = statistics, source_kind
    data.longest = _longest(settings, data)
    for place, tokenizer in enumerate(sides):
        ids, _ = tokenizer.split([pair[place] for pair in valid])
        unknown = int(tf.math.count_nonzero(ids == UNK_ID))
        side = ("source", "target")[place]
        click.echo(
            f"{side}: {tokenizer.vocabulary_size:,} tokens in the vocabulary, {unknown:,} of "
            f"{int(tf.size(ids)):,} held-out tokens are not in it"
        )
    return data


def make_batches(settings: SimpleNamespace, data: Data) -> tuple[Any, Any]:
    """Create the datasets. Logs the number of pairs that are too long.

    Args:
        settings: Namespace of all settings.
        data: The `Data` of the training.

    Returns:
        A tuple of the training dataset and the held-out dataset.

    Raises:
        ValueError: If all pairs are too long.
    """
    sizes = (
        {"batch_tokens": settings.batch_tokens}
        if settings.batch_tokens
        else {"batch_size": settings.batch_size}
    )
    train = s2s.make_dataset(
        data.train,
        data.source,
        data.target,
        shuffle=True,
        seed=settings.seed,
        max_source_length=settings.max_source_length,
        max_target_length=settings.max_target_length,
        features_column=settings.features_column if settings.stream else None,
        **sizes,
    )
    return train, s2s.make_dataset(data.valid, data.source, data.target)


def tokenizer_kind(settings: SimpleNamespace, side: str) -> str | None:
    """Return the name of the tokenizer of one side.

    Args:
        settings: Namespace of all settings.
        side: "source" or "target".

    Returns:
        A key of `TOKENIZERS`, or None if it depends on the pairs. If the lines have features, the
        source tokenizer is "features" where it is not given or is "char".
    """
    kind: str | None = getattr(settings, f"{side}_tokenizer")
    if side == "source" and kind in (None, "char") and settings.features_column:
        return "features"
    return kind


def _read_pairs(settings: SimpleNamespace) -> Iterable[tuple[str, str]]:
    """Read the training pairs from their files."""
    return s2s.iterate_pairs(settings.train, features_column=settings.features_column)


def _iterate_pairs(settings: SimpleNamespace, train: Any) -> Iterable[tuple[str, str]]:
    """Iterate over the training pairs, from the files if they are streamed."""
    return _read_pairs(settings) if settings.stream else train


def _report_pairs(
    settings: SimpleNamespace, train: Any, valid: list[tuple[str, str]]
) -> PairStatistics:
    """Print the number of pairs, and warn if held-out sources occur in the training pairs.

    Returns the `PairStatistics` of the training pairs.
    """
    held_out = {source for source, _ in valid}
    both = set()
    features = _Features()

    def noting() -> Iterable[tuple[str, str]]:
        for pair in _iterate_pairs(settings, train):
            if pair[0] in held_out:
                both.add(pair[0])
            if settings.features_column:
                features.note(*pair)
            yield pair

    statistics = measure_pairs(noting())
    if settings.features_column:
        features.check(settings.features_column)
    click.echo(f"{statistics.number:,} pairs to train on, {len(valid):,} held out")
    if both:
        click.echo(
            f"{len(both):,} of {len(held_out):,} held-out sources are also in the training data: "
            "the error rates will be too low",
            err=True,
        )
    return statistics


def _source_kind(
    settings: SimpleNamespace, statistics: PairStatistics, initial: Any
) -> tuple[str, str]:
    """Return the kind of the source tokenizer, and the reason for it."""
    if initial is not None:
        kinds = {tokenizer: kind for kind, tokenizer in TOKENIZERS.items()}
        return kinds[type(initial.source)], f"that of {settings.init_from or settings.teacher}"
    kind = tokenizer_kind(settings, "source")
    if kind is not None:
        return kind, "the lines have a column of features" if settings.features_column else "given"
    if settings.copy:
        return "char", "copied characters are spelled as in the target"
    fitted = fit_settings(statistics)
    return fitted.source_tokenizer, fitted.reasons["source_tokenizer"]


def _train_tokenizer(settings: SimpleNamespace, side: str, kind: str, texts: Any) -> Any:
    """Train the tokenizer of one side."""
    size = getattr(settings, f"{side}_vocabulary_size")
    if kind == "byte":
        return TOKENIZERS[kind].train(texts)
    if kind == "subword":
        return _train_subwords(side, texts, size)
    return TOKENIZERS[kind].train(texts, max_vocabulary_size=size)


def _train_subwords(side: str, texts: Any, size: int | None) -> Any:
    """Train a SentencePiece model, of at most the default size if `size` is `None`."""
    try:
        tokenizer = s2s.SentencePieceTokenizer.train(texts, vocabulary_size=size)
    except InputError as error:
        name = f"`{side}_vocabulary_size`"
        raise InputError(str(error).replace("`vocabulary_size`", name)) from error
    if size is None and tokenizer.vocabulary_size < DEFAULT_SIZE:
        click.echo(
            f"{side}: {tokenizer.vocabulary_size:,} subwords instead of {DEFAULT_SIZE:,}, because "
            f"the {side} texts contain no more (--{side}-vocabulary-size sets another maximum)"
        )
    return tokenizer


def _longest(settings: SimpleNamespace, data: Data) -> int:
    """Return the number of tokens in the longest target, including eos."""
    longest, chunk = 1, []
    for _, target in _iterate_pairs(settings, data.train):
        chunk.append(target)
        if len(chunk) == _CHUNK:
            longest, chunk = max(longest, _longest_of(data.target, chunk)), []
    return max(longest, _longest_of(data.target, chunk)) if chunk else longest


def _longest_of(tokenizer: Any, texts: list[str]) -> int:
    return int(tf.reduce_max(tokenizer.split(texts)[1])) + 1
