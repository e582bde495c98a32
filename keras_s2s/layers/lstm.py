"""LSTM layer, LSTM encoder and LSTM decoder."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.layers.decoder import Decoder
from keras_s2s.layers.encoder import Encoder
from keras_s2s.layers.recurrence import LSTMState, lstm_step
from keras_s2s.layers.recurrent import RecurrentLayer


@keras.saving.register_keras_serializable(package="keras_s2s", name="LSTM")
class MaskedLSTM(RecurrentLayer):
    r"""LSTM layer in one direction, over padded or packed sequences.

    With x the input and h, c the state:

        i = σ(x·W_i + h·R_i + b_i)      f = σ(x·W_f + h·R_f + b_f)
        g = tanh(x·W_g + h·R_g + b_g)   o = σ(x·W_o + h·R_o + b_o)
        c' = f ∘ c + i ∘ g              h' = o ∘ tanh(c')

    The weights are those of `keras.layers.LSTM`: `kernel` (input, 4 * units), `recurrent_kernel`
    (units, 4 * units), `bias` (4 * units,), gates in the order i, f, g, o, forget bias 1.

    On a GPU, `fit` and `evaluate` run the encoder and the decoder with cuDNN. Searches and exports
    use a loop of plain operations that runs on every device. `set_weights` accepts the weights of
    `keras.layers.LSTM`. `set_torch_weights` of an encoder or a decoder accepts those of PyTorch.

    Masking: at padding, the state does not change and the output is zero.

    Args:
        units: Positive integer. Size of the state.
        go_backwards: Whether to read each sequence from its end. Outputs keep the order of the
            inputs. Defaults to `False`.

    Call arguments:
        inputs: Float `(batch, length, input_units)`, or `(tokens, input_units)` with `packing`.
        mask: Bool `(batch, length)`, true at real tokens. Defaults to the mask of the inputs, or
            to all true if they have none.
        state: Initial `LSTMState`. Defaults to zeros.
        packing: `Packing` of `inputs`. `None` means that they are padded.
        recurrent_mask: Float `(batch, units)`. Mask applied to h before the recurrent product, at
            every step. With it, training uses a slower loop, even on a GPU.

    Returns:
        The outputs, `(batch, length, units)` or `(tokens, units)`, and the last `LSTMState`.

    Raises:
        ValueError: If `units` is not a positive integer.

    References:
        - [Long short-term memory (Hochreiter and Schmidhuber, 1997)](
          https://doi.org/10.1162/neco.1997.9.8.1735)
    """

    state_type = LSTMState
    num_gates = 4

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        super().build(inputs_shape)
        self.bias = self.add_weight(shape=(4 * self.units,), initializer=_forget_one, name="bias")
        self.built = True

    def _step_function(self, recurrent_kernel: tf.Tensor) -> Any:
        def step(
            projected: tf.Tensor, state: LSTMState, recurrent_mask: tf.Tensor | None
        ) -> LSTMState:
            return lstm_step(projected, state, recurrent_kernel, recurrent_mask)

        return step

    def _input_bias(self) -> tf.Tensor:
        return tf.convert_to_tensor(self.bias)


# Keras names the weights in a file after the class of their layer. Without this line, files that
# were written when the class was named `LSTM` would not load.
MaskedLSTM.__name__ = "LSTM"


@keras.saving.register_keras_serializable(package="keras_s2s")
class LSTMEncoder(Encoder):
    """Encoder of LSTM layers that computes a state for each source token and a context vector.

    h_t = LSTM(x_t, h_{t-1}), where x_t is the embedding of the t-th id, through any number of
    layers; c = q(h_1, ..., h_T), where q is the argument `context`. For `residual` and
    `layer_normalization`, see `keras_s2s.layers.stack.RecurrentStack`.

    Masking: the mask is `source_ids != 0` and is returned with the memory. Neither padding nor the
    other rows in a batch change the outputs of a row.

    Args:
        vocabulary_size: Positive integer. Number of source ids.
        units: Positive integer. Size of the state of each direction.
        embedding_dim: Positive integer. Size of an embedding. Defaults to `units`.
        num_layers: Positive integer. Number of stacked LSTM layers. Defaults to 1.
        bidirectional: Whether to read in both directions. The memory then has `2 * units` units.
            Defaults to `False`.
        reverse_source: Whether to read the tokens from last to first, and then eos. Not possible
            with `bidirectional`. The memory keeps the order of the source. Defaults to `False`.
        context: q. "last_state": output of the top layer at the last token read (of both
            directions); "mean" or "max" over the positions; "attention_pool": a weighted mean, see
            `AttentionPool`; a Keras layer, called as `q(memory, mask=mask)`; or a function
            `q(memory, mask)` registered with `keras.saving.register_keras_serializable`. Defaults
            to "last_state".
        dropout: Float, or `num_layers + 1` floats. Dropout rate of the inputs of each layer, from
            the bottom up, and of the memory. Defaults to 0.
        recurrent_dropout: Float, or `num_layers` floats. Dropout rate of the recurrent connections.
            The same connections are dropped at all steps. Defaults to 0.
        word_dropout: Float. Probability that unk replaces a token in training. Defaults to 0.
        residual: Whether to add the inputs of each layer but the first to its outputs. Defaults to
            `False`.
        layer_normalization: Whether to normalize the outputs of each layer. Defaults to `False`.
        trainable_embeddings: Whether training changes the embeddings. To set them, use
            `encoder.embedding.set_embeddings(matrix)`. Defaults to `True`.

    Call arguments:
        source_ids: Int32 `(batch, source_length)`, padded with 0 on the right.
        packed: Whether to compute on the real tokens only, as training on a CPU does. The outputs
            are the same.
        training: Whether dropout is on.

    Returns:
        An `EncoderOutput`: `context` (batch, context_units), `memory` (batch, source_length,
        memory_units), `mask` bool (batch, source_length).

    Raises:
        TypeError: If the ids are not integers.
        ValueError: If an argument is out of range, or `context` cannot be saved.

    Example:
        >>> encoder = LSTMEncoder(vocabulary_size=10, units=4, bidirectional=True)
        >>> encoder(tf.constant([[5, 6, 3, 0]])).memory.shape
        TensorShape([1, 4, 8])

    References:
        - [Sequence to sequence learning with neural networks (Sutskever et al., 2014)](
          https://arxiv.org/abs/1409.3215), also for `reverse_source`
        - [Bidirectional recurrent neural networks (Schuster and Paliwal, 1997)](
          https://doi.org/10.1109/78.650093)
    """

    recurrent_layer = MaskedLSTM

    @property
    def forward_lstms(self) -> list[RecurrentLayer]:
        """Forward layers, from the bottom up. Saved files store the weights under this name."""
        return self.stack.forward_layers

    @property
    def backward_lstms(self) -> list[RecurrentLayer]:
        """Backward layers, from the bottom up. Saved files store the weights under this name."""
        return self.stack.backward_layers


@keras.saving.register_keras_serializable(package="keras_s2s")
class LSTMDecoder(Decoder):
    """Decoder of LSTM layers that computes the logits of each next target token.

    Step t reads the embedding y_{t-1} of the previous token and the context vector c of the source:

        s_t = LSTM([y_{t-1}; c], s_{t-1})
        logits_t = W·r(s_t)

    Without attention, r(s_t) = s_t. With attention, r(s_t) = tanh(V·[s_t; a_t]), where a_t is the
    mean of the memory, weighted by the attention; "monotonic" differs, see below. Luong's attention
    uses s_t as its query. Bahdanau's uses s_{t-1}, and a_t is also an input of step t. With
    `input_feeding`, r(s_{t-1}) is also an input of step t, zeros in the first step. For `residual`
    and `layer_normalization`, see `keras_s2s.layers.stack.RecurrentStack`.

    `call` computes the logits of a whole target (teacher forcing), and `step` those of one token,
    for a search. Both return the same numbers.

    Masking: `memory_mask` defaults to the Keras mask attached to `memory`. At padding of the
    target, the state does not change.

    Args:
        vocabulary_size: Positive integer. Number of target ids.
        units: Positive integer. Size of the state.
        embedding_dim: Positive integer. Size of an embedding. Defaults to `units`.
        num_layers: Positive integer. Number of stacked LSTM layers. Defaults to 1.
        context_to: Where c is used: "initial_state" (through one dense layer), "every_step"
            (concatenated with the embedding), or "both". Defaults to "initial_state".
        attention: `None`; Luong's with the score sᵀ·W·h ("luong"), sᵀ·h ("luong_dot", which needs
            a memory of `units` units) or vᵀ·tanh(W·[s; h]) ("luong_concat"); "bahdanau"; or
            "monotonic", which sums over all monotonic alignments (see
            `keras_s2s.layers.monotonic_attention.MonotonicAttention`). Defaults to `None`.
        input_feeding: Whether r(s_t) is also an input of the next step. Requires Luong's attention.
            The steps of a target are then computed one by one, even in training.
            Defaults to `False`.
        copy: Whether to mix generated tokens with tokens copied from the source, weighted by the
            attention (a pointer-generator, see `keras_s2s.layers.output_projection.CopyGate`).
            Requires attention. The logits are then log probabilities, as with "monotonic". Defaults
            to `False`.
        tie_output: Whether the embeddings are also the kernel of the logits, W = E. Requires
            `embedding_dim == units`. Defaults to `False`.
        dropout: Float, or `num_layers + 1` floats. Dropout rate of the inputs of each layer, from
            the bottom up, and of the inputs of the logits. Defaults to 0.
        recurrent_dropout: Float, or `num_layers` floats. Dropout rate of the recurrent connections.
            The same connections are dropped at all steps. Defaults to 0.
        word_dropout: Float. Probability that unk replaces an input token in training.
            Defaults to 0.
        residual: Whether to add the inputs of each layer but the first to its outputs. Defaults to
            `False`.
        layer_normalization: Whether to normalize the outputs of each layer. Defaults to `False`.
        trainable_embeddings: Whether training changes the embeddings. To set them, use
            `decoder.embedding.set_embeddings(matrix)`. Defaults to `True`.

    Call arguments:
        target_inputs: Int32 `(batch, target_length)`: bos, then the target without its eos.
        context: Float `(batch, context_units)`.
        memory: Float `(batch, source_length, memory_units)`. Required with attention.
        memory_mask: Bool `(batch, source_length)`, true at real tokens. Required with attention.
        copy_ids: Int32 `(batch, source_length)`. Target id that each source token copies, or -1 if
            it cannot be copied. Required with `copy`.
        packed: Whether to compute on the real tokens only, as training on a CPU does, and to
            return only their logits.
        training: Whether dropout is on.

    Returns:
        The logits, float32 `(batch, target_length, vocabulary_size)`; with `packed`, the
        `PackedLogits`.

    Raises:
        TypeError: If the ids are not integers.
        ValueError: If an argument is out of range or incompatible with another, or `memory`,
            `memory_mask` or `copy_ids` is required and missing.

    Example:
        >>> decoder = LSTMDecoder(vocabulary_size=10, units=4)
        >>> decoder(tf.constant([[2, 5, 6]]), tf.zeros([1, 8])).shape
        TensorShape([1, 3, 10])

    References:
        - [Sequence to sequence learning with neural networks (Sutskever et al., 2014)](
          https://arxiv.org/abs/1409.3215)
        - [Learning phrase representations using RNN encoder-decoder (Cho et al., 2014)](
          https://arxiv.org/abs/1406.1078), for the context at every step
        - [Effective approaches to attention-based neural machine translation
          (Luong et al., 2015)](https://arxiv.org/abs/1508.04025), for input feeding
        - [Using the output embedding to improve language models (Press and Wolf, 2017)](
          https://arxiv.org/abs/1608.05859), for `tie_output`
    """

    recurrent_layer = MaskedLSTM

    @property
    def lstms(self) -> list[RecurrentLayer]:
        """Layers from the bottom up. Saved files store the weights under this name."""
        return self.stack.forward_layers


def _forget_one(shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
    """Return zeros, with ones for the forget gate, so that a new cell keeps its state."""
    units = shape[0] // 4
    zeros, ones = tf.zeros([units], dtype), tf.ones([units], dtype)
    return tf.concat([zeros, ones, zeros, zeros], axis=0)
