"""Checks of the parts of a `Translator`: model, tokenizers, search and options."""

from __future__ import annotations

from typing import Any

from keras_s2s.checks import check_number, short_repr
from keras_s2s.errors import InputError
from keras_s2s.models import Searchable
from keras_s2s.search import Search
from keras_s2s.tokenizers import Tokenizer, copy_ids
from keras_s2s.tokenizers.copying import has_substrings
from keras_s2s.tokenizers.tokenizer import have_same_ids


def check_parts(model: Any, source: Any, target: Any, search: Any) -> None:
    """Check the types of the parts of a translator.

    Args:
        model: Must be a `Searchable` model.
        source: Must be a `Tokenizer`.
        target: Must be a `Tokenizer`.
        search: Must be a `Search`.

    Raises:
        TypeError: If a part has the wrong type.
    """
    for name, part, kind, expected in (
        ("model", model, Searchable, "`Seq2Seq` or an `Ensemble`"),
        ("source", source, Tokenizer, "`Tokenizer`"),
        ("target", target, Tokenizer, "`Tokenizer`"),
        ("search", search, Search, "`Search`"),
    ):
        if not isinstance(part, kind):
            raise TypeError(
                f"`{name}` must be a {expected}. "
                f"Received: {name}={short_repr(part)} (of type {type(part).__name__})"
            )


def check_vocabularies(model: Searchable, source: Tokenizer, target: Tokenizer) -> None:
    """Check that the tokenizers match the model.

    Tokenizers without a vocabulary are not checked. They get it while a file is being loaded.

    Args:
        model: Model of the translator.
        source: Tokenizer of the source.
        target: Tokenizer of the target.

    Raises:
        ValueError: If the size of a vocabulary differs, or the model's `copy_ids` belong to
            other vocabularies.
    """
    for name, tokenizer, expected in (
        ("source", source, model.source_vocabulary_size),
        ("target", target, model.target_vocabulary_size),
    ):
        try:
            size = tokenizer.vocabulary_size
        except ValueError:
            continue  # the vocabulary is loaded later, from the assets of the file
        if size != expected:
            raise InputError(
                f"The vocabulary of `{name}` must have the size that the model expects, "
                f"{expected}. Received: a tokenizer with {size} tokens"
            )
    maps = [member.copy_ids for member in model.members() if member.copy_ids is not None]
    if not maps:
        return
    try:
        expected_map = copy_ids(source, target)
    except ValueError:
        return  # the vocabularies are loaded later
    if any(list(ids) != expected_map for ids in maps):
        raise InputError(
            "`model` must use the copy_ids of these tokenizers: Seq2Seq(..., "
            "copy_ids=keras_s2s.copy_ids(source, target)). Received: a model with the "
            "copy_ids of other tokenizers"
        )


def check_can_replace(model: Searchable, source: Tokenizer) -> None:
    """Check that source tokens can replace unknown tokens of targets.

    Args:
        model: Model of the translator.
        source: Tokenizer of the source.

    Raises:
        ValueError: If the model has no attention, or the tokens of the tokenizer are not parts of
            the text.
    """
    model.check_attention("replace_unknown")
    if not has_substrings(source):
        raise InputError(
            "`replace_unknown` needs a source tokenizer whose tokens are parts of the text: a "
            f"`CharTokenizer` or a `WordTokenizer`. Received: source={short_repr(source)}"
        )


def check_confidence(confidence: Any) -> float | None:
    """Check the argument `confidence` of a translator.

    Args:
        confidence: False, True or a positive number.

    Returns:
        The temperature of the confidences, or `None` if they are off.

    Raises:
        ValueError: If the argument is neither a bool nor a positive number.
    """
    if isinstance(confidence, bool):
        return 1.0 if confidence else None
    return check_number(
        "confidence",
        confidence,
        minimum=1e-6,
        expected="False, True or a positive number, the temperature",
    )


def find_different_vocabulary(translator: Any, other: Any) -> str | None:
    """Return the side on which the tokenizers of two translators differ.

    Args:
        translator: A `Translator`.
        other: The other `Translator`.

    Returns:
        "source" or "target", or `None` if texts have the same ids with both.
    """
    for side in ("source", "target"):
        if not have_same_ids(getattr(translator, side), getattr(other, side)):
            return side
    return None
