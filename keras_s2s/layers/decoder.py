"""The decoder: P(y_t | y_1 ... y_{t-1}, c), a whole target at once or step by step."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_s2s.layers.decoder_memory import (
    Attended,
    DecoderMemory,
    DecoderState,
    at_each_step,
    for_each_hypothesis,
)
from keras_s2s.layers.decoder_parts import DecoderParts
from keras_s2s.layers.packing import PackedLogits, Packing, make_packing, pack, unpack
from keras_s2s.layers.recurrence import scan_steps
from keras_s2s.layers.step_weights import DecoderWeights
from keras_s2s.special_ids import PAD_ID


class Decoder(DecoderParts):
    """What an `LSTMDecoder` and a `GRUDecoder` are, but for the recurrent layer.

    Its arguments, and what it takes and gives, are those of `LSTMDecoder`.
    """

    def call(
        self,
        target_inputs: tf.Tensor,
        context: tf.Tensor,
        memory: tf.Tensor | None = None,
        memory_mask: tf.Tensor | None = None,
        packed: bool = False,
        training: bool | None = None,
    ) -> tf.Tensor | PackedLogits:
        state = self.initial_state(context)
        source = self.read(context, memory, memory_mask)
        mask = tf.not_equal(target_inputs, PAD_ID)
        packing = make_packing(mask) if packed else None
        ids = self.dropout_layer.words(target_inputs, training)
        if self._by_steps:
            features = self._features_by_steps(ids, mask, state, source, training)
            features = features if packing is None else pack(features, packing)
        else:
            features = self._features(ids, mask, state, source, packing, training)
        logits = self._logits(features, training)
        return logits if packing is None else PackedLogits(logits, packing)

    def read(
        self, context: tf.Tensor, memory: tf.Tensor | None, memory_mask: tf.Tensor | None
    ) -> DecoderMemory:
        """Prepare what every step reads, once for a batch of sources.

        Args:
            context: `(batch, context_units)`.
            memory: `(batch, source_length, memory_units)`, or None without attention.
            memory_mask: bool `(batch, source_length)`, or None without attention.

        Returns:
            The `DecoderMemory` for `step`.
        """
        every_step = context if self._context_every_step else None
        if not self.attention:
            return DecoderMemory(every_step, None)
        if memory is None or memory_mask is None:
            raise ValueError(
                f"A decoder with attention={self.attention!r} needs `memory` and `memory_mask`. "
                f"Received: memory={memory}, memory_mask={memory_mask}"
            )
        attended = Attended(self.attention_layer.keys(memory), memory, memory_mask)
        return DecoderMemory(every_step, attended)

    def prepare_steps(self, source: DecoderMemory, dtype: str = "float32") -> DecoderMemory:
        """Prepare the weights too, for the many steps of a search.

        Args:
            source: what `read` gave.
            dtype: the precision of the products of the recurrent layers and of the logits:
                "float32" or "bfloat16". States, sums and logits are float32 all the same.

        Returns:
            The `DecoderMemory` for `step`, with the weights in it.
        """
        vectors = tf.convert_to_tensor(self.embedding.embeddings)
        stack = self.stack.prepare_steps(vectors, dtype)
        weights = DecoderWeights(stack, tf.cast(self.logits.step_kernel(), dtype))
        return source._replace(weights=weights)

    def initial_state(self, context: tf.Tensor) -> DecoderState:
        """Give the state before the first step, for a context `(batch, context_units)`."""
        rows = tf.shape(context)[0]
        readout = (tf.zeros([rows, self.units], context.dtype),) if self.input_feeding else ()
        layers = self.stack.forward_layers
        if self.bridge is None:
            zeros = tuple(layer.zero_state(rows, context.dtype) for layer in layers)
            return DecoderState(zeros, readout)
        kind = self.recurrent_layer.state_type
        parts = len(kind._fields)
        values = tf.split(self.bridge.call(context), parts * self.num_layers, axis=-1)
        return DecoderState(
            tuple(
                kind(tf.tanh(values[first]), *values[first + 1 : first + parts])
                for first in range(0, len(values), parts)
            ),
            readout,
        )

    def step(
        self,
        token_ids: tf.Tensor,
        state: DecoderState,
        source: DecoderMemory,
        *,
        return_attention: bool = False,
    ) -> tuple[Any, ...]:
        """Take one step for every hypothesis of every source.

        Args:
            token_ids: int32 `(rows,)`, the tokens of the step before (bos at first); rows is a
                multiple of batch, the hypotheses of a source stand together.
            state: the `DecoderState`, each part `(rows, units)`.
            source: what `read` gave, `(batch, ...)`.
            return_attention: whether to give the weights of the attention too.

        Returns:
            The logits, float32 `(rows, vocabulary_size)`, the next state and, where asked for, the
            weights of the attention, float32 `(rows, source_length)`.

        Raises:
            ValueError: if weights are asked for and the decoder has no attention.
        """
        features, state, weights = self._step_features(token_ids, state, source)
        kernel = source.weights.logits_kernel if source.weights else None
        logits = self.logits.call(features, kernel)
        if not return_attention:
            return logits, state
        if weights is None:
            raise ValueError(
                "`return_attention` must be False for a decoder without attention. "
                "Received: return_attention=True, attention=None"
            )
        return logits, state, weights

    def _features(
        self,
        ids: tf.Tensor,
        mask: tf.Tensor,
        state: DecoderState,
        source: DecoderMemory,
        packing: Packing | None,
        training: bool | None,
    ) -> tf.Tensor:
        """Compute what the logits are made of, for all steps together."""
        values = self.embedding.call(ids if packing is None else pack(ids, packing))
        if source.context is not None:
            values = tf.concat([values, at_each_step(source.context, mask, packing)], axis=-1)
        values, _ = self.stack.call(
            values, mask=mask, states=state.layers, packing=packing, training=training
        )
        if source.attended is not None:
            queries = values if packing is None else unpack(values, packing)
            attended, _ = self.attention_layer.call(queries, *source.attended)
            attended = attended if packing is None else pack(attended, packing)
            values = self.readout.call(tf.concat([values, attended], axis=-1))
        return values

    def _features_by_steps(
        self,
        ids: tf.Tensor,
        mask: tf.Tensor,
        state: DecoderState,
        source: DecoderMemory,
        training: bool | None,
    ) -> tf.Tensor:
        """Run `step` over a whole target, all but the logits."""
        shape = tf.shape(ids)
        ids = tf.transpose(ids)
        real = tf.expand_dims(tf.transpose(mask), 2)  # (target_length, batch, 1)
        dtype = state.layers[0].hidden.dtype
        recurrent_masks = self.stack.recurrent_masks(shape[0], dtype, training)

        def step(time: tf.Tensor, state: DecoderState) -> tuple[tf.Tensor, DecoderState]:
            features, new_state, _ = self._step_features(
                ids[time], state, source, recurrent_masks, training
            )
            return features, tf.nest.map_structure(
                lambda after, before: tf.where(real[time], after, before), new_state, state
            )

        return scan_steps(step, state, shape[1], (shape[0], self.units), dtype)[0]

    def _step_features(
        self,
        token_ids: tf.Tensor,
        state: DecoderState,
        source: DecoderMemory,
        recurrent_masks: list[tf.Tensor | None] | None = None,
        training: bool | None = False,
    ) -> tuple[tf.Tensor, DecoderState, tf.Tensor | None]:
        """Compute what the logits are made of, `(rows, units)`, the next state, the attention."""
        weights, projected, parts = None, None, []
        prepared = source.weights.stack if source.weights else None
        if prepared is None or prepared.token_inputs is None:
            parts.append(self.embedding.call(token_ids))
        else:
            projected = tf.gather(prepared.token_inputs, token_ids)
        if source.context is not None:
            parts.append(for_each_hypothesis(source.context, tf.shape(token_ids)[0]))
        if source.attended is not None and self._attends_first:
            last = state.layers[-1].hidden
            attended, weights = self.attention_layer.attend_rows(last, *source.attended)
            parts.append(attended)
        parts.extend(state.readout)
        values, layers = self.stack.step(
            tf.concat(parts, axis=-1) if parts else None,
            state.layers,
            recurrent_masks,
            training,
            weights=prepared,
            projected=projected,
        )
        if source.attended is not None and not self._attends_first:
            attended, weights = self.attention_layer.attend_rows(values, *source.attended)
        if self.attention:
            values = self.readout.call(tf.concat([values, attended], axis=-1))
        return values, DecoderState(layers, (values,) if self.input_feeding else ()), weights

    def _logits(self, values: tf.Tensor, training: bool | None) -> tf.Tensor:
        values = self.dropout_layer.values(values, self.num_layers, training)
        if training and values.dtype != tf.float32:
            # The largest product of a training step has 16-bit operands like the others.
            return self.logits.call(values)
        # called as a layer, not by its `call`, so that the decoder's autocast ends here: the
        # logits are float32 when a model trained in mixed precision is evaluated
        return self.logits(tf.cast(values, tf.float32))
