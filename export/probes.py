"""Texts and calls for checking an export, with the model's outputs."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_s2s.checks import count_of, short_repr
from keras_s2s.export.sessions import Arrays, pad_ids
from keras_s2s.export.signatures import ALL_SIGNATURES, CONFIDENCES, takes_text
from keras_s2s.search import Search
from keras_s2s.special_ids import EOS_ID, PAD_ID, SPECIAL_TOKENS
from keras_s2s.translator import Translator

_LOGGER = logging.getLogger(__name__)
# Number of texts that the model translates at a time: few, so that short texts are not padded to
# long ones, and small enough that all batches share one graph (`MANY_ROWS` of the model).
_ROWS = 4
# Maximum number of texts in a call of the export: its memory grows with the number.
_BATCH = 64

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


class ProbeCall(NamedTuple):
    """Call of a signature, and the model's output."""

    texts: list[str]  # texts of the rows, for messages
    inputs: Arrays
    expected: Arrays
    rescore: Callable[[Arrays], Any]  # the model's log_probs of another runtime's output


def check_probes(texts: Any) -> list[str]:
    """Return the texts from the user as a list.

    Args:
        texts: The value to check.

    Raises:
        TypeError: If it is not a list of str.
    """
    listed = isinstance(texts, Iterable) and not isinstance(texts, str | bytes)
    own = list(texts) if listed else []
    if not listed or not all(isinstance(text, str) for text in own):
        raise TypeError(f"`probes` must be a list of str. Received: probes={short_repr(texts)}")
    return own


def make_probes(translator: Translator, texts: Iterable[str] = ()) -> list[str]:
    """Collect the texts for checking an export.

    Args:
        translator: The `Translator`; some texts are made from its source vocabulary.
        texts: Additional texts from the user.

    Returns:
        The user's texts, then generated and difficult ones.

    Raises:
        TypeError: If `texts` is not a list of str.
    """
    own = check_probes(texts)
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


def probe_calls(
    translator: Translator, signatures: Iterable[str], probes: list[str]
) -> Iterator[tuple[str, ProbeCall]]:
    """Yield the calls that check an export, with the model's outputs.

    The model translates each text once. An export must return the same output in each batch: of all
    texts but the last, in parts that fit in memory, of the first text alone, of the empty text
    alone, and of the last text (the longest of `make_probes`) with the empty text.

    Args:
        translator: The model.
        signatures: Names of the signatures.
        probes: The texts.

    Yields:
        The name of a signature, and a call.
    """
    model, last = _Model(translator, [*probes, ""]), len(probes) - 1
    parts = [[*range(start, min(start + _BATCH, last))] for start in range(0, last, _BATCH)]
    batches = [*parts, [0], [last + 1], [last, last + 1]]
    outputs = count_of(sum(map(len, batches)), "output")
    for signature in signatures:
        _LOGGER.info("Comparing %s of %s with the model", outputs, signature)
        for rows in batches:
            yield signature, model.call(signature, rows)


class _Model:
    """Model whose output for each text is computed once for all signatures.

    Args:
        translator: The model.
        texts: The texts.
    """

    def __init__(self, translator: Translator, texts: list[str]) -> None:
        self._translator, self._texts = translator, texts
        rows = np.arange(len(texts))
        source = np.array([text.encode("utf-8") for text in texts], dtype=object)
        source_ids = translator.tokenize_sources(tf.constant(source)).numpy()
        self._inputs: Arrays = {
            "source": source,
            "source_ids": source_ids,
            "max_length": (1 + rows % 12).astype(np.int32),
            "min_length": (rows % 4).astype(np.int32),
            "length_penalty": (rows % 3 / 2).astype(np.float32),
        }
        by_length = np.argsort(np.count_nonzero(source_ids, axis=1), kind="stable")
        self._parts = np.split(by_length, range(_ROWS, len(texts), _ROWS))
        self._find = functools.cache(self._search)

    def call(self, signature: str, rows: list[int]) -> ProbeCall:
        """Return the call of a signature for some of the texts."""
        with tf.device("CPU:0"):  # where the export runs
            inputs, answers = self._ask(signature)
        specs = ALL_SIGNATURES[signature]
        outputs = {*(spec.name for spec in specs.outputs), CONFIDENCES.name}
        given = {spec.name: _without_pads(inputs[spec.name][rows]) for spec in specs.inputs}
        expected = {name: value[rows] for name, value in answers.items() if name in outputs}
        rescore = self._rescore_texts if takes_text(signature) else self._rescore_ids

        def log_probs(answer: Arrays) -> Any:
            return expected["log_probs"] if _scores(signature) else rescore(given, answer)

        return ProbeCall([self._texts[row] for row in rows], given, expected, log_probs)

    def _ask(self, signature: str) -> tuple[Arrays, Arrays]:
        """Return the inputs of a signature for all texts, and the model's outputs."""
        translator, text = self._translator, takes_text(signature)
        if _scores(signature):
            names = ("source", "target") if text else ("source_ids", "target_ids")
            best = self._find(translator.search, text, False)[names[1]][:, 0]
            inputs = {**self._inputs, names[1]: best}
            run = translator.score_texts if text else translator.score_ids
            return inputs, self._in_parts(run, *(inputs[name] for name in names))
        greedy = signature.startswith("greedy")
        search = translator.greedy_search() if greedy else translator.search
        return self._inputs, self._find(search, text, signature == "options")

    def _search(self, search: Search, text: bool, options: bool) -> Arrays:
        """Search for the targets of all texts, and return them as texts or as ids."""
        translator, given = self._translator, self._inputs
        if options:
            names = ("max_length", "min_length", "length_penalty")

            def run(source: Any, *values: Any) -> Any:
                row_values = dict(zip(names, values, strict=True))
                return translator.search_texts(source, search, **row_values)

            return self._in_parts(run, given["source"], *(given[name] for name in names))
        if text and translator.replace_unknown:
            run_texts = functools.partial(translator.search_texts, search=search)
            return self._in_parts(run_texts, given["source"])
        if text:
            found = self._find(search, False, False)
            target = translator.target.detokenize(tf.constant(found["target_ids"]))
            return {**found, "target": target.numpy()}
        return self._in_parts(
            functools.partial(translator.search_ids, search=search), given["source_ids"]
        )

    def _in_parts(self, run: Callable[..., dict[str, tf.Tensor]], *inputs: Any) -> Arrays:
        """Call a method of the model with a few texts of similar length at a time."""
        found = [
            {name: value.numpy() for name, value in answers.items()}
            for part in self._parts
            for answers in [run(*(tf.constant(_without_pads(each[part])) for each in inputs))]
        ]
        if "target_ids" in found[0]:
            longest = max(part["target_ids"].shape[2] for part in found)
            for part in found:
                part["target_ids"] = pad_ids(part["target_ids"], longest)
        order = np.argsort(np.concatenate(self._parts))
        return {name: np.concatenate([part[name] for part in found])[order] for name in found[0]}

    def _rescore_texts(self, inputs: Arrays, answer: Arrays) -> Any:
        """Compute the model's log probabilities of texts."""
        translator, target = self._translator, answer["target"]
        source_ids = translator.source.tokenize(tf.repeat(inputs["source"], target.shape[1]))
        ids = translator.target.tokenize(tf.constant(target.ravel(), tf.string))
        finished = translator.model.log_prob(source_ids, ids)
        unfinished = translator.model.log_prob(source_ids, tf.where(ids == EOS_ID, PAD_ID, ids))
        # a text does not show whether its ids included eos, but the log probability does
        either = np.reshape([finished, unfinished], (2, *target.shape))
        nearest = np.abs(either - answer["log_probs"]).argmin(axis=0)
        return np.where(nearest == 0, *either)

    def _rescore_ids(self, inputs: Arrays, answer: Arrays) -> Any:
        """Compute the model's log probabilities of ids."""
        ids = answer["target_ids"]
        sources = np.repeat(inputs["source_ids"], ids.shape[1], axis=0)
        log_probs = self._translator.model.log_prob(sources, ids.reshape(-1, ids.shape[2]))
        return log_probs.numpy().reshape(ids.shape[:2])


def _scores(signature: str) -> bool:
    """Return whether a signature scores given targets."""
    return signature in ("score", "score_ids")


def _without_pads(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Remove the last columns of ids that are pad in all rows, but keep one column."""
    if values.ndim != 2:
        return values
    return values[:, : max(1, np.count_nonzero(values, axis=1).max())]
