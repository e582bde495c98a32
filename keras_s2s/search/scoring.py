"""Scores of outputs: the length penalty and the coverage penalty."""

from __future__ import annotations

import tensorflow as tf

FORMULAS = ("power", "gnmt")

# Floor for the coverage of a source position, to avoid log(0).
LEAST_COVERAGE = 1e-10


def length_divisor(lengths: tf.Tensor, length_penalty: tf.Tensor, formula: str) -> tf.Tensor:
    """Compute the divisor of the log probability of an output.

    Args:
        lengths: Integer tensor of any shape: tokens, including eos.
        length_penalty: float32, the exponent. Must broadcast with `lengths`.
        formula: "power" for `length ** length_penalty`, "gnmt" for
            `((5 + length) / 6) ** length_penalty`.

    Returns:
        float32 tensor of the broadcast shape, increasing with the length.

    References:
        Wu et al. 2016, "Google's Neural Machine Translation System", section 7 ("gnmt").
    """
    base = tf.cast(lengths, tf.float32)
    if formula == "gnmt":
        base = (5.0 + base) / 6.0
    return tf.pow(base, length_penalty)


def coverage_score(coverage: tf.Tensor, source_lengths: tf.Tensor) -> tf.Tensor:
    """Compute Σ_i log(min(Σ_t attention_ti, 1)) over the source positions i of each row.

    Args:
        coverage: float32 `(batch * hypotheses, source_length)`, the attention summed over the
            tokens of each hypothesis.
        source_lengths: int32 `(batch, 1)`, number of real positions.

    Returns:
        float32 `(batch, hypotheses)`, at most 0.

    References:
        Wu et al. 2016, "Google's Neural Machine Translation System", section 7.
    """
    rows, width = tf.shape(source_lengths)[0], tf.shape(coverage)[1]
    hypotheses = tf.shape(coverage)[0] // tf.maximum(rows, 1)
    log_coverage = tf.math.log(tf.clip_by_value(coverage, LEAST_COVERAGE, 1.0))
    log_coverage = tf.reshape(log_coverage, [rows, hypotheses, width])
    real = tf.expand_dims(tf.range(width) < source_lengths, 1)
    return tf.reduce_sum(tf.where(real, log_coverage, 0.0), axis=2)
