"""Stacked recurrent layers, for encoders and decoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_s2s.layers.cudnn_recurrence import run_cudnn
from keras_s2s.layers.dropout import SequenceDropout
from keras_s2s.layers.packing import Packing
from keras_s2s.layers.products import compute, prepare_kernel
from keras_s2s.layers.recurrence import RecurrentState
from keras_s2s.layers.recurrent import RecurrentLayer, StepWeights

# A dozen steps of a single hypothesis save about as much time as projecting this many tokens takes.
# Projecting more tokens would make short searches slower.
MOST_PROJECTED_TOKENS = 256


class StackOutput(NamedTuple):
    """Outputs of a stack for a batch of sequences."""

    outputs: tf.Tensor  # (batch, length, output_units), or (tokens, output_units)
    last: tf.Tensor  # (batch, output_units): output at the token that each direction read last


class StackWeights(NamedTuple):
    """Matrices of all layers of a stack, and the tokens projected by the lowest layer."""

    layers: tuple[StepWeights, ...]
    token_inputs: tf.Tensor | None  # (vocabulary_size, gates * units), None: too many tokens


class RecurrentStack(keras.layers.Layer):
    """Stack of recurrent layers, each in one or both directions.

    With f_l the l-th recurrent layer (of each direction) and x_l its inputs,

        y_l = N_l(f_l(drop(x_l))),  x_{l+1} = y_l              without residual connections
        y_l = N_l(f_l(drop(x_l))) + x_l,  x_{l+1} = y_l        with them, from the second layer up

    where N_l is layer normalization over the units of one direction, or the identity. It normalizes
    the outputs of a layer, not the gates, so the recurrence keeps the speed and the weights of a
    plain LSTM or GRU.

    Args:
        layer: Class of the recurrent layers.
        units: Positive integer. Size of a state.
        dropout: `SequenceDropout` of the encoder or decoder.
        num_layers: Positive integer. Number of layers.
        bidirectional: Whether each layer reads in both directions. Defaults to `False`.
        residual: Whether to add residual connections. Defaults to `False`.
        layer_normalization: Whether to add layer normalization. Defaults to `False`.

    References:
        - [Layer normalization (Ba et al., 2016)](https://arxiv.org/abs/1607.06450)
        - [Google's neural machine translation system (Wu et al., 2016)](
          https://arxiv.org/abs/1609.08144), for residual connections between LSTM layers
    """

    def __init__(
        self,
        layer: type[RecurrentLayer],
        units: int,
        dropout: SequenceDropout,
        *,
        num_layers: int,
        bidirectional: bool = False,
        residual: bool = False,
        layer_normalization: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True  # without it, Keras warns about the argument `mask`
        self.units = units
        self.num_layers = num_layers
        self.residual = residual
        self.dropout = dropout
        self.forward_layers = self._make_layers(layer, go_backwards=False)
        self.backward_layers = self._make_layers(layer, go_backwards=True) if bidirectional else []
        self.output_units = units * (2 if bidirectional else 1)
        num_norms = num_layers * (2 if bidirectional else 1) if layer_normalization else 0
        self.norms = [
            keras.layers.LayerNormalization(dtype=self.dtype_policy, name=f"norm_{number}")
            for number in range(num_norms)
        ]

    def build(self, inputs_shape: tuple[Any, ...]) -> None:
        for directions in self.levels():
            for layer in directions:
                layer.build(inputs_shape)
            inputs_shape = (*inputs_shape[:-1], self.output_units)
        for norm in self.norms:
            norm.build((None, self.units))
        self.built = True

    def call(
        self,
        inputs: tf.Tensor,
        mask: tf.Tensor,
        states: Sequence[RecurrentState] | None = None,
        packing: Packing | None = None,
        lengths: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> StackOutput:
        if self.dropout.drops_recurrent(training):
            lengths = None  # cuDNN does not support recurrent dropout
        last: list[tf.Tensor] = []
        values = inputs
        real = tf.expand_dims(mask, 2)
        some = tf.reduce_any(mask, axis=1, keepdims=True)
        for first, level in self._level_groups(fused=lengths is not None, training=training):
            dropped = self.dropout.values(values, first, training)
            if lengths is None:
                outputs, ends = self._run_level(level, dropped, mask, states, packing, training)
            else:
                outputs, ends = self._run_fused(first, level, dropped, lengths, states)
            if self.norms:
                directions = range(len(ends))
                outputs = [
                    self._normalize(outputs[direction], level, direction)
                    for direction in directions
                ]
                ends = [
                    self._normalize(ends[direction], level, direction) for direction in directions
                ]
                if packing is None:  # zero at the padding
                    outputs = [tf.where(real, it, tf.zeros_like(it)) for it in outputs]
            if self.norms or lengths is not None:
                ends = [tf.where(some, end, tf.zeros_like(end)) for end in ends]
            merged = outputs[0] if len(outputs) == 1 else tf.concat(outputs, axis=-1)
            if self.residual and level:
                merged += values
                ends = [end + below for end, below in zip(ends, last, strict=True)]
            values, last = merged, ends
        return StackOutput(values, last[0] if len(last) == 1 else tf.concat(last, axis=-1))

    def step(
        self,
        inputs: tf.Tensor | None,
        states: Sequence[RecurrentState],
        recurrent_masks: Sequence[tf.Tensor | None] | None = None,
        training: bool | None = None,
        *,
        weights: StackWeights | None = None,
        projected: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tuple[RecurrentState, ...]]:
        """Run one step in the forward direction.

        Args:
            inputs: Float `(rows, input_units)`, or `None` if `projected` includes all inputs.
            states: State of each layer, `(rows, units)`.
            recurrent_masks: Masks that `recurrent_masks` drew before the first step. `None` means
                no recurrent dropout. Defaults to `None`.
            training: Whether dropout is on.
            weights: `StackWeights` that `prepare_steps` returned.
            projected: Float `(rows, num_gates * units)`. Projected inputs of the lowest layer.

        Returns:
            The output of the top layer `(rows, units)` and the new states.
        """
        values, new_states = inputs, []
        masks = recurrent_masks or [None] * self.num_layers
        prepared = weights.layers if weights else [None] * self.num_layers
        for level, (layer, state) in enumerate(zip(self.forward_layers, states, strict=True)):
            dropped = None if values is None else self.dropout.values(values, level, training)
            new_states.append(
                layer.step(
                    dropped, state, masks[level], weights=prepared[level], projected=projected
                )
            )
            projected = None
            output = self._normalize(new_states[-1].hidden, level, direction=0)
            values = output + values if self.residual and level else output
        return values, tuple(new_states)

    def prepare_steps(self, token_vectors: tf.Tensor, dtype: str) -> StackWeights:
        """Prepare the weights for many steps without dropout, as in a search.

        Args:
            token_vectors: Embeddings `(vocabulary_size, embedding_dim)`, the first part of the
                inputs of a step. A small vocabulary is projected here, once for all steps. The
                kernel of the lowest layer then contains only the rows of the other inputs.
            dtype: Precision of the products, "float32" or "bfloat16".

        Returns:
            The `StackWeights`.
        """
        first, *others = (layer.step_weights() for layer in self.forward_layers)
        token_inputs = None
        if token_vectors.shape[0] <= MOST_PROJECTED_TOKENS:
            token_inputs = self.forward_layers[0].project(token_vectors)
            first = first._replace(kernel=first.kernel[token_vectors.shape[1] :])
        layers = tuple(
            StepWeights(*(prepare_kernel(tf.cast(matrix, dtype)) for matrix in matrices))
            for matrices in (first, *others)
        )
        return StackWeights(layers, token_inputs)

    def recurrent_masks(
        self, batch_size: tf.Tensor | int, dtype: Any, training: bool | None
    ) -> list[tf.Tensor | None]:
        """Draw the masks of recurrent dropout, which are the same for all steps of a batch."""
        return [
            self._recurrent_mask(level, batch_size, dtype, training)
            for level in range(self.num_layers)
        ]

    def levels(self) -> list[tuple[RecurrentLayer, ...]]:
        """Return the directions of each layer, from the bottom up."""
        stacks = [stack for stack in (self.forward_layers, self.backward_layers) if stack]
        return list(zip(*stacks, strict=True))

    def _level_groups(self, *, fused: bool, training: bool | None) -> list[tuple[int, int]]:
        """Return the first and last level of each group of levels that is computed at once."""
        if not fused or self.norms or self.residual:
            return [(level, level) for level in range(self.num_layers)]
        starts = [
            level
            for level in range(self.num_layers)
            if not level or self.dropout.drops_inputs(level, training)
        ]
        ends = [*(start - 1 for start in starts[1:]), self.num_layers - 1]
        return list(zip(starts, ends, strict=True))

    def _run_level(
        self,
        level: int,
        inputs: tf.Tensor,
        mask: tf.Tensor,
        states: Sequence[RecurrentState] | None,
        packing: Packing | None,
        training: bool | None,
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Run the directions of one level and return their outputs and last hidden states."""
        batch_size = tf.shape(mask)[0]
        both = [
            compute(
                layer,
                inputs,
                mask=mask,
                state=states[level] if states else None,
                packing=packing,
                recurrent_mask=self._recurrent_mask(level, batch_size, inputs.dtype, training),
            )
            for layer in self.levels()[level]
        ]
        return [outputs for outputs, _ in both], [state.hidden for _, state in both]

    def _run_fused(
        self,
        first: int,
        last: int,
        inputs: tf.Tensor,
        lengths: tf.Tensor,
        states: Sequence[RecurrentState] | None,
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Run levels with cuDNN and return the outputs and last hidden states of the top one."""
        levels = self.levels()[first : last + 1]
        directions = len(levels[0])
        outputs, ends = run_cudnn(
            inputs,
            lengths,
            [layer.cudnn_weights() for level in levels for layer in level],
            states[first : last + 1] if states else None,
            bidirectional=directions == 2,
        )
        return (tf.split(outputs, directions, axis=-1) if self.norms else [outputs]), ends

    def _recurrent_mask(
        self, level: int, batch_size: tf.Tensor | int, dtype: Any, training: bool | None
    ) -> tf.Tensor | None:
        return self.dropout.recurrent_mask(level, (batch_size, self.units), dtype, training)

    def _normalize(self, values: tf.Tensor, level: int, direction: int) -> tf.Tensor:
        if not self.norms:
            return values
        norm = self.norms[level * (2 if self.backward_layers else 1) + direction]
        # The `call` of `norm` would run a search in the precision of training.
        return keras.ops.layer_normalization(
            values, norm.gamma, norm.beta, axis=-1, epsilon=norm.epsilon
        )

    def _make_layers(
        self, layer: type[RecurrentLayer], *, go_backwards: bool
    ) -> list[RecurrentLayer]:
        direction = "backward" if go_backwards else "forward"
        return [
            layer(
                self.units,
                go_backwards=go_backwards,
                dtype=self.dtype_policy,
                name=f"{direction}_{number}",
            )
            for number in range(self.num_layers)
        ]
