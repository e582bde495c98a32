"""The encoder that is made of GRU layers."""

from __future__ import annotations

import keras

from keras_s2s.layers.encoder import Encoder
from keras_s2s.layers.gru import GRU


@keras.saving.register_keras_serializable(package="keras_s2s")
class GRUEncoder(Encoder):
    """Reads a source and gives all its states and one context vector, by GRU layers.

    h_t = GRU(x_t, h_{t-1}) and c = q(h_1, ..., h_T); in all else, its arguments too, it is an
    `LSTMEncoder`.

    Example:
        >>> encoder = GRUEncoder(vocabulary_size=10, units=4, bidirectional=True)
        >>> encoder(tf.constant([[5, 6, 3, 0]])).memory.shape
        TensorShape([1, 4, 8])

    References:
        - [Learning phrase representations using RNN encoder-decoder (Cho et al., 2014)](
          https://arxiv.org/abs/1406.1078)
    """

    recurrent_layer = GRU
