"""Dropout of layer inputs, recurrent connections and words, in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from keras_s2s.checks import check_number
from keras_s2s.errors import InputError
from keras_s2s.special_ids import EOS_ID, UNK_ID

Rates: TypeAlias = float | Sequence[float]
"""One dropout rate for all places, or one for each place."""


def check_rates(name: str, rates: Any, count: int, places: str) -> Rates:
    """Check dropout rates given as one number, or as one number per place.

    Args:
        name: Name of the argument, for the error message.
        rates: Value of the argument.
        count: Number of places.
        places: Description of the places, for the error message.

    Returns:
        A float, or a tuple of `count` floats.

    Raises:
        ValueError: If a rate is not a number between 0 and 1, or there are not `count` rates.
    """
    if not isinstance(rates, Sequence) or isinstance(rates, str):
        return check_number(name, rates, minimum=0.0, maximum=1.0)
    if len(rates) != count:
        raise InputError(
            f"`{name}` must be one rate, or a sequence of length {count}: {places}. "
            f"Received: {name}={rates!r}"
        )
    return tuple(check_number(name, rate, minimum=0.0, maximum=1.0) for rate in rates)


class SequenceDropout(keras.layers.Layer):
    """Dropout of an encoder or a decoder, in training only.

    The layer divides kept values by the probability of keeping them (inverted dropout).

    Args:
        num_layers: Number of recurrent layers.
        dropout: Float, or `num_layers + 1` floats. Rates of the inputs of each layer, from the
            bottom up, and of the outputs of the top layer.
        recurrent_dropout: Float, or `num_layers` floats. Rates of the recurrent
            connections. The same connections are dropped at all steps of a sequence.
        word_dropout: Float. Probability that a token is replaced by unk.

    References:
        - [Dropout (Srivastava et al., 2014)](https://jmlr.org/papers/v15/srivastava14a.html)
        - [A theoretically grounded application of dropout in recurrent neural networks (Gal and
          Ghahramani, 2016)](https://arxiv.org/abs/1512.05287), for the recurrent connections
        - [Generating sentences from a continuous space (Bowman et al., 2016)](
          https://arxiv.org/abs/1511.06349), for words
    """

    def __init__(
        self,
        num_layers: int,
        dropout: Rates,
        recurrent_dropout: Rates,
        word_dropout: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dropout = check_rates(
            "dropout",
            dropout,
            num_layers + 1,
            (
                "one for the inputs of each layer, from the bottom up, and one for the outputs of "
                "the top layer"
            ),
        )
        self.recurrent_dropout = check_rates(
            "recurrent_dropout", recurrent_dropout, num_layers, "one for each layer"
        )
        self.word_dropout = check_number("word_dropout", word_dropout, minimum=0.0, maximum=1.0)
        self._rates = _repeat(self.dropout, num_layers + 1)
        self._recurrent_rates = _repeat(self.recurrent_dropout, num_layers)
        if any((*self._rates, *self._recurrent_rates, self.word_dropout)):
            self.seed_generator = keras.random.SeedGenerator()
        self.built = True  # there are no weights

    def values(self, values: tf.Tensor, place: int, training: bool | None) -> tf.Tensor:
        """Drop inputs of layer `place`, or outputs of the top layer if `place == num_layers`."""
        return self._drop(values, self._rates[place], training)

    def drops_inputs(self, place: int, training: bool | None) -> bool:
        """Return whether `values` drops anything at this place."""
        return bool(training and self._rates[place])

    def drops_recurrent(self, training: bool | None) -> bool:
        """Return whether recurrent connections are dropped in any layer."""
        return bool(training and any(self._recurrent_rates))

    def words(self, ids: tf.Tensor, training: bool | None) -> tf.Tensor:
        """Replace random tokens other than pad, bos and eos by unk."""
        if not training or not self.word_dropout:
            return ids
        coins = keras.random.uniform(tf.shape(ids), dtype="float32", seed=self.seed_generator)
        dropped = tf.logical_and(coins < self.word_dropout, ids > EOS_ID)
        return tf.where(dropped, tf.constant(UNK_ID, ids.dtype), ids)

    def recurrent_mask(
        self, layer: int, shape: tuple[tf.Tensor | int, int], dtype: Any, training: bool | None
    ) -> tf.Tensor | None:
        """Draw a layer's dropout mask of h for all steps. Return `None` if nothing is dropped."""
        rate = self._recurrent_rates[layer]
        return self._drop(tf.ones(shape, dtype), rate, True) if training and rate else None

    def _drop(self, values: tf.Tensor, rate: float, training: bool | None) -> tf.Tensor:
        if not training or not rate:
            return values
        return keras.random.dropout(values, rate, seed=self.seed_generator)


def _repeat(rates: Rates, count: int) -> tuple[float, ...]:
    return tuple(rates) if isinstance(rates, Sequence) else (rates,) * count
