"""The encoder that is made of LSTM layers."""

from __future__ import annotations

import keras

from keras_s2s.layers.encoder import Encoder
from keras_s2s.layers.lstm import LSTM
from keras_s2s.layers.recurrent_layer import RecurrentLayer


@keras.saving.register_keras_serializable(package="keras_s2s")
class LSTMEncoder(Encoder):
    """Reads a source and gives all its states and one context vector.

    h_t = LSTM(x_t, h_{t-1}) with x_t the embedding of the t-th id, through any number of layers;
    c = q(h_1, ..., h_T) with q the user's choice. How layers are joined with `residual` and
    `layer_normalization`: see `keras_s2s.layers.recurrent_stack.RecurrentStack`.

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

    recurrent_layer = LSTM

    @property
    def forward_lstms(self) -> list[RecurrentLayer]:
        """The layers that read forwards, from the bottom up; a file has their weights here."""
        return self.stack.forward_layers

    @property
    def backward_lstms(self) -> list[RecurrentLayer]:
        """The layers that read backwards, from the bottom up; a file has their weights here."""
        return self.stack.backward_layers
