"""LSTM layers: one of them, and the encoder and the decoder that are made of them."""

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
    r"""One LSTM layer, read in one direction, over padded or packed sequences.

    With x the input and h, c the state:

        i = σ(x·W_i + h·R_i + b_i)      f = σ(x·W_f + h·R_f + b_f)
        g = tanh(x·W_g + h·R_g + b_g)   o = σ(x·W_o + h·R_o + b_o)
        c' = f ∘ c + i ∘ g              h' = o ∘ tanh(c')

    The weights are those of `keras.layers.LSTM`: `kernel` (input, 4 * units), `recurrent_kernel`
    (units, 4 * units), `bias` (4 * units,), gates in the order i, f, g, o, forget bias 1.

    Where a GPU is there, packed sequences, which are those of training, are computed by cuDNN.
    Padded ones, those of a search and of every export, are products and element-wise operations in
    a loop on every device, so that what a GPU traced runs on a CPU. Other weights fit: those of
    `keras.layers.LSTM` by `set_weights`, those of PyTorch by `set_torch_weights` of the encoder or
    decoder.

    Masking: at the padding the state passes unchanged and the output is zero.

    Args:
        units: size of the state.
        go_backwards: read each sequence from its end. The outputs stay where their inputs are.

    Call arguments:
        inputs: float `(batch, length, input_units)`, or `(tokens, input_units)` with `packing`.
        mask: bool `(batch, length)`, true at real tokens; by default that of the inputs, or all
            true where they have none.
        state: the `LSTMState` to begin with; zeros by default.
        packing: the plan by which `inputs` were packed.
        recurrent_mask: float `(batch, units)`; what the products read of h is multiplied with it
            at every step. Packed, it takes a slower loop than without, also on a GPU.

    Returns:
        The outputs, `(batch, length, units)` or `(tokens, units)`, and the last `LSTMState`.

    Raises:
        ValueError: if `units` is not a positive integer.

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

    def _biases(self) -> tf.Tensor:
        bias = self._input_bias()
        return tf.stack([bias, tf.zeros_like(bias)])


# Keras names the weights in a file by the class of their layer: without this, files that were
# written when the class was named `LSTM` would not load.
MaskedLSTM.__name__ = "LSTM"


@keras.saving.register_keras_serializable(package="keras_s2s")
class LSTMEncoder(Encoder):
    """Reads a source and gives all its states and one context vector.

    h_t = LSTM(x_t, h_{t-1}) with x_t the embedding of the t-th id, through any number of layers;
    c = q(h_1, ..., h_T) with q the user's choice. How layers are joined with `residual` and
    `layer_normalization`: see `keras_s2s.layers.stack.RecurrentStack`.

    Masking: the mask is `source_ids != 0` and is given out with the memory. Neither the padding
    nor the other rows of a batch change a row's answer.

    Args:
        vocabulary_size: how many source ids there are.
        units: size of the state, of each direction.
        embedding_dim: size of an embedding; `units` by default.
        num_layers: how many LSTM layers stand on one another.
        bidirectional: read in both directions; the memory then has `2 * units` values.
        reverse_source: read the tokens from the last to the first and then eos, in one direction.
            The memory stays in the order of the source.
        context: q. "last_state": what the top layer gives at the last token read (of both
            directions); "mean", "max": over the positions; "attention_pool": a weighted mean, see
            `AttentionPool`; a Keras layer called as `q(memory, mask=mask)`; or a function
            `q(memory, mask)` registered with `keras.saving.register_keras_serializable`.
        dropout: rate at which the inputs of each layer and the memory are dropped in training; or
            `num_layers + 1` rates, for the inputs of each layer from the bottom up, and the memory.
        recurrent_dropout: rate at which the connections from step to step are dropped in training,
            the same ones at all steps of a sequence; or `num_layers` rates.
        word_dropout: rate at which a token becomes unk in training.
        residual: add the inputs of each layer but the first to its outputs.
        layer_normalization: normalise what each layer gives out.
        trainable_embeddings: whether training changes the embeddings; they can be given by
            `encoder.embedding.set_embeddings(matrix)`.

    Call arguments:
        source_ids: int32 `(batch, source_length)`, padded with 0 on the right.
        copy_ids: int32 `(batch, source_length)`, the target id of each source token, -1 where it
            cannot be copied; needed with `copy`.
        packed: compute on the real tokens only, as training on a CPU does. The answer is the same.
        training: whether dropout is on.

    Returns:
        An `EncoderOutput`: `context` (batch, context_units), `memory` (batch, source_length,
        memory_units), `mask` bool (batch, source_length).

    Raises:
        ValueError: if an argument is out of its range, or `context` could not be saved.

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
        """The layers that read forwards, from the bottom up; a file has their weights here."""
        return self.stack.forward_layers

    @property
    def backward_lstms(self) -> list[RecurrentLayer]:
        """The layers that read backwards, from the bottom up; a file has their weights here."""
        return self.stack.backward_layers


@keras.saving.register_keras_serializable(package="keras_s2s")
class LSTMDecoder(Decoder):
    """Gives the logits of each next target token, from the tokens before it and the context.

    s_t = LSTM([y_{t-1}; c], s_{t-1}), logits_t = W·r(s_t). Without attention r is the identity.
    With attention a_t, r(s_t) = tanh(V·[s_t; a_t]); Luong's looks with s_t, after the step;
    "bahdanau" looks with s_{t-1}, and a_t is an input of the step too. With `input_feeding` the
    r(s_{t-1}) of the step before, zeros at first, is an input of the step. How layers are joined
    with `residual` and `layer_normalization`: see
    `keras_s2s.layers.stack.RecurrentStack`.

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
        attention: None; Luong's with the score sᵀ·W·h ("luong"), sᵀ·h ("luong_dot", which needs
            a memory of `units` values) or vᵀ·tanh(W·[s; h]) ("luong_concat"); "bahdanau"; or
            "monotonic", which sums over all monotonic alignments (see
            `keras_s2s.layers.monotonic_attention.MonotonicAttention`).
        input_feeding: feed what Luong's attention gave to the next step. The steps of a target
            are then computed one by one in training too.
        copy: Mix what is generated with the source's own tokens, weighted by the attention (a
            pointer-generator, see `keras_s2s.layers.copying.CopyGate`); needs an attention. The
            logits are then log probabilities, as they are with "monotonic".
        tie_output: make the embeddings the kernel of the logits, W = E; needs
            `embedding_dim == units`.
        dropout: rate at which the inputs of each layer and of the logits are dropped in training;
            or `num_layers + 1` rates, for the inputs of each layer from the bottom up, and of the
            logits.
        recurrent_dropout: rate at which the connections from step to step are dropped in training,
            the same ones at all steps of a sequence; or `num_layers` rates.
        word_dropout: rate at which an input token becomes unk in training.
        residual: add the inputs of each layer but the first to its outputs.
        layer_normalization: normalise what each layer gives out.
        trainable_embeddings: whether training changes the embeddings; they can be given by
            `decoder.embedding.set_embeddings(matrix)`.

    Call arguments:
        target_inputs: int32 `(batch, target_length)`: bos, then the target without its eos.
        context: float `(batch, context_units)`.
        memory: float `(batch, source_length, memory_units)`; needed with attention.
        memory_mask: bool `(batch, source_length)`, true at real tokens; needed with attention.
        packed: compute on the real tokens only, as training on a CPU does, and give the logits of
            these alone. Those at the padding mean nothing.
        training: whether dropout is on.

    Returns:
        The logits, float32 `(batch, target_length, vocabulary_size)`; with `packed` the
        `PackedLogits`.

    Raises:
        ValueError: if an argument is out of its range or does not go with another, or attention
            gets no memory.

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
        """The layers from the bottom up; a file has their weights here."""
        return self.stack.forward_layers


def _forget_one(shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
    """Zeros, but ones for the forget gate, so that a new cell remembers."""
    units = shape[0] // 4
    zeros, ones = tf.zeros([units], dtype), tf.ones([units], dtype)
    return tf.concat([zeros, ones, zeros, zeros], axis=0)
