"""The encoder-decoder model: trained by `fit`, searched in the graph."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.layers import Decoder, Encoder
from keras_s2s.layers.packing import PackedLogits
from keras_s2s.layers.precision import compute
from keras_s2s.models.searchable import Searchable, SearchStart
from keras_s2s.models.teacher_forcing import shift_right
from keras_s2s.models.trainer import Trainer
from keras_s2s.special_ids import BOS_ID


@keras.saving.register_keras_serializable(package="keras_s2s")
class Seq2Seq(Trainer, Searchable):
    """An encoder and a decoder that are trained together to give log P(y | x).

    Trained with `fit` by teacher forcing: the label of the step before is the input of the next.
    The model has its weights from the beginning, because its parts know all their sizes.

    Training computes embeddings, recurrent layers, logits and loss on the real tokens only (see
    `keras_s2s.layers.packing`), whatever the padding is; attention weighs the padded batch, and a
    decoder with "bahdanau" attention or input feeding is computed padded, step by step. With
    `jit_compile=True`, which needs fixed shapes, all of it is; there a decoder of the latter kinds
    cannot be compiled: Keras warns and goes on without. On a GPU training computes the recurrent
    layers by cuDNN; what is searched and exported does not, so that it runs anywhere.

    Args:
        encoder: an `LSTMEncoder` or a `GRUEncoder`.
        decoder: an `LSTMDecoder` or a `GRUDecoder`.
        share_embeddings: whether the decoder uses the embedding of the encoder, where both sides
            have one vocabulary.

    Call arguments:
        inputs: dict of "source_ids" int32 `(batch, source_length)`, which end in eos, and
            "target_inputs" int32 `(batch, target_length)`, which begin with bos; padded with 0.
        packed: compute on the real tokens only and give the logits of these alone, as `fit` does.
        training: whether dropout is on.

    Returns:
        The logits, float32 `(batch, target_length, target_vocabulary_size)`; with `packed` the
        `PackedLogits`.

    Raises:
        TypeError: if the parts are not an encoder and a decoder.
        ValueError: if embeddings are to be shared that differ in size, or are built already.

    Example:
        >>> model = Seq2Seq(LSTMEncoder(10, 4), LSTMDecoder(12, 4, attention="luong"))
        >>> model.compile("adam", loss=SequenceLoss())
        >>> model.search(tf.constant([[5, 6, 3]]), GreedySearch(max_length=4)).ids.shape[:2]
        TensorShape([1, 1])

    References:
        - [Sequence to sequence learning with neural networks (Sutskever et al., 2014)](
          https://arxiv.org/abs/1409.3215)
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        *,
        share_embeddings: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, part, expected in (("encoder", encoder, Encoder), ("decoder", decoder, Decoder)):
            if not isinstance(part, expected):
                kind = expected.__name__
                raise TypeError(
                    f"`{name}` must be an `LSTM{kind}` or a `GRU{kind}`. "
                    f"Received: {name}={part!r} (type {type(part)})"
                )
        self.encoder = encoder
        self.decoder = decoder
        self.share_embeddings = bool(share_embeddings)
        if self.share_embeddings:
            decoder.embedding.share(encoder.embedding)
        self.build()

    def build(self, input_shape: Any = None) -> None:
        if not self.encoder.built:
            self.encoder.build((None, None))
        if not self.decoder.built:
            self.decoder.build(
                (None, None),
                (None, self.encoder.context_units),
                (None, None, self.encoder.memory_units),
                (None, None),
            )
        self.built = True

    def call(
        self, inputs: dict[str, tf.Tensor], packed: bool = False, training: bool | None = None
    ) -> tf.Tensor | PackedLogits:
        encoded = self.encoder(inputs["source_ids"], packed=packed, training=training)
        return self.decoder(
            inputs["target_inputs"],
            encoded.context,
            encoded.memory,
            encoded.mask,
            packed=packed,
            training=training,
        )

    def members(self) -> tuple[Seq2Seq, ...]:
        return (self,)

    # `compute`: a model that was trained in mixed precision searches and scores in float32
    def begin_search(
        self, source_ids: tf.Tensor, *, return_attention: bool, weights_dtype: str = "float32"
    ) -> SearchStart:
        encoded = compute(self.encoder, source_ids)
        source = self.decoder.prepare_steps(self.decoder.read(*encoded), weights_dtype)
        return SearchStart(
            lambda token_ids, state: self.decoder.step(
                token_ids, state, source, return_attention=return_attention
            ),
            self.decoder.initial_state(encoded.context),
            tf.reduce_sum(tf.cast(encoded.mask, tf.int32), axis=1),
        )

    def target_logits(self, source_ids: tf.Tensor, target_ids: tf.Tensor) -> tf.Tensor:
        encoded = compute(self.encoder, source_ids)
        return compute(self.decoder, shift_right(target_ids, BOS_ID), *encoded)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "share_embeddings": self.share_embeddings,
        }

    def __repr__(self) -> str:
        shared = ", share_embeddings=True" if self.share_embeddings else ""
        return f"Seq2Seq({self.encoder!r}, {self.decoder!r}{shared})"

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Seq2Seq:
        """Make the model whose `get_config` gave `config`, with new weights."""
        config = dict(config)
        for name in ("encoder", "decoder"):
            part = {key: value for key, value in config[name].items() if key != "build_config"}
            config[name] = keras.saving.deserialize_keras_object(
                part, custom_objects=custom_objects
            )
        return cls(**config)
