"""GRU layer, GRU encoder and GRU decoder."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.layers.decoder import Decoder
from keras_s2s.layers.encoder import Encoder
from keras_s2s.layers.recurrence import GRUState, gru_step
from keras_s2s.layers.recurrent import RecurrentLayer


@keras.saving.register_keras_serializable(package="keras_s2s", name="GRU")
class MaskedGRU(RecurrentLayer):
    r"""GRU layer in one direction, over padded or packed sequences.

    With x the input and h the state:

        z = σ(x·W_z + b_z + h·R_z + d_z)      r = σ(x·W_r + b_r + h·R_r + d_r)
        g = tanh(x·W_g + b_g + r ∘ (h·R_g + d_g))
        h' = z ∘ h + (1 - z) ∘ g

    The weights are those of `keras.layers.GRU`: `kernel` (input, 3 * units), `recurrent_kernel`
    (units, 3 * units), `bias` (2, 3 * units) with b before d, gates in the order z, r, g. The order
    of the gates differs in cuDNN and PyTorch.

    On a GPU, `fit` and `evaluate` run the encoder and the decoder with cuDNN.

    Masking: at padding, the state does not change and the output is zero.

    Args:
        units: Positive integer. Size of the state.
        go_backwards: Whether to read each sequence from its end. Outputs keep the order of the
            inputs. Defaults to `False`.

    Call arguments:
        inputs: Float `(batch, length, input_units)`, or `(tokens, input_units)` with `packing`.
        mask: Bool `(batch, length)`, true at real tokens. Defaults to the mask of the inputs, or
            to all true if they have none.
        state: Initial `GRUState`. Defaults to zeros.
        packing: `Packing` of `inputs`. `None` means that they are padded.
        recurrent_mask: Float `(batch, units)`. Mask applied to h before the recurrent product, at
            every step.

    Returns:
        The outputs, `(batch, length, units)` or `(tokens, units)`, and the last `GRUState`.

    Raises:
        ValueError: If `units` is not a positive integer.

    References:
        - [Learning phrase representations using RNN encoder-decoder (Cho et al., 2014)](
          https://arxiv.org/abs/1406.1078)
    """

    state_type = GRUState
    num_gates = 3

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        super().build(inputs_shape)
        self.bias = self.add_weight(shape=(2, 3 * self.units), initializer="zeros", name="bias")
        self.built = True

    def _step_function(self, recurrent_kernel: tf.Tensor) -> Any:
        bias = self._biases()[1]

        def step(
            projected: tf.Tensor, state: GRUState, recurrent_mask: tf.Tensor | None
        ) -> GRUState:
            return gru_step(projected, state, recurrent_kernel, bias, recurrent_mask)

        return step

    def _input_bias(self) -> tf.Tensor:
        return self._biases()[0]

    def _biases(self) -> tf.Tensor:
        return tf.convert_to_tensor(self.bias)


# Keras names the weights in a file after the class of their layer. Without this line, files that
# were written when the class was named `GRU` would not load.
MaskedGRU.__name__ = "GRU"


@keras.saving.register_keras_serializable(package="keras_s2s")
class GRUEncoder(Encoder):
    """Encoder of GRU layers that computes a state for each source token and a context vector.

    h_t = GRU(x_t, h_{t-1}) and c = q(h_1, ..., h_T). The arguments and outputs are the same as
    for `LSTMEncoder`.

    Example:
        >>> encoder = GRUEncoder(vocabulary_size=10, units=4, bidirectional=True)
        >>> encoder(tf.constant([[5, 6, 3, 0]])).memory.shape
        TensorShape([1, 4, 8])

    References:
        - [Learning phrase representations using RNN encoder-decoder (Cho et al., 2014)](
          https://arxiv.org/abs/1406.1078)
    """

    recurrent_layer = MaskedGRU


@keras.saving.register_keras_serializable(package="keras_s2s")
class GRUDecoder(Decoder):
    """Decoder of GRU layers that computes the logits of each next target token.

    s_t = GRU([y_{t-1}; c], s_{t-1}), logits_t = W·r(s_t). The arguments and outputs are the same as
    for `LSTMDecoder`.

    Example:
        >>> decoder = GRUDecoder(vocabulary_size=10, units=4)
        >>> decoder(tf.constant([[2, 5, 6]]), tf.zeros([1, 8])).shape
        TensorShape([1, 3, 10])

    References:
        - [Learning phrase representations using RNN encoder-decoder (Cho et al., 2014)](
          https://arxiv.org/abs/1406.1078)
    """

    recurrent_layer = MaskedGRU
