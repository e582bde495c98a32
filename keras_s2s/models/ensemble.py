"""Ensemble: several trained models used as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_s2s.checks import check_choice, short_repr
from keras_s2s.errors import InputError
from keras_s2s.models.batches import padded
from keras_s2s.models.evaluator import Evaluator
from keras_s2s.models.ids import check_inputs
from keras_s2s.models.searchable import Searchable, SearchStart
from keras_s2s.models.seq2seq import Seq2Seq
from keras_s2s.optimizers import without_optimizers
from keras_s2s.search import ensemble_step
from keras_s2s.search.ensemble import AVERAGES, average_logits


@keras.saving.register_keras_serializable(package="keras_s2s")
class Ensemble(Evaluator, Searchable):
    """Ensemble of trained models that predict each next token together.

    P(y_t | y_<t, x) is the arithmetic mean of the probabilities of the members, or their geometric
    mean, normalized to sum to one. An ensemble is searched, scored, saved and exported like any
    `Seq2Seq`. A search takes as long as the searches of all members together. The members keep
    their weights and can still be used and trained separately.

    The members must have the same two vocabularies and may differ in everything else. Train each
    member with `fit`; an ensemble cannot be trained. The attention is the mean over the members
    that have attention.

    Args:
        models: List of trained `Seq2Seq` models, without duplicates.
        average: "probabilities" for the arithmetic mean, or "log_probabilities" for the geometric
            mean. Defaults to "probabilities".

    Call arguments:
        inputs: Dict of "source_ids" and "target_inputs", as for a `Seq2Seq`.
        training: Whether dropout is on.

    Returns:
        Logits, float32 `(batch, target_length, target_vocabulary_size)`. With "probabilities",
        they are log probabilities. With "log_probabilities", a softmax must normalize them.

    Raises:
        TypeError: If `models` is not a list of `Seq2Seq` models.
        ValueError: If the list is empty or contains a model twice, the vocabularies differ in
            size, or `average` is unknown.

    Example:
        >>> members = [Seq2Seq(LSTMEncoder(10, 4), LSTMDecoder(12, units)) for units in (4, 8)]
        >>> ensemble = Ensemble(members)
        >>> ensemble.search(tf.constant([[5, 6, 3]]), GreedySearch(max_length=4)).ids.shape[:2]
        TensorShape([1, 1])

    References:
        - [Sequence to sequence learning with neural networks (Sutskever et al., 2014)](
          https://arxiv.org/abs/1409.3215)
    """

    def __init__(
        self, models: Sequence[Seq2Seq], *, average: str = "probabilities", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._average = check_choice("average", average, AVERAGES)
        self.models = _check_models(models)
        self.built = True

    @property
    def average(self) -> str:
        """Quantity to average, "probabilities" or "log_probabilities". Read-only."""
        return self._average

    def build(self, input_shape: Any = None) -> None:
        """Do nothing, because the members are built already."""

    def call(
        self, inputs: dict[str, tf.Tensor], training: bool | None = None, cudnn: bool = False
    ) -> tf.Tensor:
        """Compute the averaged logits of given targets.

        Args:
            inputs: Dict of "source_ids" and "target_inputs", int32 `(batch, length)`.
            training: Whether dropout is on. Defaults to `None` (off).
            cudnn: Whether the members use cuDNN. Defaults to `False`.

        Returns:
            The logits, float32 `(batch, target_length, target_vocabulary_size)`.
        """
        check_inputs(inputs)
        logits = [padded(model(inputs, training=training, cudnn=cudnn)) for model in self.models]
        return average_logits(logits, self.average)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Raise an error, because the members are trained separately.

        Raises:
            ValueError: Always.
        """
        raise InputError(
            "An `Ensemble` cannot be trained, because training would make its members alike. "
            "Train each member with its own `fit` and its own seed, then combine them."
        )

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Raise an error, like `fit`.

        Raises:
            ValueError: Always.
        """
        return self.fit()

    def members(self) -> tuple[Seq2Seq, ...]:
        return tuple(self.models)

    def begin_search(
        self, source_ids: tf.Tensor, *, return_attention: bool, weights_dtype: str = "float32"
    ) -> SearchStart:
        starts = [
            member.begin_search(
                source_ids,
                return_attention=return_attention and member.has_attention,
                weights_dtype=weights_dtype,
            )
            for member in self.models
        ]
        return SearchStart(
            ensemble_step(
                [start.step for start in starts], self.target_vocabulary_size, average=self.average
            ),
            tuple(start.state for start in starts),
            starts[0].source_lengths,
        )

    def target_logits(self, source_ids: tf.Tensor, target_ids: tf.Tensor) -> tf.Tensor:
        logits = [model.target_logits(source_ids, target_ids) for model in self.models]
        return average_logits(logits, self.average)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save all members to one file, without their optimizer state.

        Args:
            *args: Arguments of `keras.Model.save`.
            **kwargs: Arguments of `keras.Model.save`.
        """
        with without_optimizers([self, *self.models]):
            super().save(*args, **kwargs)

    def get_compile_config(self) -> None:
        """Return `None`, because an ensemble is saved without its compile configuration."""

    def get_config(self) -> dict[str, Any]:
        models = [keras.saving.serialize_keras_object(model) for model in self.models]
        for model in models:
            model.pop("compile_config", None)  # an ensemble is not trained
        return {**super().get_config(), "models": models, "average": self.average}

    def __repr__(self) -> str:
        return f"Ensemble({list(self.models)!r}, average={self.average!r})"

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Ensemble:
        """Create an ensemble from its config, with new weights."""
        models = [
            keras.saving.deserialize_keras_object(model, custom_objects=custom_objects)
            for model in config["models"]
        ]
        return cls(**{**config, "models": models})


def _check_models(models: Any) -> list[Seq2Seq]:
    """Check that models can form an ensemble, and return them as a list."""
    if not isinstance(models, Sequence) or isinstance(models, str):
        raise TypeError(
            f"`models` must be a list of `Seq2Seq` models. Received: models={short_repr(models)}"
        )
    for number, model in enumerate(models):
        if not isinstance(model, Seq2Seq):
            raise TypeError(
                f"`models` must be a list of `Seq2Seq` models. Received: {short_repr(model)} "
                f"(of type {type(model).__name__}) at position {number}"
            )
    if not models:
        raise InputError("`models` must contain at least one model. Received: none")
    if len({id(model) for model in models}) < len(models):
        raise InputError(
            f"`models` must not contain a model twice. Received: {[model.name for model in models]}"
        )
    for side in ("source", "target"):
        sizes = [getattr(model, f"{side}_vocabulary_size") for model in models]
        if len(set(sizes)) > 1:
            raise InputError(
                f"`models` must all have the same {side} vocabulary. "
                f"Received: models with {', '.join(map(str, sizes))} {side} ids"
            )
    return list(models)
