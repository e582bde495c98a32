"""Small models with random weights, and a batch for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_s2s.layers import LSTMDecoder, LSTMEncoder
from keras_s2s.models import Seq2Seq
from keras_s2s.special_ids import EOS_ID

SOURCE_SIZE, TARGET_SIZE = 9, 7

SOURCE_IDS = np.array([[5, 6, 7, 3], [8, 3, 0, 0], [4, 4, 3, 0]], np.int32)
TARGET_LABELS = np.array([[4, 5, 6, 3], [6, 3, 0, 0], [3, 0, 0, 0]], np.int32)
TARGET_INPUTS = np.array([[2, 4, 5, 6], [2, 6, 0, 0], [2, 0, 0, 0]], np.int32)

# Together these cover every attention, context and context destination.
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no attention": (
        {"bidirectional": True, "num_layers": 2},
        {"context_to": "both", "num_layers": 2},
    ),
    "luong": ({"reverse_source": True, "context": "mean"}, {"attention": "luong"}),
    "bahdanau": (
        {"context": "max", "num_layers": 2},
        {"attention": "bahdanau", "context_to": "every_step", "num_layers": 2},
    ),
}


def make_model(kind: str, **kwargs: Any) -> Seq2Seq:
    """Build a model with weights large enough for its outputs to differ."""
    encoder, decoder = KINDS[kind]
    model = Seq2Seq(
        LSTMEncoder(SOURCE_SIZE, 3, embedding_dim=2, **encoder, **kwargs),
        LSTMDecoder(TARGET_SIZE, 4, embedding_dim=2, **decoder, **kwargs),
    )
    random = np.random.default_rng(0)
    model.set_weights([0.7 * random.normal(size=weight.shape) for weight in model.get_weights()])
    likely_eos = np.eye(TARGET_SIZE, dtype=np.float32)[EOS_ID]
    model.decoder.logits.bias.assign_add(likely_eos)
    return model


def inputs(source_ids: Any = SOURCE_IDS, target_inputs: Any = TARGET_INPUTS) -> dict[str, Any]:
    return {"source_ids": source_ids, "target_inputs": target_inputs}
