"""What an LSTM and a GRU layer have in common."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_s2s.checks import check_positive_int
from keras_s2s.layers.packed_scan import scan_packed
from keras_s2s.layers.packing import Packing
from keras_s2s.layers.recurrence import RecurrentState, scan_padded


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
        projected = self._project(inputs)
        if packing is not None:
            return self._scan_packed(projected, packing, state, recurrent_mask)
        step = functools.partial(self._step_function(), recurrent_mask=recurrent_mask)
        return scan_padded(step, projected, mask, state, reverse=self.go_backwards)

    def step(
        self,
        inputs: tf.Tensor,
        state: RecurrentState,
        recurrent_mask: tf.Tensor | None = None,
    ) -> RecurrentState:
        """Take one step for inputs `(rows, input_units)`."""
        return self._step_function()(self._project(inputs), state, recurrent_mask)

    def zero_state(self, batch_size: tf.Tensor | int, dtype: tf.DType) -> RecurrentState:
        """Give the state of zeros, `(batch_size, units)`."""
        zeros = tf.zeros([batch_size, self.units], dtype)
        return self.state_type(*[zeros for _ in self.state_type._fields])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "go_backwards": self.go_backwards}

    def _step_function(self) -> Any:
        """Give the step `(projected, state, recurrent_mask) -> state` with the weights bound."""
        raise NotImplementedError

    def _input_bias(self) -> tf.Tensor:
        """Give what is added to the projected inputs, `(num_gates * units,)`."""
        raise NotImplementedError

    def _scan_packed(
        self,
        projected: tf.Tensor,
        packing: Packing,
        state: RecurrentState,
        recurrent_mask: tf.Tensor | None,
    ) -> tuple[tf.Tensor, RecurrentState]:
        return scan_packed(
            self._step_function(),
            projected,
            packing,
            state,
            recurrent_mask=recurrent_mask,
            reverse=self.go_backwards,
        )

    def _project(self, inputs: tf.Tensor) -> tf.Tensor:
        """Multiply all inputs by the kernel at once and add the bias."""
        return tf.tensordot(inputs, tf.convert_to_tensor(self.kernel), axes=1) + self._input_bias()
