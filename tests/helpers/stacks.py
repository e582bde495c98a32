"""Stacks of recurrent layers with random weights, computed by the loop and by cuDNN."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keras_s2s.layers.dropout import SequenceDropout
from keras_s2s.layers.stack import RecurrentStack

# cuDNN requires padding on the right.
MASKS = {
    "ragged": [[1, 1, 0], [1, 1, 1], [1, 0, 0]],
    "an empty row": [[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]],
    "nothing but padding": [[0, 0], [0, 0]],
}


def make_stack(kind, units=3, input_units=2, **kwargs):
    dropout = SequenceDropout(2, kwargs.pop("dropout", 0.0), 0.0, 0.0)
    stack = RecurrentStack(kind, units, dropout, num_layers=2, **kwargs)
    stack.build((None, None, input_units))
    random = np.random.default_rng(0)
    scale = 1.0 if units < 8 else units**-0.5
    stack.set_weights([scale * random.normal(size=it.shape) for it in stack.get_weights()])
    return stack


def train(stack, mask, states, lengths, input_units=2):
    """Return the outputs at real tokens, the last outputs, and the gradients of a sum of them."""
    mask = np.array(mask, bool)
    random = np.random.default_rng(1)
    inputs = tf.constant(random.normal(size=(*mask.shape, input_units)), tf.float32)
    kind = stack.forward_layers[0].state_type
    shape = (len(mask), stack.units)
    parts = [
        kind(*[tf.constant(random.normal(size=shape), tf.float32) for _ in kind._fields])
        for _ in range(2)
    ]
    weights = [weight.value for weight in stack.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch([inputs, parts])
        outputs, last = stack(
            inputs,
            mask=tf.constant(mask),
            states=parts if states else None,
            lengths=tf.constant(mask.sum(1), tf.int32) if lengths else None,
            training=True,
        )
        outputs = outputs * mask[..., None]
        # with an initial state, cuDNN does not define the last output of an empty row
        last = last * mask.any(1)[:, None]
        total = tf.add_n([tf.reduce_sum(tf.sin(3.0 * result)) for result in (outputs, last)])
    watched = [inputs, *tf.nest.flatten(parts), *weights]
    gradients = tape.gradient(total, watched, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return [outputs, last, *map(tf.convert_to_tensor, gradients)]
