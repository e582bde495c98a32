"""Scheduled sampling: decoder inputs in training that are outputs of the model itself."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.checks import check_choice, check_number
from keras_s2s.models.searchable import SearchStart
from keras_s2s.search.greedy_and_sampling import draw_positions
from keras_s2s.search.step import NextTokens, call_step, loop_shapes
from keras_s2s.special_ids import PAD_ID

CHOICES = ("argmax", "sample")


class OwnOutputs:
    """Replacement of some inputs of the decoder by outputs of the model, in training.

    A target input y_{t-1} is kept with probability 1 - p. Otherwise the input of step t is the
    most probable token of step t - 1, or a token drawn from its distribution, given all previous
    inputs, including replaced ones. Dropout is off while tokens are chosen. As in a search, pad
    and bos are never chosen.

    This is not a layer, because nothing in it is saved with the model.

    Args:
        choice: "argmax" or "sample".
        seed: Seed of the random numbers. `None` uses the global seed, which
            `keras.utils.set_random_seed` sets.
    """

    def __init__(self, choice: str, seed: int | None) -> None:
        self.choice = check_choice("choice", choice, CHOICES)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.probability = keras.Variable(
            0.0, trainable=False, dtype="float32", name="sampling_probability"
        )

    @property
    def variables(self) -> list[keras.Variable]:
        """Variables that hold the probability and the state of the random numbers."""
        return [self.probability, self.seed_generator.state]

    def assign(self, probability: Any) -> None:
        """Set the probability, between 0 and 1, that an input is replaced."""
        self.probability.assign(
            check_number("sampling_probability", probability, minimum=0.0, maximum=1.0)
        )

    def mix(self, model: Any, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return the inputs of a model with some target inputs replaced.

        If the probability is 0, the decoder does not run.

        Args:
            model: `Searchable` model that computes the outputs.
            inputs: Dict of "source_ids" and "target_inputs", padded on the right.

        Returns:
            The dict with new "target_inputs".
        """
        target_inputs = tf.cast(inputs["target_inputs"], tf.int32)  # NumPy's arrays are int64

        def replace_some() -> tf.Tensor:
            start = model.begin_search(inputs["source_ids"], return_attention=False)
            return self._run_decoder(start, target_inputs, model.target_vocabulary_size)

        decoder_inputs = tf.cond(
            self.probability > 0.0, replace_some, lambda: tf.identity(target_inputs)
        )
        return {**inputs, "target_inputs": tf.stop_gradient(decoder_inputs)}

    def _run_decoder(
        self, start: SearchStart, target_inputs: tf.Tensor, vocabulary_size: int
    ) -> tf.Tensor:
        """Run the decoder step by step and return its inputs `(batch, target_length)`."""
        shape = tf.shape(target_inputs)
        by_time = tf.transpose(target_inputs)  # (target_length, batch)
        coins, draws = (
            keras.random.uniform(tf.reverse(shape, [0]), dtype="float32", seed=self.seed_generator)
            for _ in range(2)
        )
        replaced = tf.logical_and(coins < self.probability, by_time != PAD_ID)

        def body(
            time: tf.Tensor, decoder_inputs: tf.Tensor, state: Any
        ) -> tuple[tf.Tensor, tf.Tensor, Any]:
            output = call_step(start.step, decoder_inputs[time - 1], state, vocabulary_size)
            chosen = self._choose(output.logits, draws[time])
            chosen = tf.where(replaced[time], chosen, by_time[time])
            at_time = tf.expand_dims(tf.equal(tf.range(shape[1]), time), 1)
            return time + 1, tf.where(at_time, chosen, decoder_inputs), output.state

        _, decoder_inputs, _ = tf.while_loop(
            lambda time, *_: time < shape[1],
            body,
            (tf.constant(1), by_time, start.state),
            shape_invariants=(tf.TensorShape([]), by_time.shape, loop_shapes(start.state)),
            maximum_iterations=shape[1],
        )
        return tf.ensure_shape(tf.transpose(decoder_inputs), target_inputs.shape)

    def _choose(self, logits: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Choose the output tokens of the model, int32 `(batch,)`."""
        log_probs = NextTokens(logits).log_probs()
        if self.choice == "argmax":
            return tf.argmax(log_probs, axis=-1, output_type=tf.int32)
        return tf.squeeze(draw_positions(tf.exp(log_probs), tf.expand_dims(draws, 1)), 1)
