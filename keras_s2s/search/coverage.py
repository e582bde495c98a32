"""How well a hypothesis covers its source: the coverage penalty."""

from __future__ import annotations

import tensorflow as tf

# A source position that was never looked at counts as looked at so much, as log 0 is infinite.
LEAST_COVERAGE = 1e-10


def coverage_score(coverage: tf.Tensor, source_lengths: tf.Tensor) -> tf.Tensor:
    """Compute Σ_i log(min(Σ_t attention_ti, 1)) over the source positions i of each row.

    Args:
        coverage: float32 `(batch * hypotheses, source_length)`, the attention summed over the
            tokens of each hypothesis.
        source_lengths: int32 `(batch, 1)`, how many positions are real.

    Returns:
        float32 `(batch, hypotheses)`, at most 0.

    References:
        Wu et al. 2016, "Google's Neural Machine Translation System", section 7.
    """
    width = tf.shape(coverage)[1]
    log_coverage = tf.math.log(tf.clip_by_value(coverage, LEAST_COVERAGE, 1.0))
    hypotheses = tf.shape(coverage)[0] // tf.maximum(tf.shape(source_lengths)[0], 1)
    log_coverage = tf.reshape(log_coverage, [tf.shape(source_lengths)[0], hypotheses, width])
    real = tf.expand_dims(tf.range(width) < source_lengths, 1)
    return tf.reduce_sum(tf.where(real, log_coverage, 0.0), axis=2)
