"""Pairs and tokenizers for training."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import click
import tensorflow as tf

import keras_s2s as s2s
from keras_s2s.checks import count_of
from keras_s2s.cli.recommended_settings import tokenizer_kind
from keras_s2s.cli.setting import name_as_given, value_as_given
from keras_s2s.cli.setting_table import TOKENIZER_CLASSES
from keras_s2s.cli.streams import progress, warn
from keras_s2s.cli.training_pairs import TrainingPairs, iterate_training_pairs
from keras_s2s.cli.unknown_tokens import UnknownTokens, check_known
from keras_s2s.distillation import cache_predictions
from keras_s2s.errors import InputError
from keras_s2s.evaluation import unit_of
from keras_s2s.tokenizers.sentencepiece_tokenizer import DEFAULT_SIZE
from keras_s2s.translator import MAX_SOURCE_LENGTH

# Tokenizer classes by their names in the settings.
TOKENIZERS: dict[str, Any] = {kind: getattr(s2s, name) for kind, name in TOKENIZER_CLASSES.items()}
_CHUNK = 4096  # texts that are tokenized at once


class Data(SimpleNamespace):
    """Data for training.

    Attributes:
        train: Training pairs, or the paths of their files if they are streamed.
        valid: List of validation pairs.
        source: Source tokenizer.
        target: Target tokenizer.
        pairs: Integer. Number of training pairs.
        longest: Integer. Number of tokens in the longest training target.
        max_source_length: Integer. Number of tokens up to which the model accepts a source: the
            default of a translator, or more if a training source is longer.
        tokens: Unit of the token error rate: that of the settings, or that suits the targets.
        checksums: Checksums of the files, from `run_folder.checksums_of`.
    """


def make_data(settings: SimpleNamespace, pairs: TrainingPairs, initial: Any = None) -> Data:
    """Train the tokenizers, and count the tokens of the pairs.

    Args:
        settings: Namespace of all settings, completed by `fit_to_pairs`.
        pairs: The `TrainingPairs`.
        initial: `Translator` or None. Translator whose tokenizers are used. Defaults to `None`,
            which trains new ones.

    Returns:
        The `Data`.

    Raises:
        ValueError: If a vocabulary is too large for the texts, or that of `initial` lacks most of
            their tokens.
    """
    sides = []
    for place, side in enumerate(("source", "target")):
        if initial is not None:
            sides.append(getattr(initial, side))
            owner = settings.init_from or settings.teacher
            _warn_of_unused_size(settings, side, sides[place], f"that of {owner}")
            continue
        texts = (pair[place] for pair in iterate_training_pairs(settings, pairs.train))
        sides.append(_train_tokenizer(settings, side, str(tokenizer_kind(settings, side)), texts))
    if initial is not None:
        path = settings.init_from or settings.teacher
        check_known(sides, lambda: iterate_training_pairs(settings, pairs.train), path)
    data = Data(train=pairs.train, valid=pairs.valid, source=sides[0], target=sides[1])
    data.pairs, longest_source, data.longest = _measure(settings, data)
    if settings.max_source_length:
        longest_source = min(longest_source, settings.max_source_length)
    data.tokens = settings.tokens or unit_of(type(data.target))
    data.max_source_length = max(MAX_SOURCE_LENGTH, longest_source)
    for place, tokenizer in enumerate(sides):
        unknown = UnknownTokens(tokenizer, (pair[place] for pair in pairs.valid))
        side = ("source", "target")[place]
        total = count_of(unknown.total, "validation token")
        lacks = f"lacks {unknown.unknown:,} of" if unknown.unknown else "covers all"
        size = count_of(tokenizer.vocabulary_size, "token")
        click.echo(
            f"{side.capitalize()} vocabulary: {size}; it {lacks} {total}{unknown.examples()}"
        )
    return data


def make_batches(settings: SimpleNamespace, data: Data) -> tuple[Any, Any]:
    """Create the datasets. Logs the number of pairs that are too long.

    Args:
        settings: Namespace of all settings.
        data: The `Data` to train with.

    Returns:
        A tuple of the training dataset and the validation dataset.

    Raises:
        ValueError: If all pairs are too long.
    """
    train = _training_batches(settings, data, shuffle=True, seed=settings.seed)
    return train, s2s.make_dataset(data.valid, data.source, data.target)


def predict_training_pairs(settings: SimpleNamespace, data: Data, teacher: Any) -> Any:
    """Compute a teacher's predictions of the training pairs, and show a progress bar.

    Args:
        settings: Namespace of all settings.
        data: The `Data` to train with.
        teacher: `Translator` to learn from.

    Returns:
        The predictions for `teach`, or the teacher's model if the pairs are streamed or the
        predictions are too large for memory.
    """
    if settings.stream:
        return teacher.model
    batches = _training_batches(settings, data, shuffle=False)
    with progress("Predicting with the teacher", data.pairs) as advance:
        return cache_predictions(teacher.model, batches, advance)


def _training_batches(settings: SimpleNamespace, data: Data, **order: Any) -> Any:
    """Create a dataset of the training pairs."""
    sizes = (
        {"batch_tokens": settings.batch_tokens}
        if settings.batch_tokens
        else {"batch_size": settings.batch_size}
    )
    return s2s.make_dataset(
        data.train,
        data.source,
        data.target,
        max_source_length=settings.max_source_length,
        max_target_length=settings.max_target_length,
        features_column=settings.features_column if settings.stream else None,
        **sizes,
        **order,
    )


def _train_tokenizer(settings: SimpleNamespace, side: str, kind: str, texts: Any) -> Any:
    """Train the tokenizer of one side."""
    size = getattr(settings, f"{side}_vocabulary_size")
    if kind == "byte":
        tokenizer = TOKENIZERS[kind].train(texts)
        _warn_of_unused_size(settings, side, tokenizer, "the bytes")
        return tokenizer
    if kind == "subword":
        return _train_subwords(side, texts, size)
    return TOKENIZERS[kind].train(texts, max_vocabulary_size=size)


def _warn_of_unused_size(
    settings: SimpleNamespace, side: str, tokenizer: Any, vocabulary: str
) -> None:
    """Warn of a vocabulary size that has no effect because the vocabulary is given."""
    name = f"{side}_vocabulary_size"
    size = getattr(settings, name)
    if size not in (None, tokenizer.vocabulary_size):
        warn(
            f"{value_as_given(name, size)} has no effect: the {side} vocabulary is {vocabulary}, "
            f"with {tokenizer.vocabulary_size:,} tokens"
        )


def _train_subwords(side: str, texts: Any, size: int | None) -> Any:
    """Train a SentencePiece model, of at most the default size if `size` is `None`."""
    try:
        tokenizer = s2s.SentencePieceTokenizer.train(texts, vocabulary_size=size)
    except InputError as error:
        name = name_as_given(f"{side}_vocabulary_size")
        raise InputError(str(error).replace("`vocabulary_size`", name)) from error
    if size is None and tokenizer.vocabulary_size < DEFAULT_SIZE:
        click.echo(
            f"{side.capitalize()} vocabulary: fewer than {DEFAULT_SIZE:,} subwords, because the "
            f"{side} texts contain no more"
        )
    return tokenizer


def _measure(settings: SimpleNamespace, data: Data) -> tuple[int, int, int]:
    """Return the number of pairs, and of tokens in the longest source and target, including eos.

    Only sources that may exceed the default `max_source_length` of a translator are counted.
    """
    longest, count = [1, 1], 0
    pairs = iter(iterate_training_pairs(settings, data.train))
    while chunk := list(itertools.islice(pairs, _CHUNK)):
        count += len(chunk)
        # A character has at most four parts, or bytes.
        sources = [source for source, _ in chunk if 4 * len(source) >= MAX_SOURCE_LENGTH]
        sides = ((data.source, sources), (data.target, [target for _, target in chunk]))
        for place, (tokenizer, texts) in enumerate(sides):
            if texts:
                counted = int(tf.reduce_max(tokenizer.split(texts)[1])) + 1
                longest[place] = max(longest[place], counted)
    return count, longest[0], longest[1]
