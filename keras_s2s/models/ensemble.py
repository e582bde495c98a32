"""Several trained models that answer as one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_s2s.checks import check_choice
from keras_s2s.errors import InputError
from keras_s2s.models.searchable import Searchable, SearchStart
from keras_s2s.models.seq2seq import Seq2Seq
from keras_s2s.optimizers import without_optimizers
from keras_s2s.search import ensemble_step
from keras_s2s.search.ensemble import AVERAGES, average_logits


@keras.saving.register_keras_serializable(package="keras_s2s")
class Ensemble(Searchable):
    """Several trained models that predict each next token together.

    P(y_t | y_<t, x) is the mean of what the members say, or the geometric mean, made to sum to one
    again. It is searched, scored, saved and exported like any `Seq2Seq`; the members keep their
    weights and may still be used, and trained, by themselves. It costs as much as all of them.

    The members may differ in everything but their two vocabularies. They are trained apart, each
    by `fit`; an ensemble is not trained. The attention is the mean over the members that have any.

    Args:
        models: the trained `Seq2Seq` models, each once.
        average: "probabilities", or "log_probabilities" for the geometric mean.

    Call arguments:
        inputs: dict of "source_ids" and "target_inputs", as of a `Seq2Seq`.
        training: whether dropout is on.

    Returns:
        The log probabilities, which are logits too, float32
        `(batch, target_length, target_vocabulary_size)`; those of "log_probabilities" do not sum
        to one until a softmax has been taken.

    Raises:
        TypeError: if `models` is not a list of `Seq2Seq` models.
        ValueError: if there are none, one stands twice, their vocabularies differ in size, or
            `average` is unknown.

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
        self.average = check_choice("average", average, AVERAGES)
        self.models = _check_models(models)
        self.built = True

    def build(self, input_shape: Any = None) -> None:
        """Do nothing: the members have their weights from the beginning."""

    def call(self, inputs: dict[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        logits = [model(inputs, training=training) for model in self.models]
        return average_logits(logits, self.average)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: the members are trained apart.

        Raises:
            ValueError: always.
        """
        raise InputError(
            "An `Ensemble` is not trained: that would make its members alike, and their "
            "differences are its use. Train each of them by its own `fit`, from another seed, and "
            "put them together afterwards."
        )

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse, as `fit` does.

        Raises:
            ValueError: always.
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

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True, **kwargs: Any) -> None:
        """Write all members into one file, without the state of their training.

        Args:
            filepath: where to write; must end in ".keras".
            overwrite: whether a file that is there may be replaced.
            **kwargs: refused by Keras where they do not fit the `.keras` format.
        """
        with without_optimizers([self, *self.models]):
            super().save(filepath, overwrite=overwrite, **kwargs)

    def get_compile_config(self) -> None:
        """Give none: what it was compiled with, to be evaluated, does not go into a file."""

    def get_config(self) -> dict[str, Any]:
        models = [keras.saving.serialize_keras_object(model) for model in self.models]
        for model in models:
            model.pop("compile_config", None)  # an ensemble answers; it is not trained
        return {**super().get_config(), "models": models, "average": self.average}

    def __repr__(self) -> str:
        return f"Ensemble({list(self.models)!r}, average={self.average!r})"

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Ensemble:
        """Make the ensemble whose `get_config` gave `config`, with new weights."""
        models = [
            keras.saving.deserialize_keras_object(model, custom_objects=custom_objects)
            for model in config["models"]
        ]
        return cls(**{**config, "models": models})


def _check_models(models: Any) -> list[Seq2Seq]:
    """Check that models can answer together."""
    if not isinstance(models, Sequence) or isinstance(models, str):
        raise TypeError(f"`models` must be a list of `Seq2Seq` models. Received: models={models!r}")
    for number, model in enumerate(models):
        if not isinstance(model, Seq2Seq):
            raise TypeError(
                f"`models` must be a list of `Seq2Seq` models. Received: {model!r} "
                f"(type {type(model)}) at position {number}"
            )
    if not models:
        raise InputError("`models` must hold at least one model. Received: none")
    if len({id(model) for model in models}) < len(models):
        raise InputError(
            "`models` must hold every model once. "
            f"Received: {[model.name for model in models]}, one of them twice"
        )
    for side in ("source", "target"):
        sizes = [getattr(model, f"{side}_vocabulary_size") for model in models]
        if len(set(sizes)) > 1:
            raise InputError(
                f"`models` must all have the same {side} vocabulary. "
                f"Received: models with {', '.join(map(str, sizes))} {side} ids"
            )
    return list(models)
