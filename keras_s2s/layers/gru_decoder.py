"""The decoder that is made of GRU layers."""

from __future__ import annotations

import keras

from keras_s2s.layers.decoder import Decoder
from keras_s2s.layers.gru import GRU


@keras.saving.register_keras_serializable(package="keras_s2s")
class GRUDecoder(Decoder):
    """Gives the logits of each next target token, by GRU layers.

    s_t = GRU([y_{t-1}; c], s_{t-1}), logits_t = W·r(s_t); in all else, its arguments too, it is
    an `LSTMDecoder`.

    Example:
        >>> decoder = GRUDecoder(vocabulary_size=10, units=4)
        >>> decoder(tf.constant([[2, 5, 6]]), tf.zeros([1, 8])).shape
        TensorShape([1, 3, 10])

    References:
        - [Learning phrase representations using RNN encoder-decoder (Cho et al., 2014)](
          https://arxiv.org/abs/1406.1078)
    """

    recurrent_layer = GRU
