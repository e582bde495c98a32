"""A set of models that covers every option of the layers."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.layers import GRUDecoder, GRUEncoder, LSTMDecoder, LSTMEncoder
from keras_s2s.models import Seq2Seq

UNITS = 4
JOINTS: dict[str, Any] = {"num_layers": 2, "residual": True, "layer_normalization": True}
DROPOUT: dict[str, Any] = {
    "dropout": (0.1, 0.2, 0.3),
    "recurrent_dropout": 0.2,
    "word_dropout": 0.1,
}


@keras.saving.register_keras_serializable(package="tests.optioned")
def sum_of_states(memory: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(memory * tf.expand_dims(tf.cast(mask, memory.dtype), 2), axis=1)


def make_gru_model(size: int, *, dropout: bool = True, **kwargs: Any) -> Seq2Seq:
    rates = DROPOUT if dropout else {}
    return Seq2Seq(
        GRUEncoder(
            size,
            UNITS,
            bidirectional=True,
            context="attention_pool",
            **JOINTS,
            **rates,
            **kwargs,
        ),
        GRUDecoder(
            size,
            UNITS,
            attention="luong_concat",
            tie_output=True,
            **JOINTS,
            **rates,
            **kwargs,
        ),
        share_embeddings=True,
    )


def make_lstm_model(size: int, *, dropout: bool = True, **kwargs: Any) -> Seq2Seq:
    rates = DROPOUT if dropout else {}
    return Seq2Seq(
        LSTMEncoder(
            size, UNITS, reverse_source=True, context=sum_of_states, **JOINTS, **rates, **kwargs
        ),
        LSTMDecoder(
            size,
            UNITS,
            attention="luong_dot",
            input_feeding=True,
            trainable_embeddings=False,
            **JOINTS,
            **rates,
            **kwargs,
        ),
    )


OPTIONED = {"GRU": make_gru_model, "LSTM": make_lstm_model}
