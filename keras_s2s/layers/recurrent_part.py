"""What an encoder and a decoder have in common: embeddings, dropout, recurrent layers."""

from __future__ import annotations

from typing import Any, ClassVar

import keras

from keras_s2s.checks import check_positive_int
from keras_s2s.layers.recurrent_layer import RecurrentLayer
from keras_s2s.layers.recurrent_stack import RecurrentStack
from keras_s2s.layers.sequence_dropout import Rates, SequenceDropout
from keras_s2s.layers.token_embedding import TokenEmbedding
from keras_s2s.layers.torch_weights import TorchWeights

# What a repr leaves out, besides zeros and what is not wanted.
_ELSEWHERE = ("vocabulary_size", "units", "trainable", "dtype")
_USUAL = (("num_layers", 1), ("trainable_embeddings", True))


class RecurrentPart(TorchWeights, keras.layers.Layer):
    """The arguments of which every part of a model has the same, checked, and their layers.

    Its arguments are those of `LSTMEncoder`.
    """

    recurrent_layer: ClassVar[type[RecurrentLayer]]

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        *,
        embedding_dim: int | None = None,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: Rates = 0.0,
        recurrent_dropout: Rates = 0.0,
        word_dropout: float = 0.0,
        residual: bool = False,
        layer_normalization: bool = False,
        trainable_embeddings: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = check_positive_int("vocabulary_size", vocabulary_size)
        self.units = check_positive_int("units", units)
        self.embedding_dim = check_positive_int(
            "embedding_dim", units if embedding_dim is None else embedding_dim
        )
        self.num_layers = check_positive_int("num_layers", num_layers)
        self.residual = bool(residual)
        self.layer_normalization = bool(layer_normalization)
        self.trainable_embeddings = bool(trainable_embeddings)
        dtype = self.dtype_policy
        self.embedding = TokenEmbedding(
            self.vocabulary_size,
            self.embedding_dim,
            trainable=self.trainable_embeddings,
            dtype=dtype,
            name="embedding",
        )
        self.dropout_layer = SequenceDropout(
            self.num_layers, dropout, recurrent_dropout, word_dropout, dtype=dtype, name="dropout"
        )
        self.stack = RecurrentStack(
            self.recurrent_layer,
            self.units,
            self.dropout_layer,
            num_layers=self.num_layers,
            bidirectional=bidirectional,
            residual=self.residual,
            layer_normalization=self.layer_normalization,
            dtype=dtype,
            name="stack",
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "units": self.units,
            "embedding_dim": self.embedding_dim,
            "num_layers": self.num_layers,
            "dropout": self.dropout_layer.dropout,
            "recurrent_dropout": self.dropout_layer.recurrent_dropout,
            "word_dropout": self.dropout_layer.word_dropout,
            "residual": self.residual,
            "layer_normalization": self.layer_normalization,
            "trainable_embeddings": self.trainable_embeddings,
        }

    def __repr__(self) -> str:
        shown = [
            f"{name}={value!r}"
            for name, value in self.get_config().items()
            if value and name not in _ELSEWHERE and (name, value) not in _USUAL
        ]
        return f"{type(self).__name__}({self.vocabulary_size}, {self.units}, {', '.join(shown)})"
