"""One LSTM layer in one direction, with the weights of `keras.layers.LSTM`."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.layers.packed_recurrence import lstm_packed
from keras_s2s.layers.packing import Packing
from keras_s2s.layers.recurrence import LSTMState, RecurrentState, lstm_step
from keras_s2s.layers.recurrent_layer import RecurrentLayer


@keras.saving.register_keras_serializable(package="keras_s2s")
class LSTM(RecurrentLayer):
    r"""One LSTM layer, read in one direction, over padded or packed sequences.

    With x the input and h, c the state:

        i = σ(x·W_i + h·R_i + b_i)      f = σ(x·W_f + h·R_f + b_f)
        g = tanh(x·W_g + h·R_g + b_g)   o = σ(x·W_o + h·R_o + b_o)
        c' = f ∘ c + i ∘ g              h' = o ∘ tanh(c')

    The weights are those of `keras.layers.LSTM`: `kernel` (input, 4 * units), `recurrent_kernel`
    (units, 4 * units), `bias` (4 * units,), gates in the order i, f, g, o, forget bias 1.

    Where a GPU is there, packed sequences, which are those of training, are computed by cuDNN.
    Padded ones, those of a search and of every export, are products and element-wise operations in
    a loop on every device, so that what a GPU traced runs on a CPU. Other weights fit: those of
    `keras.layers.LSTM` by `set_weights`, those of PyTorch by `set_torch_weights` of the encoder or
    decoder.

    Masking: the mask is an argument, never taken from the inputs. At the padding the state passes
    unchanged and the output is zero.

    Args:
        units: size of the state.
        go_backwards: read each sequence from its end. The outputs stay where their inputs are.

    Call arguments:
        inputs: float `(batch, length, input_units)`, or `(tokens, input_units)` with `packing`.
        mask: bool `(batch, length)`, true at real tokens; needed without `packing`.
        state: the `LSTMState` to begin with; zeros by default.
        packing: the plan by which `inputs` were packed.
        recurrent_mask: float `(batch, units)`; what the products read of h is multiplied with it
            at every step. Packed, it takes a slower loop than without, also on a GPU.

    Returns:
        The outputs, `(batch, length, units)` or `(tokens, units)`, and the last `LSTMState`.

    Raises:
        ValueError: if `units` is not a positive integer, or there is neither mask nor packing.

    References:
        - [Long short-term memory (Hochreiter and Schmidhuber, 1997)](
          https://doi.org/10.1162/neco.1997.9.8.1735)
    """

    state_type = LSTMState
    num_gates = 4

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        super().build(inputs_shape)
        self.bias = self.add_weight(shape=(4 * self.units,), initializer=_forget_one, name="bias")
        self.built = True

    def _step_function(self, recurrent_kernel: tf.Tensor) -> Any:
        def step(
            projected: tf.Tensor, state: LSTMState, recurrent_mask: tf.Tensor | None
        ) -> LSTMState:
            return lstm_step(projected, state, recurrent_kernel, recurrent_mask)

        return step

    def _input_bias(self) -> tf.Tensor:
        return tf.convert_to_tensor(self.bias)

    def _biases(self) -> tf.Tensor:
        bias = self._input_bias()
        return tf.stack([bias, tf.zeros_like(bias)])

    def _scan_packed(
        self,
        projected: tf.Tensor,
        packing: Packing,
        state: Any,
        recurrent_mask: tf.Tensor | None,
    ) -> tuple[tf.Tensor, RecurrentState]:
        if recurrent_mask is not None:
            return super()._scan_packed(projected, packing, state, recurrent_mask)
        kernel = tf.convert_to_tensor(self.recurrent_kernel)
        return lstm_packed(projected, packing, state, kernel, reverse=self.go_backwards)


def _forget_one(shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
    """Zeros, but ones for the forget gate, so that a new cell remembers."""
    units = shape[0] // 4
    zeros, ones = tf.zeros([units], dtype), tf.ones([units], dtype)
    return tf.concat([zeros, ones, zeros, zeros], axis=0)
