"""A small translator with random weights, from characters to words."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_s2s.layers import LSTMDecoder, LSTMEncoder
from keras_s2s.models import Seq2Seq
from keras_s2s.search import BeamSearch
from keras_s2s.special_ids import EOS_ID, UNK_ID
from keras_s2s.tokenizers import CharTokenizer, WordTokenizer
from keras_s2s.translator import Translator

SEARCH = BeamSearch(beam_width=3, num_hypotheses=3, max_length=6)
TEXTS = ["abcd", "d", "bb", "xyz", "cabad", "a"]


def make_translator(**kwargs: Any) -> Translator:
    source = CharTokenizer.train(["abcd"])
    target = WordTokenizer.train(["one two three"])
    model = Seq2Seq(
        LSTMEncoder(source.vocabulary_size, 4, bidirectional=True, context="mean"),
        LSTMDecoder(target.vocabulary_size, 5, attention="luong"),
    )
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    one_hot = np.eye(target.vocabulary_size, dtype=np.float32)
    # eos is frequent, and unk, which has no text form, never occurs
    model.decoder.logits.bias.assign_add(2 * one_hot[EOS_ID] - 30 * one_hot[UNK_ID])
    return Translator(model, source, target, **{"search": SEARCH, **kwargs})
