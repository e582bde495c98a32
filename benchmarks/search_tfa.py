"""TensorFlow Addons in the search benchmark: `tfa.seq2seq.BeamSearchDecoder` over Keras cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_addons as tfa

from benchmarks import search_yardstick
from benchmarks.search_sizes import BOS_ID, EOS_ID, Sizes


def use_threads(threads: int) -> None:
    """Set the number of TensorFlow threads. Must be called first."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def addons(sizes: Sizes, batch: int) -> Callable[[], Any]:
    """Prepare a search with `tfa.seq2seq`."""
    parts = search_yardstick.YardstickDecoder(sizes)
    decoder = tfa.seq2seq.BeamSearchDecoder(
        tf.keras.layers.StackedRNNCells(parts.cells),
        sizes.beam_width,
        embedding_fn=parts.embedding,
        output_layer=parts.logits,
        maximum_iterations=sizes.steps,
    )

    @tf.function
    def run(*states: tf.Tensor) -> tf.Tensor:
        tiled = [tfa.seq2seq.tile_batch(state, sizes.beam_width) for state in states]
        outputs, _, _ = decoder(
            None,
            start_tokens=tf.fill([tf.shape(states[0])[0]], BOS_ID),
            end_token=EOS_ID,
            initial_state=tuple([h, c] for h, c in zip(tiled[::2], tiled[1::2], strict=True)),
        )
        return outputs.predicted_ids

    spec = tf.TensorSpec([None, sizes.units])
    search = run.get_concrete_function(*[spec] * (2 * sizes.num_layers))
    return lambda: search(*_states(sizes, batch)).numpy()


def yardstick(sizes: Sizes, batch: int) -> Callable[[], Any]:
    """Prepare the yardstick, to measure it in this version of TensorFlow."""
    search = search_yardstick.make(sizes)
    return lambda: search(*_states(sizes, batch)).numpy()


def _states(sizes: Sizes, batch: int) -> list[tf.Tensor]:
    return [tf.zeros([batch, sizes.units]) for _ in range(2 * sizes.num_layers)]


SYSTEMS = {"tfa.seq2seq": addons, "yardstick, TF 2.15": yardstick}
