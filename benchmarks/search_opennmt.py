"""OpenNMT-tf in the search benchmark: its `dynamic_decode` with its `BeamSearch`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import opennmt
import tensorflow as tf
import tensorflow_addons as tfa

from benchmarks import search_yardstick
from benchmarks.search_sizes import BOS_ID, EOS_ID, Sizes


def use_threads(threads: int) -> None:
    """Set the number of TensorFlow threads. Must be called first."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def open_nmt(sizes: Sizes, batch: int) -> Callable[[], Any]:
    """Prepare a search with `opennmt.utils.dynamic_decode`."""
    parts = search_yardstick.YardstickDecoder(sizes)

    @tf.function
    def run(*states: tf.Tensor) -> tf.Tensor:
        tiled = [tfa.seq2seq.tile_batch(state, sizes.beam_width) for state in states]
        return opennmt.utils.dynamic_decode(
            lambda ids, step, state: parts.step(ids, state),
            tf.fill([tf.shape(states[0])[0]], BOS_ID),
            end_id=EOS_ID,
            initial_state=[[h, c] for h, c in zip(tiled[::2], tiled[1::2], strict=True)],
            decoding_strategy=opennmt.utils.BeamSearch(sizes.beam_width),
            maximum_iterations=sizes.steps,
        ).ids

    spec = tf.TensorSpec([None, sizes.units])
    search = run.get_concrete_function(*[spec] * (2 * sizes.num_layers))
    states = [tf.zeros([batch, sizes.units]) for _ in range(2 * sizes.num_layers)]
    return lambda: search(*states).numpy()


SYSTEMS = {"OpenNMT-tf": open_nmt}
