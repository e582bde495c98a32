"""The questions for checking an export, and the model's answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_s2s.checks import short_repr
from keras_s2s.export.sessions import Arrays
from keras_s2s.search import Search
from keras_s2s.special_ids import EOS_ID, PAD_ID, SPECIAL_TOKENS
from keras_s2s.translator import Translator

# Empty, white space, letters with and without accents, right-to-left scripts and scripts without
# spaces, a character outside the basic plane, a character of seven code points, control characters,
# names of special tokens, and a text longer than most training texts.
NASTY_TEXTS = (
    "",
    " ",
    "a",
    "Zoë's café",
    "e\u0301",
    "שלום",
    "مرحبا",
    "こんにちは　世界",
    "😀",
    "👨‍👩‍👧‍👦!",
    "a\tb\r\nc\x00\u00a0d",
    "[EOS] [PAD]",
    "pneumonoultramicroscopicsilicovolcanoconiosis " * 4,
)


class Question(NamedTuple):
    """A call of a signature, and the model's answer."""

    texts: list[str]  # texts of the rows, for messages
    inputs: Arrays
    expected: Arrays
    rescore: Callable[[Arrays], Any]  # the model's log_probs of another runtime's answer


def make_probes(translator: Translator, texts: Iterable[str] = ()) -> list[str]:
    """Collect the texts for checking an export.

    Args:
        translator: The `Translator`; some texts are made from its source vocabulary.
        texts: Additional texts from the user.

    Returns:
        The user's texts, then the others.

    Raises:
        TypeError: If `texts` is a single text, or one of them is not text.
    """
    own = [] if isinstance(texts, str | bytes) else list(texts)
    if isinstance(texts, str | bytes) or not all(isinstance(text, str) for text in own):
        raise TypeError(f"`probes` must be a list of str. Received: probes={short_repr(texts)}")
    ids = np.random.default_rng(0).integers(
        len(SPECIAL_TOKENS), translator.source.vocabulary_size, size=(8, 16)
    )
    ids[np.arange(16) >= np.arange(2, 18, 2)[:, np.newaxis]] = PAD_ID  # 2, 4 ... 16 tokens
    made = translator.source.detokenize(tf.constant(ids, tf.int32)).numpy()
    return [
        *own,
        *(text.decode("utf-8", errors="ignore") for text in made),
        *NASTY_TEXTS,
    ]


def ask_model(translator: Translator, signature: str, probes: list[str]) -> Iterator[Question]:
    """Ask the model the questions for an export.

    Args:
        translator: The model.
        signature: Name of the signature.
        probes: The texts. They are asked together, and some of them alone.

    Yields:
        The questions.
    """
    for texts in (probes, probes[:1], [""], probes[-1:]):
        with tf.device("CPU:0"):  # where the export runs
            question = _ASK[signature](translator, texts)
        yield question


def _ask_serving_default(translator: Translator, texts: list[str]) -> Question:
    return _ask_search(translator, texts, translator.search)


def _ask_greedy(translator: Translator, texts: list[str]) -> Question:
    return _ask_search(translator, texts, translator.greedy_search())


def _ask_options(translator: Translator, texts: list[str]) -> Question:
    rows = np.arange(len(texts))
    return _ask_search(
        translator,
        texts,
        translator.search,
        max_length=(1 + rows % 12).astype(np.int32),
        min_length=(rows % 4).astype(np.int32),
        length_penalty=(rows % 3 / 2).astype(np.float32),
    )


def _ask_search(
    translator: Translator, texts: list[str], search: Search, **row_values: Any
) -> Question:
    """Ask for translations."""
    source = _strings(texts)
    found = translator.search_texts(tf.constant(source), search, **row_values)

    def rescore(answer: Arrays) -> Any:
        target = answer["target"]
        source_ids = translator.source.tokenize(tf.repeat(tf.constant(source), target.shape[1]))
        ids = translator.target.tokenize(tf.constant(target.ravel(), tf.string))
        finished = translator.model.log_prob(source_ids, ids)
        unfinished = translator.model.log_prob(source_ids, tf.where(ids == EOS_ID, PAD_ID, ids))
        # a text does not show whether eos was among its ids; the log probability does
        either = np.reshape([finished, unfinished], (2, *target.shape))
        nearest = np.abs(either - answer["log_probs"]).argmin(axis=0)
        return np.where(nearest == 0, *either)

    expected = {name: value.numpy() for name, value in found.items()}
    return Question(texts, {"source": source, **row_values}, expected, rescore)


def _ask_ids(translator: Translator, texts: list[str]) -> Question:
    return _ask_search_ids(translator, texts, translator.search)


def _ask_greedy_ids(translator: Translator, texts: list[str]) -> Question:
    return _ask_search_ids(translator, texts, translator.greedy_search())


def _ask_search_ids(translator: Translator, texts: list[str], search: Search) -> Question:
    """Ask for target ids."""
    source_ids = translator.source.tokenize(tf.constant(texts)).numpy()
    found = translator.search_ids(source_ids, search)

    def rescore(answer: Arrays) -> Any:
        target_ids = answer["target_ids"]
        sources = np.repeat(source_ids, target_ids.shape[1], axis=0)
        targets = target_ids.reshape(-1, target_ids.shape[2])
        return translator.model.log_prob(sources, targets).numpy().reshape(target_ids.shape[:2])

    expected = {name: value.numpy() for name, value in found.items()}
    return Question(texts, {"source_ids": source_ids}, expected, rescore)


def _ask_score(translator: Translator, texts: list[str]) -> Question:
    source = _strings(texts)
    target = translator(tf.constant(source))["target"].numpy()[:, 0]
    found = translator.score_texts(tf.constant(source), tf.constant(target, tf.string))
    expected = {name: value.numpy() for name, value in found.items()}
    return Question(
        texts, {"source": source, "target": target}, expected, lambda _: expected["log_probs"]
    )


def _ask_score_ids(translator: Translator, texts: list[str]) -> Question:
    source_ids = translator.source.tokenize(tf.constant(texts)).numpy()
    found = translator.search_ids(source_ids, translator.search)
    inputs = {"source_ids": source_ids, "target_ids": found["target_ids"].numpy()[:, 0]}
    scored = translator.score_ids(**inputs)
    expected = {name: value.numpy() for name, value in scored.items()}
    return Question(texts, inputs, expected, lambda _: expected["log_probs"])


_ASK: dict[str, Callable[[Translator, list[str]], Question]] = {
    "serving_default": _ask_serving_default,
    "greedy": _ask_greedy,
    "ids": _ask_ids,
    "score": _ask_score,
    "options": _ask_options,
    "greedy_ids": _ask_greedy_ids,
    "score_ids": _ask_score_ids,
}


def _strings(texts: list[str]) -> np.ndarray[Any, Any]:
    """Return texts in the form of all runtimes: an array of bytes objects."""
    return np.array([text.encode("utf-8") for text in texts], dtype=object)
