"""Base class of encoders and decoders: embeddings, dropout and a stack of recurrent layers.

The arguments of an encoder or decoder define its sublayers. Users can change the sublayers later,
as those of any Keras layer: `encoder.stack.trainable = False`, `model.quantize("int8")`,
`decoder.bridge.enable_lora(4)`. Such changes are stored in the config, so that loaded, copied and
cloned layers have them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

import keras
import tensorflow as tf

from keras_s2s.checks import check_bool, check_positive_int
from keras_s2s.errors import InputError
from keras_s2s.layers.dropout import Rates, SequenceDropout
from keras_s2s.layers.embedding import TokenEmbedding
from keras_s2s.layers.recurrent import RecurrentLayer
from keras_s2s.layers.stack import RecurrentStack
from keras_s2s.layers.torch_weights import Array, from_torch, to_torch

# A repr omits these arguments, these default values, zeros and disabled options.
_NOT_SHOWN = ("vocabulary_size", "units", "trainable", "dtype")
_DEFAULTS = (("num_layers", 1), ("trainable_embeddings", True))


class RecurrentPart(keras.layers.Layer):
    """Base class of encoders and decoders, with the arguments and sublayers that both have.

    `LSTMEncoder` and `LSTMDecoder` document the arguments.
    """

    recurrent_layer: ClassVar[type[RecurrentLayer]]

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        *,
        embedding_dim: int | None,
        num_layers: int,
        dropout: Rates,
        recurrent_dropout: Rates,
        word_dropout: float,
        residual: bool,
        layer_normalization: bool,
        trainable_embeddings: bool,
        bidirectional: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = check_positive_int("vocabulary_size", vocabulary_size)
        self.units = check_positive_int("units", units)
        self.embedding_dim = check_positive_int(
            "embedding_dim", units if embedding_dim is None else embedding_dim
        )
        self.num_layers = check_positive_int("num_layers", num_layers)
        self.residual = check_bool("residual", residual)
        self.layer_normalization = check_bool("layer_normalization", layer_normalization)
        self.trainable_embeddings = check_bool("trainable_embeddings", trainable_embeddings)
        self._check_not_quantized()
        if not tf.as_dtype(self.compute_dtype).is_floating:
            raise InputError(f"`dtype` must be a float dtype. Received: dtype={self.compute_dtype}")
        dtype = self.dtype_policy
        self.embedding = TokenEmbedding(
            self.vocabulary_size,
            self.embedding_dim,
            trainable=self.trainable_embeddings,
            dtype=dtype,
            name="embedding",
        )
        self.dropout_layer = SequenceDropout(
            self.num_layers,
            dropout,
            recurrent_dropout,
            word_dropout,
            dtype=dtype,
            name="dropout",
        )
        self.dropout = self.dropout_layer.dropout
        self.recurrent_dropout = self.dropout_layer.recurrent_dropout
        self.word_dropout = self.dropout_layer.word_dropout
        self.stack = RecurrentStack(
            self.recurrent_layer,
            self.units,
            self.dropout_layer,
            num_layers=self.num_layers,
            bidirectional=bool(bidirectional),
            residual=self.residual,
            layer_normalization=self.layer_normalization,
            dtype=dtype,
            name="stack",
        )

    def get_torch_weights(self) -> dict[str, Array]:
        """Return the weights of the recurrent layers in the format of PyTorch.

        Returns:
            Dict of arrays, like `state_dict()` of an `nn.LSTM` or `nn.GRU` of the same sizes.
        """
        return to_torch(self.stack.levels())

    def set_torch_weights(self, weights: Mapping[str, Any]) -> None:
        """Set the weights of the recurrent layers from PyTorch's `nn.LSTM` or `nn.GRU`.

        Args:
            weights: `state_dict()` of a PyTorch module of the same sizes, with arrays as values.

        Raises:
            ValueError: If a weight is missing, unexpected, or has the wrong shape.
        """
        from_torch(self.stack.levels(), weights)

    def get_config(self) -> dict[str, Any]:
        settings = _sublayer_settings(self, self._custom_context())
        return {**super().get_config(), **({"sublayers": settings} if settings else {})}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Create a layer from its config, with new weights."""
        config = dict(config)
        settings = config.pop("sublayers", {})
        part: Self = super().from_config(config)
        _restore_sublayers(part, settings, part._custom_context())
        return part

    def _check_not_quantized(self) -> None:
        if self.dtype_policy.quantization_mode is not None:
            raise InputError(
                "`dtype` must not be a quantized policy: quantize a built model with "
                '`model.quantize("int8")`, or its export with `export.litert(..., '
                f'quantization="int8")`. Received: dtype={self.dtype_policy.name!r}'
            )

    def _freeze(self) -> None:
        """Freeze the sublayers if the argument `trainable` is False."""
        if not self.trainable:  # TensorFlow ignores `self.trainable = False` if already False
            for layer in self._layers:
                layer.trainable = False

    def _custom_context(self) -> keras.layers.Layer | None:
        """Return the custom layer given as `context`, or `None`."""
        context = getattr(self, "context", None)
        return context if isinstance(context, keras.layers.Layer) else None

    def _own_arguments(self, kind: type[RecurrentPart]) -> dict[str, Any]:
        """Return the arguments of `kind.__init__`, read from the attributes of the same names."""
        parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
        return {
            parameter.name: getattr(self, parameter.name)
            for parameter in parameters
            if parameter.kind is not parameter.VAR_KEYWORD
        }

    def __repr__(self) -> str:
        shown = [
            f"{name}={value!r}"
            for name, value in self.get_config().items()
            if value and name not in _NOT_SHOWN and (name, value) not in _DEFAULTS
        ]
        return f"{type(self).__name__}({self.vocabulary_size}, {self.units}, {', '.join(shown)})"


def _sublayer_settings(layer: RecurrentPart, custom: keras.layers.Layer | None) -> dict[str, Any]:
    """Return the settings of the sublayers that were changed, or an empty dict.

    The sublayers of `custom` are left to its own config.
    """
    settings: dict[str, Any] = {}
    trainable = {path: bool(part.trainable) for path, part in _walk(layer, custom)}
    defaults = dict.fromkeys(trainable, bool(layer.trainable))
    if "embedding" in defaults and not layer.trainable_embeddings:
        defaults["embedding"] = False
    if trainable != defaults:
        settings["trainable"] = trainable
    dense = {
        path: keras.saving.serialize_keras_object(part)
        for path, part in _walk(layer, custom)
        if isinstance(part, keras.layers.Dense)
        and part is not custom
        and (part.lora_enabled or part.quantization_mode is not None)
    }
    if dense:
        settings["dense"] = dense
    return settings


def _restore_sublayers(
    layer: RecurrentPart, settings: dict[str, Any], custom: keras.layers.Layer | None
) -> None:
    """Apply the result of `_sublayer_settings` to a layer that is not built yet."""
    parts = dict(_walk(layer, custom))
    for path, trainable in settings.get("trainable", {}).items():  # parents come first
        parts[path].trainable = trainable
    for path, config in settings.get("dense", {}).items():
        changed = keras.saving.deserialize_keras_object(
            {key: value for key, value in config.items() if key != "build_config"}
        )
        part = parts[path]
        part.lora_rank, part.lora_alpha = changed.lora_rank, changed.lora_alpha
        part.quantization_config = changed.quantization_config
        part.dtype_policy = changed.dtype_policy


def _walk(
    layer: keras.layers.Layer, custom: keras.layers.Layer | None
) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yield each sublayer once with its path, parents first."""
    seen = {id(layer)}

    def walk(parent: keras.layers.Layer, prefix: str) -> Iterator[tuple[str, keras.layers.Layer]]:
        for part in parent._layers:
            if id(part) in seen:
                continue
            seen.add(id(part))
            path = prefix + ("context" if part is custom else part.name)
            yield path, part
            if part is not custom:
                yield from walk(part, f"{path}/")

    return walk(layer, "")
