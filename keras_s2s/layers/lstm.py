"""One LSTM layer in one direction, with the weights of `keras.layers.LSTM`."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.checks import check_positive_int
from keras_s2s.layers.packed_recurrence import lstm_packed
from keras_s2s.layers.packing import Packing
from keras_s2s.layers.recurrence import LSTMState, lstm_padded, lstm_step


@keras.saving.register_keras_serializable(package="keras_s2s")
class LSTM(keras.layers.Layer):
    r"""One LSTM layer, read in one direction, over padded or packed sequences.

    With x the input and h, c the state:

        i = σ(x·W_i + h·R_i + b_i)      f = σ(x·W_f + h·R_f + b_f)
        g = tanh(x·W_g + h·R_g + b_g)   o = σ(x·W_o + h·R_o + b_o)
        c' = f ∘ c + i ∘ g              h' = o ∘ tanh(c')

    The weights are those of `keras.layers.LSTM`: `kernel` (input, 4 * units), `recurrent_kernel`
    (units, 4 * units), `bias` (4 * units,), gates in the order i, f, g, o, forget bias 1.

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

    Returns:
        The outputs, `(batch, length, units)` or `(tokens, units)`, and the last `LSTMState`.

    Raises:
        ValueError: if `units` is not a positive integer, or there is neither mask nor packing.

    References:
        - [Long short-term memory (Hochreiter and Schmidhuber, 1997)](
          https://doi.org/10.1162/neco.1997.9.8.1735)
    """

    def __init__(self, units: int, *, go_backwards: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = check_positive_int("units", units)
        self.go_backwards = bool(go_backwards)
        self.supports_masking = True  # without it Keras warns of a mask that is given as argument

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        gates = 4 * self.units
        self.kernel = self.add_weight(
            shape=(inputs_shape[-1], gates), initializer="glorot_uniform", name="kernel"
        )
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, gates), initializer="orthogonal", name="recurrent_kernel"
        )
        self.bias = self.add_weight(shape=(gates,), initializer=_forget_one, name="bias")
        self.built = True

    def call(
        self,
        inputs: tf.Tensor,
        mask: tf.Tensor | None = None,
        state: LSTMState | None = None,
        packing: Packing | None = None,
    ) -> tuple[tf.Tensor, LSTMState]:
        if mask is None and packing is None:
            raise ValueError("`LSTM` needs `mask` or `packing`. Received: mask=None, packing=None")
        batch_size = tf.shape(inputs)[0] if packing is None else packing.shape[0]
        if state is None:
            state = self.zero_state(batch_size, inputs.dtype)
        projected = self._project(inputs)
        recurrent_kernel = tf.convert_to_tensor(self.recurrent_kernel)
        if packing is not None:
            return lstm_packed(
                projected, packing, state, recurrent_kernel, reverse=self.go_backwards
            )
        return lstm_padded(projected, mask, state, recurrent_kernel, reverse=self.go_backwards)

    def step(self, inputs: tf.Tensor, state: LSTMState) -> LSTMState:
        """Take one step for inputs `(rows, input_units)`."""
        return lstm_step(self._project(inputs), state, tf.convert_to_tensor(self.recurrent_kernel))

    def zero_state(self, batch_size: tf.Tensor | int, dtype: tf.DType) -> LSTMState:
        """Give the state of zeros, `(batch_size, units)`."""
        zeros = tf.zeros([batch_size, self.units], dtype)
        return LSTMState(zeros, zeros)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "go_backwards": self.go_backwards}

    def _project(self, inputs: tf.Tensor) -> tf.Tensor:
        """Multiply all inputs by the kernel at once and add the bias."""
        kernel = tf.convert_to_tensor(self.kernel)
        return tf.tensordot(inputs, kernel, axes=1) + tf.convert_to_tensor(self.bias)


def _forget_one(shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
    """Zeros, but ones for the forget gate, so that a new cell remembers."""
    units = shape[0] // 4
    zeros, ones = tf.zeros([units], dtype), tf.ones([units], dtype)
    return tf.concat([zeros, ones, zeros, zeros], axis=0)
