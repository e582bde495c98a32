"""A task that a small model learns in seconds: reverse the source."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_s2s.layers import LSTMDecoder, LSTMEncoder
from keras_s2s.losses import SequenceLoss
from keras_s2s.metrics import Perplexity, TokenAccuracy
from keras_s2s.models import Seq2Seq

SIZE, LONGEST = 8, 4


def make_data(rows: int, seed: int) -> tuple[dict[str, np.ndarray[Any, Any]], Any]:
    """Return inputs and labels of `rows` random sources of 1 to 4 ids."""
    random = np.random.default_rng(seed)
    source_ids, target_inputs, labels = np.zeros([3, rows, LONGEST + 1], np.int32)
    for row in range(rows):
        ids = random.integers(4, SIZE, random.integers(1, LONGEST + 1))
        width = len(ids) + 1
        source_ids[row, :width] = [*ids, 3]
        target_inputs[row, :width] = [2, *ids[::-1]]
        labels[row, :width] = [*ids[::-1], 3]
    return {"source_ids": source_ids, "target_inputs": target_inputs}, labels


def make_model(units: int = 24, *, attention: str | None = None, **kwargs: Any) -> Seq2Seq:
    return Seq2Seq(
        LSTMEncoder(SIZE, units, embedding_dim=8, **kwargs),
        LSTMDecoder(SIZE, units, embedding_dim=8, attention=attention, **kwargs),
        **kwargs,
    )


def compile_model(model: Seq2Seq, learning_rate: float = 0.02, **kwargs: Any) -> Seq2Seq:
    model.compile(
        keras.optimizers.Adam(learning_rate),
        loss=SequenceLoss(),
        metrics=[TokenAccuracy(), Perplexity()],
        **kwargs,
    )
    return model
