"""The encoder-decoder model, with training and search."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_s2s.checks import check_bool, short_repr
from keras_s2s.errors import InputError
from keras_s2s.layers import Decoder, Encoder
from keras_s2s.layers.decoder_features import DecoderMemory, DecoderState
from keras_s2s.layers.packing import PackedLogits, PaddedLogits
from keras_s2s.layers.products import compute
from keras_s2s.models.ids import check_ids, check_inputs, shift_right
from keras_s2s.models.searchable import Searchable, SearchStart
from keras_s2s.models.trainer import Trainer
from keras_s2s.search.step import row_bytes
from keras_s2s.special_ids import BOS_ID, PAD_ID


@dataclasses.dataclass(frozen=True)
class _DecoderStep:
    """Step function of a search, for hypotheses of all sources of a batch or of some."""

    decoder: Decoder
    source: DecoderMemory  # (batch, ...)
    return_attention: bool

    def __call__(self, token_ids: tf.Tensor, state: DecoderState) -> tuple[Any, ...]:
        """Run one step, as `Decoder.step` does."""
        return self.decoder.step(
            token_ids, state, self.source, return_attention=self.return_attention
        )

    @property
    def row_bytes(self) -> float | tf.Tensor:
        """Number of bytes that `for_rows` copies for each source."""
        tensors = [part for part in tf.nest.flatten(self._parts()) if part is not None]
        return row_bytes(tensors, tf.shape(tensors[0])[0]) if tensors else 0.0

    def for_rows(self, rows: tf.Tensor) -> _DecoderStep:
        """Return the step for some sources of the batch, int32 `(some,)`."""
        parts = tf.nest.map_structure(
            lambda part: None if part is None else tf.gather(part, rows), self._parts()
        )
        source = parts._replace(weights=self.source.weights)
        return dataclasses.replace(self, source=source)

    def _parts(self) -> DecoderMemory:
        """Return what depends on the sources, which the weights do not."""
        return self.source._replace(weights=None)


@keras.saving.register_keras_serializable(package="keras_s2s")
class Seq2Seq(Trainer, Searchable):
    """Encoder-decoder model of log P(y | x).

    `fit` trains the model by teacher forcing: the label of each step is the input of the next. The
    constructor builds the model.

    On a CPU, training computes embeddings, recurrent layers, logits and loss on the real tokens
    only (see `keras_s2s.layers.packing`), wherever the padding is. The memory that attention reads
    is padded. A decoder with "bahdanau" attention or input feeding computes the steps of a target
    one by one. On a GPU, training uses cuDNN for the recurrent layers. Searches and exports do not,
    so they run anywhere.

    With `jit_compile=True`, which needs fixed shapes, the model computes the padding too. XLA
    cannot compile a decoder with "bahdanau" or "monotonic" attention or input feeding: Keras warns
    and trains without XLA.

    Args:
        encoder: An `LSTMEncoder` or a `GRUEncoder`.
        decoder: An `LSTMDecoder` or a `GRUDecoder`.
        share_embeddings: Whether the decoder uses the embedding of the encoder. Requires one
            vocabulary for both sides. Defaults to `False`.
        copy_ids: For a decoder with `copy=True`, the target id of each source id, or -1 if it
            cannot be copied: the result of `keras_s2s.copy_ids(source, target)` for the two
            tokenizers. Defaults to the same ids, for one vocabulary on both sides.

    Call arguments:
        inputs: Dict of "source_ids" int32 `(batch, source_length)`, which end in eos, and
            "target_inputs" int32 `(batch, target_length)`, which begin with bos; padded with 0.
        packed: Whether to compute on the real tokens only and return only their logits, as `fit`
            does.
        training: Whether dropout is on.

    Returns:
        The logits, float32 `(batch, target_length, target_vocabulary_size)`; with `packed`, the
        `PackedLogits`.

    Raises:
        TypeError: If the parts are not an encoder and a decoder.
        ValueError: If only one part computes in float64. If shared embeddings differ in size or are
            built already. If `copy_ids` does not match the vocabularies, is missing although they
            differ in size, or is given for a decoder that does not copy.

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
        copy_ids: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, part, expected in (("encoder", encoder, Encoder), ("decoder", decoder, Decoder)):
            if not isinstance(part, expected):
                kind = expected.__name__
                raise TypeError(
                    f"`{name}` must be an `LSTM{kind}` or a `GRU{kind}`. "
                    f"Received: {name}={short_repr(part)} (of type {type(part).__name__})"
                )
        if (encoder.compute_dtype == "float64") != (decoder.compute_dtype == "float64"):
            raise InputError(
                "`encoder` and `decoder` must both compute in float64, or neither. Received: "
                f"{encoder.compute_dtype} and {decoder.compute_dtype}"
            )
        self.encoder = encoder
        self.decoder = decoder
        self.share_embeddings = check_bool("share_embeddings", share_embeddings)
        self.copy_ids = _check_copy_ids(copy_ids, encoder, decoder)
        if self.share_embeddings:
            decoder.embedding.share(encoder.embedding)
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Build the encoder and the decoder, whose sizes do not depend on the input shape."""
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
        self,
        inputs: dict[str, tf.Tensor],
        packed: bool = False,
        training: bool | None = None,
        cudnn: bool = False,
    ) -> tf.Tensor | PackedLogits | PaddedLogits:
        """Compute the logits of given targets by teacher forcing.

        Args:
            inputs: Dict of "source_ids" and "target_inputs", int32 `(batch, length)`.
            packed: Whether to compute on the real tokens only and return `PackedLogits`. Defaults
                to `False`.
            training: Whether dropout is on. Defaults to `None` (off).
            cudnn: Whether to use cuDNN, which requires padding on the right. Defaults to `False`.

        Returns:
            The logits, float32 `(batch, target_length, target_vocabulary_size)`, or `PackedLogits`
            or `PaddedLogits`.
        """
        check_inputs(inputs)
        if tf.executing_eagerly():
            check_ids("source_ids", inputs["source_ids"], self.source_vocabulary_size)
            check_ids("target_inputs", inputs["target_inputs"], self.target_vocabulary_size)
        encoded = self.encoder(inputs["source_ids"], packed=packed, training=training, cudnn=cudnn)
        return self.decoder(
            inputs["target_inputs"],
            encoded.context,
            encoded.memory,
            encoded.mask,
            copy_ids=self._copy_ids_of(inputs["source_ids"]),
            packed=packed,
            training=training,
            cudnn=cudnn,
        )

    def compute_output_shape(self, input_shape: dict[str, Any]) -> tuple[Any, ...]:
        """Return the shape of the logits, given a dict of input shapes."""
        return (*input_shape["target_inputs"], self.target_vocabulary_size)

    def compute_output_spec(self, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Return the spec of the logits, which are float32."""
        check_inputs(inputs)
        shapes = {name: value.shape for name, value in inputs.items()}
        return keras.KerasTensor(self.compute_output_shape(shapes), "float32")

    def members(self) -> tuple[Seq2Seq, ...]:
        return (self,)

    # `compute` makes a model that was trained in mixed precision search and score in float32.
    def begin_search(
        self, source_ids: tf.Tensor, *, return_attention: bool, weights_dtype: str = "float32"
    ) -> SearchStart:
        encoded = compute(self.encoder, source_ids)
        source = self.decoder.read(
            encoded.context, encoded.memory, encoded.mask, self._copy_ids_of(source_ids)
        )
        state = self.decoder.initial_state(encoded.context, source)
        prepared = self.decoder.prepare_steps(source, weights_dtype)
        align = None
        if self.decoder.sums_alignments:
            align = functools.partial(self._align, context=encoded.context, source=source)
        return SearchStart(
            _DecoderStep(self.decoder, prepared, return_attention),
            state,
            tf.reduce_sum(tf.cast(encoded.mask, tf.int32), axis=1),
            align,
        )

    def target_logits(self, source_ids: tf.Tensor, target_ids: tf.Tensor) -> tf.Tensor:
        encoded = compute(self.encoder, source_ids)
        copy_ids = self._copy_ids_of(source_ids)
        return compute(self.decoder, shift_right(target_ids, BOS_ID), *encoded, copy_ids)

    def _align(self, ids: tf.Tensor, context: tf.Tensor, source: DecoderMemory) -> tf.Tensor:
        """Compute P(a_t = j | y) of hypotheses `(batch, num_hypotheses, length)`."""
        shape = tf.shape(ids)
        rows = tf.range(shape[0] * shape[1]) // tf.maximum(shape[1], 1)
        labels = tf.reshape(ids, [-1, shape[2]])
        context, source = tf.nest.map_structure(
            lambda part: None if part is None else tf.gather(part, rows), (context, source)
        )
        aligned = self.decoder.align(shift_right(labels, BOS_ID), labels, context, source)
        return tf.reshape(aligned, [shape[0], shape[1], shape[2], tf.shape(aligned)[2]])

    def _copy_ids_of(self, source_ids: tf.Tensor) -> tf.Tensor | None:
        """Return the target id of each source token, if the decoder copies."""
        if not self.copy_ids:
            return None
        return tf.gather(tf.constant(self.copy_ids), tf.cast(source_ids, tf.int32))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "share_embeddings": self.share_embeddings,
            "copy_ids": self.copy_ids,
        }

    def __repr__(self) -> str:
        shared = ", share_embeddings=True" if self.share_embeddings else ""
        return f"Seq2Seq({self.encoder!r}, {self.decoder!r}{shared})"

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Seq2Seq:
        """Create a model from its config, with new weights."""
        config = dict(config)
        for name in ("encoder", "decoder"):
            part = {key: value for key, value in config[name].items() if key != "build_config"}
            config[name] = keras.saving.deserialize_keras_object(
                part, custom_objects=custom_objects
            )
        return cls(**config)


def _check_copy_ids(copy_ids: Any, encoder: Encoder, decoder: Decoder) -> list[int] | None:
    """Check `copy_ids`, and return it as a list."""
    if not decoder.copy:
        if copy_ids is not None:
            raise InputError(
                "`copy_ids` requires a decoder with copy=True. Received: copy_ids and copy=False"
            )
        return None
    sizes = encoder.vocabulary_size, decoder.vocabulary_size
    if copy_ids is None:
        if sizes[0] != sizes[1]:
            raise InputError(
                "`copy_ids` is required if the two vocabularies differ. Pass "
                f"keras_s2s.copy_ids(source, target). Received: copy_ids=None with {sizes[0]} "
                f"source ids and {sizes[1]} target ids"
            )
        return [-1 if token_id in (PAD_ID, BOS_ID) else token_id for token_id in range(sizes[0])]
    ids = np.asarray(copy_ids)
    if ids.shape != (sizes[0],) or not np.issubdtype(ids.dtype, np.integer):
        raise InputError(
            f"`copy_ids` must contain an integer for each of the {sizes[0]} source ids. "
            f"Received: {ids.dtype.name} of shape {ids.shape}"
        )
    if ids.min() < -1 or ids.max() >= sizes[1]:
        raise InputError(
            f"`copy_ids` must lie between -1 and {sizes[1] - 1}, the last target id. "
            f"Received: {ids.min()} to {ids.max()}"
        )
    found: list[int] = ids.tolist()
    return found
