"""Checks of the parts and the input texts of a `Translator`."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_s2s.checks import check_number, count_of, short_repr
from keras_s2s.errors import InputError
from keras_s2s.evaluation import group_references
from keras_s2s.models import Searchable
from keras_s2s.search import Search
from keras_s2s.special_ids import EOS_ID, IMPOSSIBLE, PAD_ID
from keras_s2s.texts import is_empty
from keras_s2s.tokenizers import Tokenizer, copy_ids
from keras_s2s.tokenizers.copying import has_substrings

# Upper bound on tokens per byte. Compatibility composition expands the 3 bytes of U+FDFA to 18
# letters.
_TOKENS_PER_BYTE = 8
_CHUNK = 256  # texts that are tokenized at once, each of more than a hundred bytes


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


def check_several(texts: Any) -> None:
    """Check that `texts` is not a single text, whose characters would be treated as texts.

    Args:
        texts: Value of the argument.

    Raises:
        TypeError: If `texts` is a single text, or is not iterable.
    """
    # NumPy and TensorFlow can also hold a single text: an array without dimensions.
    if isinstance(texts, str | bytes) or getattr(texts, "shape", None) == ():
        raise TypeError(
            "`texts` must be a list of texts, not a single text. "
            f"Received: texts={short_repr(texts)}"
        )
    if not isinstance(texts, Iterable):
        raise TypeError(f"`texts` must be a list of texts. Received: texts={short_repr(texts)}")


def encode_texts(texts: Any) -> list[bytes]:
    """Check texts, and encode them in UTF-8. Errors include the position of the text.

    Args:
        texts: str or bytes, in a list, a numpy array or a string tensor `(n,)`.

    Returns:
        The texts in UTF-8.

    Raises:
        TypeError: If `texts` is a single text, or one of them is not text.
        ValueError: If a text is empty or not valid Unicode.
    """
    check_several(texts)
    if isinstance(texts, tf.Tensor):
        texts = texts.numpy()
    if isinstance(texts, np.ndarray):
        texts = texts.tolist()
    encoded = []
    for number, text in enumerate(texts):
        if not isinstance(text, str | bytes):
            raise TypeError(
                "`texts` must contain texts only. "
                f"Received: {short_repr(text)} (of type {type(text).__name__}) at position "
                f"{number}"
            )
        try:
            raw = text.encode("utf-8") if isinstance(text, str) else text
            raw.decode("utf-8")
        except UnicodeError as error:
            raise InputError(
                "`texts` must be valid Unicode. "
                f"Received: {short_repr(text)} at position {number}: {error}"
            ) from None
        if is_empty(raw):
            raise InputError(
                f"`texts` must not be empty. Received: {short_repr(text)} at position {number}"
            )
        encoded.append(raw)
    return encoded


def count_excess(
    encoded: list[bytes], tokenizer: Tokenizer, max_length: int | None
) -> dict[int, int]:
    """Count the tokens of texts that are longer than a limit.

    Only the texts that may be too long are tokenized, a few at a time.

    Args:
        encoded: Texts in UTF-8.
        tokenizer: Their `Tokenizer`.
        max_length: Maximum number of tokens, including eos. `None` means no limit.

    Returns:
        Dict of numbers of tokens, including eos, by the positions of the texts that are too long.
    """
    if max_length is None:
        return {}
    least = max_length / _TOKENS_PER_BYTE  # bytes of a text that may be too long
    waiting = iter([number for number, text in enumerate(encoded) if len(text) >= least])
    excess: dict[int, int] = {}
    while chunk := list(itertools.islice(waiting, _CHUNK)):
        lengths = tokenizer.split(tf.constant([encoded[number] for number in chunk]))[1].numpy() + 1
        for place in np.flatnonzero(lengths > max_length):
            excess[chunk[place]] = int(lengths[place])
    return excess


def group_translatable(
    pairs: Iterable[tuple[str, str]], tokenizer: Tokenizer, max_length: int | None
) -> dict[str, list[str]]:
    """Group the targets of each source, and drop sources that are too long to translate.

    Args:
        pairs: Checked source texts and target texts.
        tokenizer: Tokenizer of the sources.
        max_length: Maximum number of tokens in a source, including eos. `None` means no limit.

    Returns:
        The distinct targets of each source.

    Raises:
        ValueError: If there are no pairs, or all sources are too long.
    """
    references = group_references(pairs)
    if not references:
        raise InputError("`pairs` must contain at least one pair. Received: none")
    sources = list(references)
    for number in count_excess(encode_texts(sources), tokenizer, max_length):
        del references[sources[number]]
    if not references:
        raise InputError(
            f"`pairs` must contain a source of at most `max_source_length`={max_length} tokens, "
            f"including eos. Received: {count_of(len(sources), 'longer source')}"
        )
    return references


def check_token_counts(
    encoded: list[bytes], tokenizer: Tokenizer, max_length: int | None, *, truncate: bool
) -> None:
    """Check that texts have at most `max_length` tokens, or warn that they are truncated.

    Args:
        encoded: Texts in UTF-8.
        tokenizer: Their `Tokenizer`.
        max_length: Maximum number of tokens, including eos. `None` means no limit.
        truncate: Whether longer texts are truncated.

    Raises:
        ValueError: If a text is longer and `truncate` is false.
    """
    excess = count_excess(encoded, tokenizer, max_length)
    if not excess:
        return
    number, length = next(iter(excess.items()))
    if not truncate:
        raise InputError(
            f"`texts` must have at most `max_source_length`={max_length} tokens each, including "
            f"eos. Received: {length} tokens at position {number}"
        )
    warnings.warn(
        f"Texts with more than `max_source_length`={max_length} tokens were truncated: "
        f"{len(excess)} of {len(encoded)}. The first is at position {number} and has {length} "
        "tokens.",
        stacklevel=4,  # the caller of `Translator.translate`
    )


def limit_length(
    ids: tf.Tensor, max_length: int | None, *, truncate: bool = False
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Limit the length of rows of ids, so that a long row does not slow down its batch.

    A row ends with its first eos, which counts as a token. A row without eos is as long as the
    tensor.

    Args:
        ids: int32 `(batch, length)`.
        max_length: Maximum number of tokens of a row. `None` for no limit.
        truncate: Whether to truncate longer rows and end them in eos. Otherwise, longer rows are
            rejected: they are replaced by a single eos. Defaults to `False`.

    Returns:
        The ids, no longer than `max_length`, and a bool tensor `(batch,)` that is true for rejected
        rows, or `None` if no row can be rejected.
    """
    if max_length is None or (ids.shape[1] is not None and ids.shape[1] <= max_length):
        return ids, None
    is_end = tf.cast(tf.equal(ids, EOS_ID), tf.int32)
    inside = tf.equal(tf.cumsum(is_end, axis=1, exclusive=True), 0)
    lengths = tf.reduce_sum(tf.cast(inside, tf.int32), axis=1)
    too_long = lengths > max_length
    marked = tf.expand_dims(too_long, 1)
    if truncate:
        ids = ids[:, :max_length]
        is_last = tf.expand_dims(tf.equal(tf.range(tf.shape(ids)[1]), max_length - 1), 0)
        return tf.where(marked & is_last, EOS_ID, ids), None
    positions = tf.expand_dims(tf.range(tf.shape(ids)[1]), 0)
    ids = tf.where(marked, tf.where(tf.equal(positions, 0), EOS_ID, PAD_ID), ids)
    longest = tf.reduce_max(tf.concat([[1], tf.where(too_long, 1, lengths)], 0))
    return ids[:, :longest], too_long


def clear_rejected(
    outputs: dict[str, tf.Tensor], rejected: tf.Tensor | None
) -> dict[str, tf.Tensor]:
    """Replace the outputs of rejected rows by empty slots.

    Args:
        outputs: Dict of tensors `(batch, ...)`: ids and lengths int32, scores float32.
        rejected: bool `(batch,)`, or `None` if no row is rejected.

    Returns:
        The dict with new tensors. In rejected rows, scores and log probabilities are -1e9, and all
        other values are 0.
    """
    if rejected is None:
        return outputs
    unused = {
        "scores": IMPOSSIBLE,
        "log_probs": IMPOSSIBLE,
    }  # ids pad, lengths and confidences 0
    return {
        name: tf.where(
            tf.reshape(rejected, [-1] + [1] * (value.shape.rank - 1)),
            tf.constant(unused.get(name, 0), value.dtype),
            value,
        )
        for name, value in outputs.items()
    }
