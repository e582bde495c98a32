"""What a decoder consists of: its arguments and its layers."""

from __future__ import annotations

from typing import Any

import keras

from keras_s2s.checks import check_choice
from keras_s2s.layers.attention import ATTENTION, make_attention
from keras_s2s.layers.logits import Logits
from keras_s2s.layers.recurrent_part import RecurrentPart
from keras_s2s.layers.sequence_dropout import Rates


class DecoderParts(RecurrentPart):
    """The arguments of a decoder, checked, and the layers that they ask for."""

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
        self.context_to = check_choice(
            "context_to", context_to, ("initial_state", "every_step", "both")
        )
        self.attention = check_choice("attention", attention, (None, *ATTENTION))
        self.input_feeding = bool(input_feeding)
        self.tie_output = bool(tie_output)
        self._check_together()
        # XLA does not know the shapes in the gradient of a loop that attends
        self.supports_jit = not self._by_steps
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
        if not self.embedding.built:
            self.embedding.build(target_inputs_shape)
        inputs = self.embedding_dim
        inputs += context_shape[-1] if self._context_every_step else 0
        inputs += attended if self._attends_first else 0
        inputs += self.units if self.input_feeding else 0
        self.stack.build((None, inputs))
        if self.bridge is not None:
            self.bridge.build(context_shape)
        if self.attention:
            self.attention_layer.build((None, None, self.units), None, memory_shape)
            self.readout.build((None, self.units + attended))
        self.logits.build((None, self.units))
        self.built = True

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "context_to": self.context_to,
            "attention": self.attention,
            "input_feeding": self.input_feeding,
            "tie_output": self.tie_output,
        }

    @property
    def _context_every_step(self) -> bool:
        return self.context_to in ("every_step", "both")

    @property
    def _attends_first(self) -> bool:
        """Whether a step attends with the state before it, and reads what it found."""
        return self.attention == "bahdanau"

    @property
    def _by_steps(self) -> bool:
        """Whether a step's input depends on the step before it, so that steps cannot be merged."""
        return self._attends_first or self.input_feeding

    def _check_together(self) -> None:
        """Refuse arguments that do not go together."""
        if self.input_feeding and (not self.attention or self._attends_first):
            raise ValueError(
                "`input_feeding` feeds what Luong's attention gave to the next step, so it needs "
                "attention='luong', 'luong_dot' or 'luong_concat'. Received: input_feeding=True, "
                f"attention={self.attention!r}"
            )
        if self.tie_output and self.embedding_dim != self.units:
            raise ValueError(
                "`tie_output` makes the embeddings the kernel of the logits, so it needs "
                f"embedding_dim == units. Received: embedding_dim={self.embedding_dim}, "
                f"units={self.units}"
            )

    def _make_sublayers(self) -> None:
        dtype = self.dtype_policy
        self.bridge = None
        if self.context_to in ("initial_state", "both"):
            state_parts = len(self.recurrent_layer.state_type._fields)
            self.bridge = keras.layers.Dense(
                state_parts * self.num_layers * self.units, dtype=dtype, name="bridge"
            )
        if self.attention:
            self.attention_layer = make_attention(
                self.attention, self.units, dtype=dtype, name="attention"
            )
            self.readout = keras.layers.Dense(
                self.units, activation="tanh", use_bias=False, dtype=dtype, name="readout"
            )
        self.logits = Logits(
            self.vocabulary_size, self.embedding if self.tie_output else None, name="logits"
        )
