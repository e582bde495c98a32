"""The steps of a decoder over packed rows, where a step needs the attention of the step before.

What does not depend on the step before is computed for all steps at once: the products of the token
vectors before the loop, and the gradients of the kernels after it. Automatic differentiation would
compute one product and one sum for each kernel at every step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from keras_s2s.gradients import custom_gradient
from keras_s2s.layers.decoder_features import (
    AttentionInputs,
    DecoderMemory,
    DecoderParts,
    DecoderState,
    attend_copies,
    repeat_for_steps,
    run_step,
)
from keras_s2s.layers.packed_recurrence import row_array
from keras_s2s.layers.packing import Packing, pack, unpack
from keras_s2s.layers.products import Deferred, compute, dense, matmul, product
from keras_s2s.layers.recurrent import StepWeights
from keras_s2s.layers.stack import StackWeights


def compute_features_packed_stepwise(
    decoder: DecoderParts,
    ids: tf.Tensor,
    packing: Packing,
    state: DecoderState,
    source: DecoderMemory,
    *,
    training: bool | None,
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Compute the features of a whole target, one step after another, for the real tokens only.

    The states are float32, as in the other packed loops.

    Args:
        decoder: `Decoder` with Bahdanau's attention or with input feeding.
        ids: Int32 `(batch, target_length)`. Inputs of the decoder.
        packing: `Packing` of the real tokens.
        state: `DecoderState` before the first step, in the order of the batch.
        source: `DecoderMemory` that `Decoder.read` returned.
        training: Whether dropout is on.

    Returns:
        The packed features `(tokens, units)`; and, with `copy`, the attention on each target id,
        padded. Otherwise `None`.
    """
    dtype = state.layers[0].hidden.dtype
    vectors = compute(decoder.embedding, pack(ids, packing))
    if source.context is not None:
        vectors = tf.concat([vectors, repeat_for_steps(source.context, ids, packing)], axis=1)
    vectors = decoder.stack.dropout.values(vectors, 0, training)
    projected = tf.cast(decoder.stack.forward_layers[0].project(vectors), tf.float32)
    steps = _Steps(decoder, vectors.shape[1], packing, source.attention_inputs, training)
    outputs, weights = steps.run(projected, state)
    features = tf.cast(outputs, dtype)
    if decoder.attends_before_step:
        features = dense(decoder.readout, features)
    if weights is None:
        return features, None
    return features, attend_copies(unpack(weights, packing), source.copies)


class _Arrays(NamedTuple):
    """Rows of all steps: one `(alive, any)` tensor per step."""

    output: tf.TensorArray
    weights: tuple[tf.TensorArray, ...]  # with `copy`: one, of the attention weights
    operands: tuple[tf.TensorArray, ...]  # for each kernel: what it is multiplied with


class _Steps:
    """The loop over the steps, with its constants. The longest sequences are in front."""

    def __init__(
        self,
        decoder: DecoderParts,
        token_units: int,
        packing: Packing,
        inputs: AttentionInputs | None,
        training: bool | None,
    ) -> None:
        self.decoder, self.packing, self.training = decoder, packing, training
        self.inputs = _by_length(inputs, packing)
        masks = decoder.stack.recurrent_masks(packing.shape[0], tf.float32, training)
        self.masks = [None if mask is None else tf.gather(mask, packing.order) for mask in masks]
        weights = [layer.step_weights() for layer in decoder.stack.forward_layers]
        weights[0] = weights[0]._replace(kernel=weights[0].kernel[token_units:])
        self.kernels: list[tf.Tensor] = [matrix for layer in weights for matrix in layer]
        if not decoder.attends_before_step and decoder.readout.quantization_mode is None:
            self.kernels.append(tf.convert_to_tensor(decoder.readout.kernel))

    def run(self, projected: tf.Tensor, state: DecoderState) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Run all steps.

        Args:
            projected: Packed float32 `(tokens, gates)`. Inputs of the lowest layer that do not
                depend on the step before, projected.
            state: `DecoderState` before the first step, in the order of the batch.

        Returns:
            The packed outputs of the steps, and, with `copy`, the packed attention weights.
        """
        state = tf.nest.map_structure(
            lambda part: tf.cast(part, tf.float32), _by_length(state, self.packing)
        )
        pieces = self._split(projected)
        gradients = [_KernelGradient(kernel) for kernel in self.kernels]
        tokens = tf.shape(projected)[0]
        zeros = [self._split(gradient.zeros(tokens)) for gradient in gradients]

        def body(time: tf.Tensor, arrays: _Arrays, *leaves: tf.Tensor) -> tuple[Any, ...]:
            alive = self.packing.sizes[time]
            before = tf.nest.pack_sequence_as(state, [leaf[:alive] for leaf in leaves])
            kernels = [
                Deferred(kernel, rows.read(time), [])
                for kernel, rows in zip(self.kernels, zeros, strict=True)
            ]
            output, after, weights = self._step(before, pieces.read(time), kernels)
            rows = _Arrays(
                output,
                (weights,) * len(arrays.weights),
                tuple(kernel.operands[0] for kernel in kernels),
            )
            arrays = tf.nest.map_structure(
                lambda array, value: array.write(time, value), arrays, rows
            )
            return time + 1, arrays, *tf.nest.flatten(after)

        leaves = tf.nest.flatten(state)
        _, arrays, *_ = tf.while_loop(
            lambda time, *_: time < self._length,
            body,
            (0, self._arrays(), *leaves),
            shape_invariants=(
                tf.TensorShape([]),
                tf.nest.map_structure(lambda _: tf.TensorShape(None), self._arrays()),
                *(tf.TensorShape([None, leaf.shape[1]]) for leaf in leaves),
            ),
        )
        for gradient, operands in zip(gradients, arrays.operands, strict=True):
            gradient.operands = operands.concat()
        weights = arrays.weights[0].concat() if arrays.weights else None
        return arrays.output.concat(), weights

    def _step(
        self, state: DecoderState, projected: tf.Tensor, kernels: list[Deferred]
    ) -> tuple[tf.Tensor, DecoderState, tf.Tensor | None]:
        """Run one step: return its output, the new state and the attention weights."""
        decoder, alive = self.decoder, tf.shape(projected)[0]
        numbers = range(len(state.layers))
        matrices = tuple(StepWeights(*kernels[2 * number : 2 * number + 2]) for number in numbers)
        masks = [None if mask is None else mask[:alive] for mask in self.masks]

        def attend(queries: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            attended, weights = decoder.attention_layer.attend_rows(
                tf.cast(queries, self.inputs.memory.dtype), *(part[:alive] for part in self.inputs)
            )
            return tf.cast(attended, tf.float32), weights

        def read_out(joined: tf.Tensor) -> tf.Tensor:
            if decoder.attends_before_step:
                return joined  # no step needs the features, so all are computed after the loop
            if decoder.readout.quantization_mode is None:
                return tf.tanh(product(joined, kernels[-1]))
            return dense(decoder.readout, joined)

        return run_step(
            decoder,
            [],
            state,
            attend=attend,
            recur=lambda inputs, states: decoder.stack.step(
                inputs,
                states,
                masks,
                self.training,
                weights=StackWeights(matrices, None),
                projected=projected,
            ),
            read_out=read_out,
        )

    def _arrays(self) -> _Arrays:
        """Create the arrays of the loop."""
        units = self.decoder.units
        if self.decoder.attends_before_step:
            units += self.inputs.memory.shape[-1]
        return _Arrays(
            self._array(units),
            (self._array(None),) if self.decoder.copy else (),
            tuple(self._array(kernel.shape[0]) for kernel in self.kernels),
        )

    def _split(self, rows: tf.Tensor) -> tf.TensorArray:
        return self._array(rows.shape[1]).split(rows, self.packing.sizes)

    def _array(self, units: int | None) -> tf.TensorArray:
        return row_array(self._length, units)

    @property
    def _length(self) -> tf.Tensor:
        return tf.shape(self.packing.sizes)[0]


class _KernelGradient:
    """The gradient of a kernel in the products of a loop, as one product after the loop.

    In the loop, each product is added to rows of zeros. The gradient of the zeros is therefore that
    of all products.
    """

    def __init__(self, kernel: tf.Tensor) -> None:
        self.kernel = kernel
        self.operands: tf.Tensor | None = None  # (rows, kernel rows), set after the loop

    def zeros(self, rows: tf.Tensor) -> tf.Tensor:
        """Return zeros `(rows, kernel columns)`, through which the gradient flows."""

        @custom_gradient
        def forward(kernel: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            def gradient(upstream: tf.Tensor) -> tf.Tensor:
                sides = (tf.cast(side, kernel.dtype) for side in (self.operands, upstream))
                return matmul(*sides, transpose_a=True)

            return tf.zeros([rows, kernel.shape[1]]), gradient

        return forward(self.kernel)


def _by_length(values: Any, packing: Packing) -> Any:
    """Sort the rows of tensors `(batch, ...)` by the lengths of their sequences."""
    return tf.nest.map_structure(lambda part: tf.gather(part, packing.order), values)
