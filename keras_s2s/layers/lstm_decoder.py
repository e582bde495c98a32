"""The decoder: P(y_t | y_1 ... y_{t-1}, c), a whole target at once or step by step."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.checks import check_choice, check_number, check_positive_int
from keras_s2s.layers.attention import BahdanauAttention, LuongAttention
from keras_s2s.layers.decoder_memory import (
    Attended,
    DecoderMemory,
    DecoderState,
    at_each_step,
    for_each_hypothesis,
)
from keras_s2s.layers.lstm import LSTM
from keras_s2s.layers.packing import make_packing, pack, unpack
from keras_s2s.layers.recurrence import LSTMState, scan_steps
from keras_s2s.layers.token_embedding import TokenEmbedding
from keras_s2s.special_ids import PAD_ID

_ATTENTION = {"luong": LuongAttention, "bahdanau": BahdanauAttention}


@keras.saving.register_keras_serializable(package="keras_s2s")
class LSTMDecoder(keras.layers.Layer):
    """Gives the logits of each next target token, from the tokens before it and the context.

    s_t = LSTM([y_{t-1}; c], s_{t-1}), logits_t = W·r(s_t). Without attention r is the identity.
    With attention a_t, r(s_t) = tanh(V·[s_t; a_t]); "luong" looks with s_t, after the step;
    "bahdanau" looks with s_{t-1}, and a_t is an input of the step too.

    `call` (a whole target, teacher forcing) and `step` (one token, for search) are the same
    computation.

    Masking: the mask of the memory is an argument. Steps whose input is padding keep the state.

    Args:
        vocabulary_size: how many target ids there are.
        units: size of the state.
        embedding_dim: size of an embedding; `units` by default.
        num_layers: how many LSTM layers stand on one another.
        context_to: where c goes: "initial_state" (through one dense layer), "every_step" (beside
            the embedding), or "both".
        attention: None, "luong" or "bahdanau".
        dropout: rate at which the inputs of each layer and of the logits are dropped in training.

    Call arguments:
        target_inputs: int32 `(batch, target_length)`: bos, then the target without its eos.
        context: float `(batch, context_units)`.
        memory: float `(batch, source_length, memory_units)`; needed with attention.
        memory_mask: bool `(batch, source_length)`, true at real tokens; needed with attention.
        packed: compute on the real tokens only, as training on a CPU does. The logits at the real
            tokens are the same; those at the padding mean nothing, packed or not.
        training: whether dropout is on.

    Returns:
        The logits, float32 `(batch, target_length, vocabulary_size)`.

    Raises:
        ValueError: if an argument is out of its range, or attention gets no memory.

    Example:
        >>> decoder = LSTMDecoder(vocabulary_size=10, units=4)
        >>> decoder(tf.constant([[2, 5, 6]]), tf.zeros([1, 8])).shape
        TensorShape([1, 3, 10])

    References:
        - [Sequence to sequence learning with neural networks (Sutskever et al., 2014)](
          https://arxiv.org/abs/1409.3215)
        - [Learning phrase representations using RNN encoder-decoder (Cho et al., 2014)](
          https://arxiv.org/abs/1406.1078), for the context at every step
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        *,
        embedding_dim: int | None = None,
        num_layers: int = 1,
        context_to: str = "initial_state",
        attention: str | None = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = check_positive_int("vocabulary_size", vocabulary_size)
        self.units = check_positive_int("units", units)
        self.embedding_dim = check_positive_int(
            "embedding_dim", units if embedding_dim is None else embedding_dim
        )
        self.num_layers = check_positive_int("num_layers", num_layers)
        self.context_to = check_choice(
            "context_to", context_to, ("initial_state", "every_step", "both")
        )
        self.attention = check_choice("attention", attention, (None, *_ATTENTION))
        self.dropout = check_number("dropout", dropout, minimum=0.0, maximum=1.0)
        # XLA does not know the shapes in the gradient of a loop that attends
        self.supports_jit = not self._attends_first
        self._make_sublayers()

    def build(
        self,
        target_inputs_shape: tuple[Any, ...],
        context_shape: tuple[Any, ...],
        memory_shape: tuple[Any, ...] | None = None,
        memory_mask_shape: tuple[Any, ...] | None = None,
    ) -> None:
        if self.attention and memory_shape is None:
            raise ValueError(
                f"A decoder with attention={self.attention!r} needs `memory` and `memory_mask`. "
                "Received: memory=None"
            )
        attended = memory_shape[-1] if memory_shape and self.attention else 0
        self.embedding.build(target_inputs_shape)
        inputs = self.embedding_dim
        inputs += context_shape[-1] if self._context_every_step else 0
        inputs += attended if self._attends_first else 0
        for lstm in self.lstms:
            lstm.build((None, inputs))
            inputs = self.units
        if self.bridge is not None:
            self.bridge.build(context_shape)
        if self.attention:
            self.attention_layer.build((None, None, self.units), None, memory_shape)
            self.readout.build((None, self.units + attended))
        self.logits.build((None, self.units))
        self.built = True

    def call(
        self,
        target_inputs: tf.Tensor,
        context: tf.Tensor,
        memory: tf.Tensor | None = None,
        memory_mask: tf.Tensor | None = None,
        packed: bool = False,
        training: bool | None = None,
    ) -> tf.Tensor:
        state = self.initial_state(context)
        source = self.read(context, memory, memory_mask)
        mask = tf.not_equal(target_inputs, PAD_ID)
        if self._attends_first:
            return self._call_by_steps(target_inputs, mask, state, source, training)
        packing = make_packing(mask) if packed else None
        ids = target_inputs if packing is None else pack(target_inputs, packing)
        values = self.embedding.call(ids)
        if source.context is not None:
            values = tf.concat([values, at_each_step(source.context, mask, packing)], axis=-1)
        for lstm, layer_state in zip(self.lstms, state.layers, strict=True):
            values = self.dropout_layer.call(values, training=training)
            values, _ = lstm.call(values, mask=mask, state=layer_state, packing=packing)
        if source.attended is not None:
            queries = values if packing is None else unpack(values, packing)
            attended, _ = self.attention_layer.call(queries, *source.attended)
            attended = attended if packing is None else pack(attended, packing)
            values = self.readout.call(tf.concat([values, attended], axis=-1))
        logits = self._logits(values, training)
        return logits if packing is None else unpack(logits, packing)

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

    def initial_state(self, context: tf.Tensor) -> DecoderState:
        """Give the state before the first step, for a context `(batch, context_units)`."""
        if self.bridge is None:
            rows = tf.shape(context)[0]
            return DecoderState(tuple(lstm.zero_state(rows, context.dtype) for lstm in self.lstms))
        parts = tf.split(self.bridge.call(context), 2 * self.num_layers, axis=-1)
        return DecoderState(
            tuple(
                LSTMState(tf.tanh(hidden), cell)
                for hidden, cell in zip(parts[::2], parts[1::2], strict=True)
            )
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
        features, state, weights = self._step_features(token_ids, state, source, training=False)
        logits = self._logits(features, training=False)
        if not return_attention:
            return logits, state
        if weights is None:
            raise ValueError(
                "`return_attention` must be False for a decoder without attention. "
                "Received: return_attention=True, attention=None"
            )
        return logits, state, weights

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "units": self.units,
            "embedding_dim": self.embedding_dim,
            "num_layers": self.num_layers,
            "context_to": self.context_to,
            "attention": self.attention,
            "dropout": self.dropout,
        }

    @property
    def _context_every_step(self) -> bool:
        return self.context_to in ("every_step", "both")

    @property
    def _attends_first(self) -> bool:
        """Whether a step's input depends on the state before it, so that steps cannot be merged."""
        return self.attention == "bahdanau"

    def _make_sublayers(self) -> None:
        dtype = self.dtype_policy
        self.embedding = TokenEmbedding(
            self.vocabulary_size, self.embedding_dim, dtype=dtype, name="embedding"
        )
        self.dropout_layer = keras.layers.Dropout(self.dropout, dtype=dtype, name="dropout")
        self.lstms = [
            LSTM(self.units, dtype=dtype, name=f"lstm_{number}")
            for number in range(self.num_layers)
        ]
        self.bridge = None
        if self.context_to in ("initial_state", "both"):
            self.bridge = keras.layers.Dense(
                2 * self.num_layers * self.units, dtype=dtype, name="bridge"
            )
        if self.attention:
            attention = _ATTENTION[self.attention]
            self.attention_layer = attention(self.units, dtype=dtype, name="attention")
            self.readout = keras.layers.Dense(
                self.units, activation="tanh", use_bias=False, dtype=dtype, name="readout"
            )
        self.logits = keras.layers.Dense(self.vocabulary_size, dtype="float32", name="logits")

    def _call_by_steps(
        self,
        target_inputs: tf.Tensor,
        mask: tf.Tensor,
        state: DecoderState,
        source: DecoderMemory,
        training: bool | None,
    ) -> tf.Tensor:
        """Run `step` over a whole target, all but the logits, which are one product at the end."""
        ids = tf.transpose(target_inputs)
        real = tf.expand_dims(tf.transpose(mask), 2)  # (target_length, batch, 1)

        def step(time: tf.Tensor, state: DecoderState) -> tuple[tf.Tensor, DecoderState]:
            features, new_state, _ = self._step_features(ids[time], state, source, training)
            return features, tf.nest.map_structure(
                lambda after, before: tf.where(real[time], after, before), new_state, state
            )

        shape = tf.shape(target_inputs)
        dtype = state.layers[0].hidden.dtype
        features, _ = scan_steps(step, state, shape[1], (shape[0], self.units), dtype)
        return self._logits(features, training)

    def _step_features(
        self,
        token_ids: tf.Tensor,
        state: DecoderState,
        source: DecoderMemory,
        training: bool | None,
    ) -> tuple[tf.Tensor, DecoderState, tf.Tensor | None]:
        """Compute what the logits are made of, `(rows, units)`, the next state, the attention."""
        weights = None
        values = self.embedding.call(token_ids)
        parts = [values]
        if source.context is not None:
            parts.append(for_each_hypothesis(source.context, tf.shape(token_ids)[0]))
        if source.attended is not None and self._attends_first:
            last = state.layers[-1].hidden
            attended, weights = self.attention_layer.attend_rows(last, *source.attended)
            parts.append(attended)
        values = tf.concat(parts, axis=-1)
        layers = []
        for lstm, layer_state in zip(self.lstms, state.layers, strict=True):
            values = self.dropout_layer.call(values, training=training)
            layers.append(lstm.step(values, layer_state))
            values = layers[-1].hidden
        if source.attended is not None and not self._attends_first:
            attended, weights = self.attention_layer.attend_rows(values, *source.attended)
        if self.attention:
            values = self.readout.call(tf.concat([values, attended], axis=-1))
        return values, DecoderState(tuple(layers)), weights

    def _logits(self, values: tf.Tensor, training: bool | None) -> tf.Tensor:
        values = self.dropout_layer.call(values, training=training)
        # called as a layer, not by its `call`, so that the decoder's autocast ends here: the
        # logits are float32 under mixed precision, their kernel included
        return self.logits(tf.cast(values, tf.float32))
