"""One GRU layer in one direction, with the weights of `keras.layers.GRU`."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.layers.recurrence import GRUState, gru_step
from keras_s2s.layers.recurrent_layer import RecurrentLayer


@keras.saving.register_keras_serializable(package="keras_s2s")
class GRU(RecurrentLayer):
    r"""One GRU layer, read in one direction, over padded or packed sequences.

    With x the input and h the state:

        z = σ(x·W_z + b_z + h·R_z + d_z)      r = σ(x·W_r + b_r + h·R_r + d_r)
        g = tanh(x·W_g + b_g + r ∘ (h·R_g + d_g))
        h' = z ∘ h + (1 - z) ∘ g

    The weights are those of `keras.layers.GRU`, and of cuDNN and PyTorch but for their order:
    `kernel` (input, 3 * units), `recurrent_kernel` (units, 3 * units), `bias` (2, 3 * units) with
    b above d, gates in the order z, r, g.

    On a GPU packed sequences are computed by cuDNN, as those of `LSTM` are.

    Masking: the mask is an argument, never taken from the inputs. At the padding the state passes
    unchanged and the output is zero.

    Args:
        units: size of the state.
        go_backwards: read each sequence from its end. The outputs stay where their inputs are.

    Call arguments:
        inputs: float `(batch, length, input_units)`, or `(tokens, input_units)` with `packing`.
        mask: bool `(batch, length)`, true at real tokens; needed without `packing`.
        state: the `GRUState` to begin with; zeros by default.
        packing: the plan by which `inputs` were packed.
        recurrent_mask: float `(batch, units)`; what the products read of h is multiplied with it
            at every step.

    Returns:
        The outputs, `(batch, length, units)` or `(tokens, units)`, and the last `GRUState`.

    Raises:
        ValueError: if `units` is not a positive integer, or there is neither mask nor packing.

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
