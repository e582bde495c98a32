"""Base class of recurrent layers, and the choice of the loop that computes them.

Four functions compute the same recurrence. `RecurrentLayer.call` and `_run_packed` choose between
three of them. `RecurrentStack` calls cuDNN, for several layers at once.

- `recurrence.scan_padded`: padded inputs, on any device, in searches and exports. The loop uses
  only operations that every runtime supports, so that a model trained on a GPU runs on a phone.
- `cudnn_recurrence.run_cudnn`: padded inputs, in training and evaluation on a GPU.
- `packed_recurrence.lstm_packed`: packed inputs of an LSTM on a CPU. Its gradient is written by
  hand, to avoid a sum over weights at each step.
- `packed_recurrence.scan_packed`: other packed inputs: a GRU on a CPU, or recurrent dropout
  anywhere.

Packed inputs are used in training: see `keras_s2s.layers.packing`.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar, NamedTuple

import keras
import tensorflow as tf

from keras_s2s.checks import check_positive_int
from keras_s2s.keras_private import without_autocast
from keras_s2s.layers.cudnn_recurrence import CudnnWeights, has_cudnn
from keras_s2s.layers.packed_recurrence import lstm_packed, scan_packed
from keras_s2s.layers.packing import Packing
from keras_s2s.layers.products import Deferred, Transposed, matmul, product
from keras_s2s.layers.recurrence import LSTMState, RecurrentState, scan_padded


class StepWeights(NamedTuple):
    """Matrices of one recurrent layer, for its steps."""

    kernel: tf.Tensor | Transposed | Deferred  # (input_units, num_gates * units)
    recurrent_kernel: tf.Tensor | Transposed | Deferred  # (units, num_gates * units)


class RecurrentLayer(keras.layers.Layer):
    """Recurrent layer in one direction, over padded or packed sequences.

    A subclass defines its state and its step, and adds its biases in `build`.
    """

    state_type: ClassVar[type[Any]]
    num_gates: ClassVar[int]

    def __init__(self, units: int, *, go_backwards: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = check_positive_int("units", units)
        self.go_backwards = bool(go_backwards)
        self.supports_masking = True
        # With `jit_compile="auto"`, Keras would otherwise train with XLA on a GPU, without cuDNN.
        self.supports_jit = not has_cudnn()

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        gates = self.num_gates * self.units
        self.kernel = self.add_weight(
            shape=(inputs_shape[-1], gates), initializer="glorot_uniform", name="kernel"
        )
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, gates), initializer=_orthogonal, name="recurrent_kernel"
        )

    def call(
        self,
        inputs: tf.Tensor,
        mask: tf.Tensor | None = None,
        state: RecurrentState | None = None,
        packing: Packing | None = None,
        recurrent_mask: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, RecurrentState]:
        if state is None:
            batch_size = tf.shape(inputs)[0] if packing is None else packing.shape[0]
            state = self.zero_state(batch_size, inputs.dtype)
        if packing is not None:
            return self._run_packed(inputs, packing, state, recurrent_mask)
        if mask is None:
            mask = tf.ones(tf.shape(inputs)[:2], tf.bool)
        step = functools.partial(
            self._step_function(self.step_weights().recurrent_kernel),
            recurrent_mask=recurrent_mask,
        )
        return scan_padded(step, self.project(inputs), mask, state, reverse=self.go_backwards)

    def step(
        self,
        inputs: tf.Tensor | None,
        state: RecurrentState,
        recurrent_mask: tf.Tensor | None = None,
        *,
        weights: StepWeights | None = None,
        projected: tf.Tensor | None = None,
    ) -> RecurrentState:
        """Run one step.

        Args:
            inputs: Float `(rows, input_units)`, or `None` if `projected` includes all inputs.
            state: State before the step, `(rows, units)`.
            recurrent_mask: Float `(rows, units)`. Mask applied to h before the recurrent product.
            weights: `StepWeights`, if prepared for many steps. Defaults to `step_weights()`.
            projected: Float `(rows, num_gates * units)`. The part of the inputs that is already
                projected, plus the bias. Defaults to `None`.

        Returns:
            The state after the step.
        """
        weights = weights or self.step_weights()
        if projected is None:
            projected = self._input_bias()
        if inputs is not None:
            projected = product(inputs, weights.kernel) + tf.cast(projected, inputs.dtype)
        return self._step_function(weights.recurrent_kernel)(projected, state, recurrent_mask)

    def step_weights(self) -> StepWeights:
        """Return the matrices of the steps."""
        return StepWeights(
            tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.recurrent_kernel)
        )

    def cudnn_weights(self) -> CudnnWeights:
        """Return the weights for `run_cudnn`, which casts them together."""
        with without_autocast():
            return CudnnWeights(*self.step_weights(), tf.convert_to_tensor(self.bias))

    def project(self, vectors: tf.Tensor) -> tf.Tensor:
        """Multiply inputs, or their first units, by the kernel and add the bias.

        Args:
            vectors: Float `(rows, units)` or `(batch, length, units)`, with at most the units of
                the inputs.

        Returns:
            The products, `(..., num_gates * units)`.
        """
        kernel, units = tf.convert_to_tensor(self.kernel), vectors.shape[-1]
        if units != kernel.shape[0]:
            kernel = kernel[:units]
        is_matrix = vectors.shape.rank == 2
        products = matmul(vectors, kernel) if is_matrix else tf.tensordot(vectors, kernel, axes=1)
        return products + self._input_bias()

    def zero_state(self, batch_size: tf.Tensor | int, dtype: tf.DType) -> RecurrentState:
        """Return a state of zeros, each part `(batch_size, units)`."""
        zeros = tf.zeros([batch_size, self.units], dtype)
        return self.state_type(*[zeros for _ in self.state_type._fields])

    def compute_output_shape(
        self, inputs_shape: tuple[int | None, ...], *args: Any, **kwargs: Any
    ) -> tuple[tuple[int | None, ...], RecurrentState]:
        """Return the shapes of the outputs and of the last state."""
        state = [(inputs_shape[0], self.units) for _ in self.state_type._fields]
        return (*inputs_shape[:-1], self.units), self.state_type(*state)

    def compute_output_spec(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the specs of the outputs and of the last state, in the compute dtype."""
        outputs, state = self.compute_output_shape(inputs.shape)
        return (
            keras.KerasTensor(outputs, self.compute_dtype),
            self.state_type(*[keras.KerasTensor(part, self.compute_dtype) for part in state]),
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "go_backwards": self.go_backwards}

    def _run_packed(
        self,
        inputs: tf.Tensor,
        packing: Packing,
        state: RecurrentState,
        recurrent_mask: tf.Tensor | None,
    ) -> tuple[tf.Tensor, RecurrentState]:
        """Run over packed rows, with one of the functions listed at the top of this module."""
        recurrent_kernel = self.step_weights().recurrent_kernel
        reverse = self.go_backwards
        projected = self.project(inputs)
        if recurrent_mask is None and isinstance(state, LSTMState):
            return lstm_packed(projected, packing, state, recurrent_kernel, reverse=reverse)
        step = self._step_function(recurrent_kernel)
        return scan_packed(
            step, projected, packing, state, recurrent_mask=recurrent_mask, reverse=reverse
        )

    def _step_function(self, recurrent_kernel: tf.Tensor) -> Any:
        """Return the step `(projected, state, recurrent_mask) -> state` with the weights bound."""
        raise NotImplementedError

    def _input_bias(self) -> tf.Tensor:
        """Return the bias of the projected inputs, `(num_gates * units,)`."""
        raise NotImplementedError


def _orthogonal(shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
    """Draw an orthogonal matrix, in float32 if the dtype has 16 bits, as TensorFlow's QR needs."""
    drawn = "float32" if dtype in ("float16", "bfloat16") else dtype
    return tf.cast(keras.initializers.Orthogonal()(shape, drawn), dtype)
