"""Random numbers that are a function of a seed and a few counters.

TensorFlow's own generators do not run in LiteRT. This one is made of integer products, is the same
in every runtime, and needs no state: which number comes does not depend on what was drawn before.
"""

from __future__ import annotations

import tensorflow as tf

_PRIME = 2**31 - 1  # products of two numbers below it fit into int64
_FINAL_ROUNDS = 4
# The first digits of π, e and √2 and so on, in nine figures: one for each round.
_CONSTANTS = (314159265, 271828182, 141421356, 173205080, 223606797, 264575131, 331662479)


def uniform(seed: tf.Tensor, *counters: tf.Tensor) -> tf.Tensor:
    """Draw from [0, 1), a number for each seed and set of counters.

    Each round adds a word and raises to the fifth power modulo 2**31 - 1, which maps the numbers
    one to one and mixes them well.

    Args:
        seed: Integer tensor.
        *counters: At most three integer tensors that broadcast with `seed`.

    Returns:
        float32 tensor of the broadcast shape; multiples of 2**-24.

    References:
        Albrecht et al. 2016, "MiMC: Efficient Encryption and Cryptographic Hashing with Minimal
        Multiplicative Complexity".
    """
    words = [tf.cast(word, tf.int64) for word in (seed, *counters)]
    words += [tf.zeros([], tf.int64)] * (_FINAL_ROUNDS - 1)
    mixed = tf.zeros([], tf.int64)
    for word, constant in zip(words, _CONSTANTS, strict=False):
        mixed = _fifth_power(tf.math.floormod(mixed + word + constant, _PRIME))
    # As int32, because LiteRT has no int64 division.
    return tf.cast(tf.cast(mixed, tf.int32) // 2**7, tf.float32) * 2.0**-24


def _fifth_power(number: tf.Tensor) -> tf.Tensor:
    """Raise to the fifth power modulo the prime."""
    square = tf.math.floormod(number * number, _PRIME)
    return tf.math.floormod(tf.math.floormod(square * square, _PRIME) * number, _PRIME)
