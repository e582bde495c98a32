"""Small translator with fixed random outputs, for the tests of exports."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from keras_s2s import (
    BeamSearch,
    CharTokenizer,
    LSTMDecoder,
    LSTMEncoder,
    Seq2Seq,
    Translator,
    WordTokenizer,
)
from keras_s2s.special_ids import EOS_ID, UNK_ID

LETTERS = "abcdefghijklmnopqrstuvwxyz é日"
PHONES = "AA AE AH AO B CH D EH F G HH IY K L M N OW P R S T Z é 😀"
WORDS = ["hello", "a", "zebra crossing", "naïve café", "日本", "", "x" * 40]


def tiny_translator(
    *,
    units: int = 6,
    scale: float = 2.0,
    search: Any = None,
    encoder: dict[str, Any] | None = None,
    decoder: dict[str, Any] | None = None,
) -> Translator:
    """Build a translator whose outputs are random but differ from text to text.

    Its weights are random, scaled so that no two hypotheses have nearly equal scores.
    """
    source, target = CharTokenizer.train([LETTERS]), WordTokenizer.train([PHONES])
    encoder = {"bidirectional": True, **(encoder or {})}
    decoder = {"attention": "luong", **(decoder or {})}
    model = Seq2Seq(
        LSTMEncoder(source.vocabulary_size, units, **encoder),
        LSTMDecoder(target.vocabulary_size, units, **decoder),
    )
    generator = np.random.default_rng(12)
    for weight in model.weights:
        weight.assign(scale * generator.normal(size=weight.shape))
    bias = model.decoder.logits.bias.numpy()
    bias[[EOS_ID, UNK_ID]] = 0, -9
    model.decoder.logits.bias.assign(bias)
    search = search or BeamSearch(beam_width=4, num_hypotheses=2, max_length=12)
    return Translator(model, source, target, search=search)


@functools.cache
def shared_translator() -> Translator:
    """Return a translator for tests that do not modify it. Its graphs are traced only once."""
    return tiny_translator()
