"""What an LSTM and a GRU layer have in common."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_s2s.checks import check_positive_int
from keras_s2s.layers.cudnn_recurrence import has_cudnn, run_cudnn
from keras_s2s.layers.packed_scan import scan_packed
from keras_s2s.layers.packing import Packing
from keras_s2s.layers.recurrence import RecurrentState, scan_padded
from keras_s2s.layers.step_weights import StepWeights, product


class RecurrentLayer(keras.layers.Layer):
    """One recurrent layer, read in one direction, over padded or packed sequences.

    A subclass says what its state is, adds its biases in `build`, and takes one step.
    """

    state_type: ClassVar[type[Any]]
    num_gates: ClassVar[int]

    def __init__(self, units: int, *, go_backwards: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = check_positive_int("units", units)
        self.go_backwards = bool(go_backwards)
        self.supports_masking = True  # without it Keras warns of a mask that is given as argument
        # else Keras would have XLA compile every training on a GPU, which then is no cuDNN's
        self.supports_jit = not has_cudnn()

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        gates = self.num_gates * self.units
        self.kernel = self.add_weight(
            shape=(inputs_shape[-1], gates), initializer="glorot_uniform", name="kernel"
        )
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, gates), initializer="orthogonal", name="recurrent_kernel"
        )

    def call(
        self,
        inputs: tf.Tensor,
        mask: tf.Tensor | None = None,
        state: RecurrentState | None = None,
        packing: Packing | None = None,
        recurrent_mask: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, RecurrentState]:
        if mask is None and packing is None:
            raise ValueError(
                f"`{type(self).__name__}` needs `mask` or `packing`. "
                "Received: mask=None, packing=None"
            )
        batch_size = tf.shape(inputs)[0] if packing is None else packing.shape[0]
        if state is None:
            state = self.zero_state(batch_size, inputs.dtype)
        if packing is not None and recurrent_mask is None and has_cudnn():
            return run_cudnn(
                inputs,
                packing,
                state,
                tf.convert_to_tensor(self.kernel),
                tf.convert_to_tensor(self.recurrent_kernel),
                self._biases(),
                reverse=self.go_backwards,
            )
        projected = self._project(inputs)
        if packing is not None:
            return self._scan_packed(projected, packing, state, recurrent_mask)
        step = functools.partial(
            self._step_function(self.weights_of_step().recurrent_kernel),
            recurrent_mask=recurrent_mask,
        )
        return scan_padded(step, projected, mask, state, reverse=self.go_backwards)

    def step(
        self,
        inputs: tf.Tensor | None,
        state: RecurrentState,
        recurrent_mask: tf.Tensor | None = None,
        *,
        weights: StepWeights | None = None,
        projected: tf.Tensor | None = None,
    ) -> RecurrentState:
        """Take one step.

        Args:
            inputs: `(rows, input_units)`, or None where `projected` is all there is.
            state: the state before it, `(rows, units)`.
            recurrent_mask: what the products read of the state is multiplied with this.
            weights: what `weights_of_step` gave, prepared for many steps.
            projected: `(rows, num_gates * units)`: a share of the projected inputs that is known,
                in which the bias is.

        Returns:
            The state after it.
        """
        weights = weights or self.weights_of_step()
        if projected is None:
            projected = self._input_bias()
        if inputs is not None:
            projected = product(inputs, weights.kernel) + projected
        return self._step_function(weights.recurrent_kernel)(projected, state, recurrent_mask)

    def weights_of_step(self) -> StepWeights:
        """Give the matrices that a step multiplies with."""
        return StepWeights(
            tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.recurrent_kernel)
        )

    def project(self, vectors: tf.Tensor) -> tf.Tensor:
        """Project `(rows, vector_units)`, the front of the inputs: the `projected` of a step."""
        kernel = tf.convert_to_tensor(self.kernel)[: vectors.shape[1]]
        return tf.matmul(vectors, kernel) + self._input_bias()

    def zero_state(self, batch_size: tf.Tensor | int, dtype: tf.DType) -> RecurrentState:
        """Give the state of zeros, `(batch_size, units)`."""
        zeros = tf.zeros([batch_size, self.units], dtype)
        return self.state_type(*[zeros for _ in self.state_type._fields])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "go_backwards": self.go_backwards}

    def _step_function(self, recurrent_kernel: tf.Tensor) -> Any:
        """Give the step `(projected, state, recurrent_mask) -> state` with the weights bound."""
        raise NotImplementedError

    def _input_bias(self) -> tf.Tensor:
        """Give what is added to the projected inputs, `(num_gates * units,)`."""
        raise NotImplementedError

    def _biases(self) -> tf.Tensor:
        """Give what is added to the products of inputs and of states, `(2, num_gates * units)`."""
        raise NotImplementedError

    def _scan_packed(
        self,
        projected: tf.Tensor,
        packing: Packing,
        state: RecurrentState,
        recurrent_mask: tf.Tensor | None,
    ) -> tuple[tf.Tensor, RecurrentState]:
        return scan_packed(
            self._step_function(self.weights_of_step().recurrent_kernel),
            projected,
            packing,
            state,
            recurrent_mask=recurrent_mask,
            reverse=self.go_backwards,
        )

    def _project(self, inputs: tf.Tensor) -> tf.Tensor:
        """Multiply all inputs by the kernel at once and add the bias."""
        return tf.tensordot(inputs, tf.convert_to_tensor(self.kernel), axes=1) + self._input_bias()
