"""Base class of decoders: P(y_t | y_1 ... y_{t-1}, c), for a whole target or step by step."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.checks import check_bool, check_choice
from keras_s2s.errors import InputError
from keras_s2s.layers.alignment import first_alignment
from keras_s2s.layers.cudnn_recurrence import row_lengths
from keras_s2s.layers.decoder_features import (
    ATTENTION,
    AttentionInputs,
    DecoderMemory,
    DecoderState,
    DecoderWeights,
    attend_copies,
    compute_features,
    compute_features_stepwise,
    compute_step_features,
    encode_copies,
    make_attention,
)
from keras_s2s.layers.dropout import Rates
from keras_s2s.layers.embedding import check_integers
from keras_s2s.layers.output_projection import (
    CopyGate,
    Logits,
    compute_alignments,
    compute_logits,
    sum_alignments,
    sum_alignments_step,
)
from keras_s2s.layers.packed_steps import compute_features_packed_stepwise
from keras_s2s.layers.packing import PackedLogits, PaddedLogits, make_packing, pack
from keras_s2s.layers.products import dense
from keras_s2s.layers.recurrent_part import RecurrentPart
from keras_s2s.special_ids import PAD_ID

_CONTEXT_TO = ("initial_state", "every_step", "both")


class Decoder(RecurrentPart):
    """Base class of `LSTMDecoder` and `GRUDecoder`, which differ only in their recurrent layer.

    Its arguments, call arguments and outputs are those of `LSTMDecoder`.
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
        input_feeding: bool = False,
        tie_output: bool = False,
        copy: bool = False,
        dropout: Rates = 0.0,
        recurrent_dropout: Rates = 0.0,
        word_dropout: float = 0.0,
        residual: bool = False,
        layer_normalization: bool = False,
        trainable_embeddings: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            vocabulary_size,
            units,
            embedding_dim=embedding_dim,
            num_layers=num_layers,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            word_dropout=word_dropout,
            residual=residual,
            layer_normalization=layer_normalization,
            trainable_embeddings=trainable_embeddings,
            **kwargs,
        )
        self.context_to = check_choice("context_to", context_to, _CONTEXT_TO)
        self.attention = check_choice("attention", attention, (None, *ATTENTION))
        self.input_feeding = check_bool("input_feeding", input_feeding)
        self.tie_output = check_bool("tie_output", tie_output)
        self.copy = check_bool("copy", copy)
        _check_compatible(self)
        dtype = self.dtype_policy
        self.bridge = None
        if self.context_to in ("initial_state", "both"):
            size = len(self.recurrent_layer.state_type._fields) * self.num_layers * self.units
            self.bridge = keras.layers.Dense(size, dtype=dtype, name="bridge")
        self.attention_layer = None
        if self.attention:
            self.attention_layer = make_attention(
                self.attention, self.units, dtype=dtype, name="attention"
            )
        # XLA cannot infer the shapes in the gradient of a loop with attention.
        self.supports_jit = not (self.is_stepwise or self.sums_alignments)
        if self.attention and not self.sums_alignments:
            self.readout = keras.layers.Dense(
                self.units, activation="tanh", use_bias=False, dtype=dtype, name="readout"
            )
        self.logits = Logits(
            self.vocabulary_size, self.embedding if self.tie_output else None, name="logits"
        )
        self.copy_gate = CopyGate(name="copy_gate") if self.copy else None
        self._freeze()

    def build(
        self,
        target_inputs_shape: tuple[Any, ...],
        context_shape: tuple[Any, ...],
        memory_shape: tuple[Any, ...] | None = None,
        memory_mask_shape: tuple[Any, ...] | None = None,
        copy_ids_shape: tuple[Any, ...] | None = None,
    ) -> None:
        if self.attention and memory_shape is None:
            raise InputError(
                f"A decoder with attention={self.attention!r} needs `memory` and `memory_mask`. "
                "Received: memory=None"
            )
        attended = memory_shape[-1] if memory_shape and self.attention else 0
        if self.attention == "luong_dot" and attended != self.units:
            raise InputError(
                f"attention='luong_dot' needs a decoder of {attended} units, the size of the "
                "encoder's outputs (twice its `units` if it is bidirectional). For other sizes use "
                f"attention='luong'. Received: units={self.units}"
            )
        if not self.embedding.built:
            self.embedding.build(target_inputs_shape)
        inputs = self.embedding_dim
        inputs += context_shape[-1] if self._context_every_step else 0
        inputs += attended if self.attends_before_step else 0
        inputs += self.units if self.input_feeding else 0
        self.stack.build((None, inputs))
        if self.bridge is not None:
            self.bridge.build(context_shape)
        if self.attention_layer is not None:
            self.attention_layer.build((None, None, self.units), None, memory_shape)
        if self.attention and not self.sums_alignments:
            self.readout.build((None, self.units + attended))
        self.logits.build((None, self.units))
        if self.copy_gate is not None:
            self.copy_gate.build((None, self.units))
        self.built = True

    def call(
        self,
        target_inputs: tf.Tensor,
        context: tf.Tensor,
        memory: tf.Tensor | None = None,
        memory_mask: tf.Tensor | None = None,
        copy_ids: tf.Tensor | None = None,
        packed: bool = False,
        training: bool | None = None,
        cudnn: bool = False,
    ) -> tf.Tensor | PackedLogits | PaddedLogits:
        check_integers("target_inputs", target_inputs)
        target_inputs = tf.cast(target_inputs, tf.int32)
        source = self.read(context, memory, memory_mask, copy_ids)
        state = self.initial_state(context, source)
        mask = tf.not_equal(target_inputs, PAD_ID)
        packing = make_packing(mask) if packed else None
        ids = self.dropout_layer.words(target_inputs, training)
        if self.is_stepwise and packing is not None:
            features, copied = compute_features_packed_stepwise(
                self, ids, packing, state, source, training=training
            )
        elif self.is_stepwise:
            features, copied = compute_features_stepwise(
                self, ids, mask, state, source, training=training
            )
        else:
            lengths = row_lengths(target_inputs) if cudnn else None
            features, copied = compute_features(
                self,
                ids,
                mask,
                state,
                source,
                packing=packing,
                lengths=lengths,
                training=training,
            )
        if packing is not None and copied is not None:
            copied = pack(copied, packing)
        if self.sums_alignments:
            logits = sum_alignments(
                self, features, target_inputs, source, packing, training=training
            )
        else:
            if cudnn:  # compute one product over all positions
                features, copied = _as_rows(features), _as_rows(copied)
            logits = compute_logits(self, features, copied, training=training)
        if cudnn:
            return PaddedLogits(_as_rows(logits), tf.shape(target_inputs))
        return logits if packing is None else PackedLogits(logits, packing)

    def initial_state(
        self, context: tf.Tensor, source: DecoderMemory | None = None
    ) -> DecoderState:
        """Return the state before the first step.

        Args:
            context: Float `(batch, context_units)`.
            source: `DecoderMemory` that `read` returned. Required only with monotonic attention.

        Returns:
            The `DecoderState`.

        Raises:
            ValueError: If the attention is monotonic and `source` is missing.
        """
        rows = tf.shape(context)[0]
        readout = (tf.zeros([rows, self.units], context.dtype),) if self.input_feeding else ()
        alignment: tuple[tf.Tensor, ...] = ()
        if self.sums_alignments:
            if source is None or source.attention_inputs is None:
                raise InputError(
                    "`source` must be the result of `read` with attention='monotonic'. Received: "
                    "source=None"
                )
            source_length = tf.shape(source.attention_inputs.mask)[1]
            alignment = (first_alignment(rows, source_length, self.vocabulary_size),)
        layers = self.stack.forward_layers
        if self.bridge is None:
            zeros = tuple(layer.zero_state(rows, context.dtype) for layer in layers)
            return DecoderState(zeros, readout, alignment)
        kind = self.recurrent_layer.state_type
        parts = len(kind._fields)
        values = tf.split(dense(self.bridge, context), parts * self.num_layers, axis=-1)
        return DecoderState(
            tuple(
                kind(tf.tanh(values[first]), *values[first + 1 : first + parts])
                for first in range(0, len(values), parts)
            ),
            readout,
            alignment,
        )

    def read(
        self,
        context: tf.Tensor,
        memory: tf.Tensor | None,
        memory_mask: tf.Tensor | None,
        copy_ids: tf.Tensor | None = None,
    ) -> DecoderMemory:
        """Prepare the tensors that every step reads, once for a batch of sources.

        Args:
            context: Float `(batch, context_units)`.
            memory: Float `(batch, source_length, memory_units)`. `None` without attention.
            memory_mask: Bool `(batch, source_length)`. `None` without attention.
            copy_ids: Int32 `(batch, source_length)`. Target id of each source token, or -1 if it
                cannot be copied. `None` without `copy`.

        Returns:
            The `DecoderMemory` for `step`.

        Raises:
            ValueError: If the decoder has attention and the memory or its mask is missing, or the
                decoder copies and `copy_ids` is missing.
        """
        every_step = context if self._context_every_step else None
        if self.attention_layer is None:
            return DecoderMemory(every_step, None)
        if memory is None or memory_mask is None:
            raise InputError(
                f"A decoder with attention={self.attention!r} needs `memory` and `memory_mask`. "
                f"Received: memory={memory}, memory_mask={memory_mask}"
            )
        attended = AttentionInputs(self.attention_layer.keys(memory), memory, memory_mask)
        if not self.copy:
            return DecoderMemory(every_step, attended)
        if copy_ids is None:
            raise InputError(
                "A decoder with copy=True needs `copy_ids`, the target id of each source token. "
                "Received: copy_ids=None"
            )
        copied = encode_copies(copy_ids, self.vocabulary_size)
        return DecoderMemory(every_step, attended, copies=copied)

    def prepare_steps(self, source: DecoderMemory, dtype: str = "float32") -> DecoderMemory:
        """Add prepared weights to a `DecoderMemory`, to speed up the many steps of a search.

        Args:
            source: `DecoderMemory` that `read` returned.
            dtype: Precision of the products of the recurrent layers and of the logits: "float32"
                or "bfloat16". States, sums and logits are always float32. Defaults to "float32".

        Returns:
            The `DecoderMemory` with the weights, for `step`.
        """
        vectors = tf.convert_to_tensor(self.embedding.embeddings)
        stack = self.stack.prepare_steps(vectors, dtype)
        weights = DecoderWeights(stack, tf.cast(self.logits.step_kernel(), dtype))
        return source._replace(weights=weights)

    def step(
        self,
        token_ids: tf.Tensor,
        state: DecoderState,
        source: DecoderMemory,
        *,
        return_attention: bool = False,
    ) -> tuple[Any, ...]:
        """Run one step for every hypothesis of every source.

        Args:
            token_ids: Int32 `(rows,)`. Previous tokens, bos at first. `rows` is a multiple of
                `batch`, and the hypotheses of a source are adjacent.
            state: `DecoderState`, each part `(rows, units)`.
            source: `DecoderMemory` that `read` or `prepare_steps` returned, `(batch, ...)`.
            return_attention: Whether to return the attention weights too. Defaults to `False`.

        Returns:
            The logits, float32 `(rows, vocabulary_size)`; the next state; and, if requested, the
            attention weights, float32 `(rows, source_length)`.

        Raises:
            ValueError: If attention is requested and the decoder has none.
        """
        features, state, weights = compute_step_features(self, token_ids, state, source)
        if self.sums_alignments:
            logits, state, weights = sum_alignments_step(self, features, token_ids, state, source)
        else:
            copied = attend_copies(weights, source.copies) if self.copy else None
            kernel = source.weights.logits_kernel if source.weights else None
            logits = compute_logits(self, features, copied, kernel)
        if not return_attention:
            return logits, state
        if weights is None:
            raise InputError(
                "`return_attention` must be False for a decoder without attention. "
                "Received: return_attention=True, attention=None"
            )
        return logits, state, weights

    def align(
        self,
        target_inputs: tf.Tensor,
        target_labels: tf.Tensor,
        context: tf.Tensor,
        source: DecoderMemory,
    ) -> tf.Tensor:
        """Compute the alignment of given targets to their sources. Requires monotonic attention.

        Args:
            target_inputs: Int32 `(batch, target_length)`.
            target_labels: Int32 `(batch, target_length)`.
            context: Float `(batch, context_units)`.
            source: `DecoderMemory` that `read` returned.

        Returns:
            P(a_t = j | y), float32 `(batch, target_length, source_length)`, 0 at the padding.
        """
        state, mask = self.initial_state(context, source), tf.not_equal(target_inputs, PAD_ID)
        features, _ = compute_features(self, target_inputs, mask, state, source)
        return compute_alignments(self, features, target_labels, source)

    def compute_output_shape(
        self, target_inputs_shape: tuple[Any, ...], *args: Any, **kwargs: Any
    ) -> tuple[Any, ...]:
        """Return the shape of the logits."""
        return (*target_inputs_shape, self.vocabulary_size)

    def compute_output_spec(self, target_inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the spec of the logits, which are float32."""
        return keras.KerasTensor(self.compute_output_shape(target_inputs.shape), "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._own_arguments(Decoder)}

    @property
    def attends_before_step(self) -> bool:
        """True if each step attends with the previous state and reads the attended memory."""
        return self.attention_layer is not None and self.attention_layer.attends_before_step

    @property
    def sums_alignments(self) -> bool:
        """True if attention is monotonic: the probability of a target sums over alignments."""
        return self.attention_layer is not None and self.attention_layer.sums_alignments

    @property
    def is_stepwise(self) -> bool:
        """True if a step reads an output of the previous step, so that steps run in a loop."""
        return self.attends_before_step or self.input_feeding

    @property
    def _context_every_step(self) -> bool:
        return self.context_to in ("every_step", "both")


def _check_compatible(decoder: Decoder) -> None:
    """Check that the arguments are compatible with each other."""
    if decoder.input_feeding and decoder.attention in (None, "bahdanau", "monotonic"):
        raise InputError(
            "`input_feeding` feeds the output of Luong attention to the next step, so it needs "
            "attention='luong', 'luong_dot' or 'luong_concat'. Received: input_feeding=True, "
            f"attention={decoder.attention!r}"
        )
    if decoder.copy and not decoder.attention:
        raise InputError(
            "`copy` uses attention weights to copy source tokens, so it needs `attention`. "
            "Received: copy=True, attention=None"
        )
    if decoder.tie_output and decoder.embedding_dim != decoder.units:
        raise InputError(
            "`tie_output` uses the embeddings as the kernel of the logits, so it needs "
            f"embedding_dim == units. Received: embedding_dim={decoder.embedding_dim}, "
            f"units={decoder.units}"
        )


def _as_rows(values: tf.Tensor | None) -> tf.Tensor | None:
    """Flatten `(batch, length, size)` to `(batch * length, size)`. Return rank 2 unchanged."""
    if values is None or values.shape.rank == 2:
        return values
    return tf.reshape(values, [-1, values.shape[-1]])
