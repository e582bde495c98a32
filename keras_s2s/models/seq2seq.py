"""The encoder-decoder model: trained by `fit`, searched in the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_s2s.layers import LSTMDecoder, LSTMEncoder
from keras_s2s.models.compiled import CompiledCalls
from keras_s2s.models.teacher_forcing import shift_right, sum_log_probs
from keras_s2s.search import Search, SearchResult
from keras_s2s.special_ids import BOS_ID


@keras.saving.register_keras_serializable(package="keras_s2s")
class Seq2Seq(keras.Model):
    """An encoder and a decoder that are trained together to give log P(y | x).

    Trained with `fit` by teacher forcing: the label of the step before is the input of the next.
    The model has its weights from the beginning, because its parts know all their sizes.

    On a CPU training computes on the real tokens only (see `keras_s2s.layers.packing`), whatever
    the padding is; with `jit_compile=True`, which needs fixed shapes, on the padded batch. A
    decoder with "bahdanau" attention cannot be compiled so; Keras then warns and goes on without.

    Args:
        encoder: an `LSTMEncoder`.
        decoder: an `LSTMDecoder`.

    Call arguments:
        inputs: dict of "source_ids" int32 `(batch, source_length)`, which end in eos, and
            "target_inputs" int32 `(batch, target_length)`, which begin with bos; padded with 0.
        training: whether dropout is on.

    Returns:
        The logits, float32 `(batch, target_length, target_vocabulary_size)`.

    Raises:
        TypeError: if the parts are not an encoder and a decoder.

    Example:
        >>> model = Seq2Seq(LSTMEncoder(10, 4), LSTMDecoder(12, 4, attention="luong"))
        >>> model.compile("adam", loss=SequenceLoss())
        >>> model.search(tf.constant([[5, 6, 3]]), GreedySearch(max_length=4)).ids.shape[:2]
        TensorShape([1, 1])

    References:
        - [Sequence to sequence learning with neural networks (Sutskever et al., 2014)](
          https://arxiv.org/abs/1409.3215)
    """

    def __init__(self, encoder: LSTMEncoder, decoder: LSTMDecoder, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, part, expected in (
            ("encoder", encoder, LSTMEncoder),
            ("decoder", decoder, LSTMDecoder),
        ):
            if not isinstance(part, expected):
                raise TypeError(
                    f"`{name}` must be an `{expected.__name__}`. Received: {name}={part!r} "
                    f"(type {type(part)})"
                )
        self.encoder = encoder
        self.decoder = decoder
        self._compiled_calls = CompiledCalls()
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

    def call(self, inputs: dict[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        packed = bool(training) and not self.jit_compile
        encoded = self.encoder(inputs["source_ids"], packed=packed, training=training)
        return self.decoder(
            inputs["target_inputs"],
            encoded.context,
            encoded.memory,
            encoded.mask,
            packed=packed,
            training=training,
        )

    def search(self, source_ids: Any, search: Search, **row_values: Any) -> SearchResult:
        """Search for the best targets of each source, in one compiled graph.

        Args:
            source_ids: int32 `(batch, source_length)`, each row ending in eos, padded with 0.
            search: a `GreedySearch`, `BeamSearch`, or another search.
            **row_values: what a search takes for each row in place of its own settings:
                `max_length`, `min_length` (int32 `(batch,)`), `length_penalty` (float32).

        Returns:
            A `SearchResult`: ids int32 `(batch, num_hypotheses, length)`, trimmed to the longest,
            lengths, log_probs, scores, finished `(batch, num_hypotheses)`.

        Raises:
            TypeError: if `search` is not a search or the ids are not integers.
            ValueError: if the ids have another rank or do not fit the vocabulary.
        """
        if not isinstance(search, Search):
            raise TypeError(
                "`search` must be a search, such as `BeamSearch(beam_width=5)`. "
                f"Received: search={search!r}"
            )
        source_ids = check_ids("source_ids", source_ids, self.encoder.vocabulary_size)
        row_values = {name: tf.convert_to_tensor(value) for name, value in row_values.items()}

        def run(source_ids: tf.Tensor, row_values: dict[str, tf.Tensor]) -> SearchResult:
            return self._search(source_ids, search, row_values)

        return self._run((search, *row_values), run, source_ids, row_values)

    def log_prob(self, source_ids: Any, target_ids: Any) -> tf.Tensor:
        """Compute log P(y | x) = Σ_t log P(y_t | y_<t, c) of given targets, by teacher forcing.

        Args:
            source_ids: int32 `(batch, source_length)`, each row ending in eos, padded with 0.
            target_ids: int32 `(batch, target_length)`, without bos; the log probability is that
                of the ids that are given, so it includes eos where the row does.

        Returns:
            float32 `(batch,)`, in nats.

        Raises:
            TypeError: if the ids are not integers.
            ValueError: if the ids have another rank, do not fit the vocabulary, or there are not as
                many targets as sources.
        """
        source_ids = check_ids("source_ids", source_ids, self.encoder.vocabulary_size)
        target_ids = check_ids("target_ids", target_ids, self.decoder.vocabulary_size)
        rows = source_ids.shape[0], target_ids.shape[0]
        if None not in rows and rows[0] != rows[1]:
            raise ValueError(
                "`source_ids` and `target_ids` must have as many rows as each other. "
                f"Received: {rows[0]} sources and {rows[1]} targets"
            )
        return self._run("log_prob", self._log_prob, source_ids, target_ids)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Seq2Seq:
        """Make the model whose `get_config` gave `config`, with new weights."""
        config = dict(config)
        for part in ("encoder", "decoder"):
            config[part] = keras.saving.deserialize_keras_object(
                config[part], custom_objects=custom_objects
            )
        return cls(**config)

    def _run(self, key: Any, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run compiled; inside a graph that is being traced, become a part of it."""
        if not tf.executing_eagerly():
            return tf.autograph.experimental.do_not_convert(function)(*arguments)
        signature = tf.nest.map_structure(_any_size, arguments)
        key = (key, *tf.nest.flatten(signature))
        return self._compiled_calls.get(key, function, signature)(*arguments)

    # `call` of the parts, not `__call__`: outside Keras's autocast, so that a model trained in
    # mixed precision searches and scores in float32.
    def _search(
        self, source_ids: tf.Tensor, search: Search, row_values: dict[str, tf.Tensor]
    ) -> SearchResult:
        encoded = self.encoder.call(source_ids)
        source = self.decoder.read(*encoded)
        found = search(
            lambda token_ids, state: self.decoder.step(token_ids, state, source),
            self.decoder.initial_state(encoded.context),
            tf.shape(source_ids)[0],
            self.decoder.vocabulary_size,
            source_lengths=tf.reduce_sum(tf.cast(encoded.mask, tf.int32), axis=1),
            **row_values,
        )
        return found.trim()

    def _log_prob(self, source_ids: tf.Tensor, target_ids: tf.Tensor) -> tf.Tensor:
        encoded = self.encoder.call(source_ids)
        logits = self.decoder.call(shift_right(target_ids, BOS_ID), *encoded)
        return sum_log_probs(logits, target_ids)


def check_ids(name: str, ids: Any, vocabulary_size: int) -> tf.Tensor:
    """Give `ids` as int32 `(batch, length)`, refuse what the model cannot read.

    Values can be checked only where they are known, outside a graph.

    Args:
        name: the argument's name, for the message.
        ids: what came.
        vocabulary_size: how many ids there are.

    Returns:
        The ids, int32 `(batch, length)` with a length of at least 1.

    Raises:
        TypeError: if they are not integers.
        ValueError: if they have another rank or do not fit the vocabulary.
    """
    if isinstance(ids, tf.RaggedTensor):
        ids = ids.to_tensor()
    ids = tf.convert_to_tensor(ids)
    if not ids.dtype.is_integer:
        raise TypeError(f"`{name}` must hold integers. Received: dtype={ids.dtype.name}")
    if ids.shape.rank != 2:
        raise ValueError(
            f"`{name}` must have the shape (batch, length). Received: shape {tuple(ids.shape)}"
        )
    if hasattr(ids, "numpy"):
        _check_known_ids(name, ids.numpy(), vocabulary_size)
    return tf.cast(ids, tf.int32)


def _any_size(tensor: tf.Tensor) -> tf.TensorSpec:
    """Describe a tensor by its rank and dtype, so that no size makes a new trace."""
    return tf.TensorSpec([None] * tensor.shape.rank, tensor.dtype)


def _check_known_ids(name: str, ids: np.ndarray[Any, Any], vocabulary_size: int) -> None:
    if ids.shape[1] == 0:
        raise ValueError(
            f"`{name}` must have a length of at least 1: even an empty text ends in eos. "
            f"Received: shape {ids.shape}"
        )
    foreign = np.argwhere((ids < 0) | (ids >= vocabulary_size))
    if len(foreign):
        row, position = foreign[0]
        raise ValueError(
            f"`{name}` must lie in [0, {vocabulary_size}), the vocabulary of the model. "
            f"Received: id {ids[row, position]} in row {row} at position {position}"
        )
