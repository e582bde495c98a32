"""What a log probability is divided by, so that long outputs are not at a disadvantage."""

from __future__ import annotations

import tensorflow as tf

FORMULAS = ("power", "gnmt")


def length_divisor(lengths: tf.Tensor, length_penalty: tf.Tensor, formula: str) -> tf.Tensor:
    """Give the divisor of the log probability of an output with so many tokens.

    Args:
        lengths: Integer tensor of any shape: tokens, eos counted.
        length_penalty: The exponent, float32, of a shape that broadcasts with `lengths`.
        formula: "power" for `length ** length_penalty`, "gnmt" for
            `((5 + length) / 6) ** length_penalty`.

    Returns:
        float32 tensor of the broadcast shape, rising with the length.

    References:
        Wu et al. 2016, "Google's Neural Machine Translation System", section 7 ("gnmt").
    """
    base = tf.cast(lengths, tf.float32)
    if formula == "gnmt":
        base = (5.0 + base) / 6.0
    return tf.pow(base, length_penalty)
