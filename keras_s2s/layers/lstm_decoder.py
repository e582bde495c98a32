"""The decoder that is made of LSTM layers."""

from __future__ import annotations

import keras

from keras_s2s.layers.decoder import Decoder
from keras_s2s.layers.lstm import LSTM
from keras_s2s.layers.recurrent_layer import RecurrentLayer


@keras.saving.register_keras_serializable(package="keras_s2s")
class LSTMDecoder(Decoder):
    """Gives the logits of each next target token, from the tokens before it and the context.

    s_t = LSTM([y_{t-1}; c], s_{t-1}), logits_t = W·r(s_t). Without attention r is the identity.
    With attention a_t, r(s_t) = tanh(V·[s_t; a_t]); Luong's looks with s_t, after the step;
    "bahdanau" looks with s_{t-1}, and a_t is an input of the step too. With `input_feeding` the
    r(s_{t-1}) of the step before, zeros at first, is an input of the step. How layers are joined
    with `residual` and `layer_normalization`: see
    `keras_s2s.layers.recurrent_stack.RecurrentStack`.

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
            a memory of `units` values) or vᵀ·tanh(W·[s; h]) ("luong_concat"); or "bahdanau".
        input_feeding: feed what Luong's attention gave to the next step. The steps of a target
            are then computed one by one in training too.
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

    recurrent_layer = LSTM

    @property
    def lstms(self) -> list[RecurrentLayer]:
        """The layers from the bottom up; a file has their weights here."""
        return self.stack.forward_layers
