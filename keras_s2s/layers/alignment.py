"""Sum over all monotonic alignments, by forward and backward recursion in log space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_s2s.gradients import custom_gradient
from keras_s2s.layers.recurrence import read_step, write_step
from keras_s2s.special_ids import IMPOSSIBLE


def first_alignment(rows: tf.Tensor, source_length: tf.Tensor, vocabulary_size: int) -> tf.Tensor:
    """Return log P(a_0 = j, y_0 = v): before the first token, all mass is before position 0.

    Args:
        rows: Scalar int32, the number of hypotheses of all sources.
        source_length: Scalar int32.
        vocabulary_size: Number of target ids.

    Returns:
        float32 `(rows, source_length + 1, vocabulary_size)`.
    """
    start = tf.expand_dims(tf.cast(tf.range(source_length + 1) > 0, tf.float32) * IMPOSSIBLE, 1)
    return tf.zeros([rows, 1, vocabulary_size]) + start


def align_step(
    joint: tf.Tensor, token_ids: tf.Tensor, transitions: tf.Tensor, emissions: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Run one step of the forward recursion.

    Args:
        joint: float32 `(rows, source_length + 1, vocabulary_size)`, log P(a_{t-1}, y_{t-1} |
            y_<t-1) for every y_{t-1}.
        token_ids: int32 `(rows,)`, the previous tokens y_{t-1}.
        transitions: float32 `(rows, source_length + 1, source_length)`.
        emissions: float32 `(rows, source_length, vocabulary_size)`, log P(y_t | a_t).

    Returns:
        log P(y_t | y_<t) `(rows, vocabulary_size)`, the next `joint`, and log P(a_t | y_<t)
        `(rows, source_length)`.
    """
    here = tf.gather(joint, token_ids, axis=2, batch_dims=1)  # (rows, source_length + 1)
    prior = _apply_transitions(tf.nn.log_softmax(here), transitions)
    joint = tf.expand_dims(prior, 2) + emissions
    log_probs = tf.reduce_logsumexp(joint, axis=1)
    # After the first token, no mass is before position 0.
    return log_probs, tf.pad(joint, [[0, 0], [1, 0], [0, 0]], constant_values=IMPOSSIBLE), prior


def align_targets(transitions: tf.Tensor, label_log_probs: tf.Tensor) -> tf.Tensor:
    """Run the forward recursion over given targets.

    The gradient is written by hand. Its backward loop carries one value per source position, and
    the gradient of all transitions is computed at once after the loop.

    Args:
        transitions: float32 `(batch, target_length, source_length + 1, source_length)`.
        label_log_probs: float32 `(batch, target_length, source_length)`, log P(y_t | a_t) of the
            target tokens.

    Returns:
        log P(a_t | y_<t), float32 `(batch, target_length, source_length)`.
    """

    @custom_gradient
    def run(
        transitions: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
        priors = _forward(transitions, labels)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return _backward(tf.convert_to_tensor(upstream), priors, transitions, labels)

        return priors, gradient

    by_time = run(tf.transpose(transitions, [1, 0, 2, 3]), tf.transpose(label_log_probs, [1, 0, 2]))
    return tf.transpose(by_time, [1, 0, 2])


def future_log_probs(
    transitions: tf.Tensor, label_log_probs: tf.Tensor, real: tf.Tensor
) -> tf.Tensor:
    """Run the backward recursion over given targets.

    Args:
        transitions: float32 `(batch, target_length, source_length + 1, source_length)`.
        label_log_probs: float32 `(batch, target_length, source_length)`, log P(y_t | a_t).
        real: bool `(batch, target_length, 1)`, true at real tokens.

    Returns:
        log P(y_>t | a_t, y_≤t), float32 `(batch, target_length, source_length)`.
    """
    by_time = tf.transpose(transitions, [1, 0, 2, 3])
    labels, real = (tf.transpose(each, [1, 0, 2]) for each in (label_log_probs, real))
    length = tf.shape(labels)[0]

    def step(count: tf.Tensor, future: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        time = length - 1 - count
        label, onward = read_step(labels, time), read_step(by_time, time)[:, 1:]
        onward += tf.expand_dims(label + future, 1)
        before = tf.where(read_step(real, time), tf.reduce_logsumexp(onward, axis=2), future)
        return future, before

    from_end = _scan(step, tf.zeros_like(labels[0]), tf.shape(labels))
    return tf.transpose(tf.reverse(from_end, [0]), [1, 0, 2])


def _apply_transitions(posterior: tf.Tensor, transitions: tf.Tensor) -> tf.Tensor:
    """Return log P(a_t | y_<t) from log P(a_{t-1} | y_<t), `(rows, source_length)`."""
    return tf.reduce_logsumexp(tf.expand_dims(posterior, 2) + transitions, axis=1)


def _posterior(prior: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return log P(a_t | y_≤t), with the position before the first one as column 0."""
    paddings = [[0, 0]] * (prior.shape.rank - 1) + [[1, 0]]
    return tf.pad(tf.nn.log_softmax(prior + labels), paddings, constant_values=IMPOSSIBLE)


def _forward(transitions: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return log P(a_t | y_<t) `(target_length, batch, source_length)`."""

    def step(time: tf.Tensor, posterior: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        prior = _apply_transitions(posterior, read_step(transitions, time))
        return prior, _posterior(prior, read_step(labels, time))

    shape = tf.shape(labels)
    start = tf.cast(tf.range(shape[2] + 1) > 0, tf.float32) * IMPOSSIBLE
    return _scan(step, tf.zeros([shape[1], 1]) + start, shape)


def _scan(
    step: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    state: tf.Tensor,
    shape: tf.Tensor,
) -> tf.Tensor:
    """Stack the outputs of `step(time, state) -> (output, state)` in one buffer of this shape.

    The LiteRT converter does not support a TensorArray whose elements have a dynamic batch.
    """

    def body(time: tf.Tensor, state: tf.Tensor, outputs: tf.Tensor) -> tuple[tf.Tensor, ...]:
        output, state = step(time, state)
        return time + 1, state, write_step(outputs, time, output)

    steps = shape[0] * tf.minimum(shape[1], 1)  # TensorFlow cannot update an empty buffer
    shapes = (tf.TensorShape(dimensions) for dimensions in ([], [None] * 2, [None] * 3))
    _, _, outputs = tf.while_loop(
        lambda time, *_: time < steps,
        body,
        (0, state, tf.zeros(shape)),
        shape_invariants=tuple(shapes),
    )
    return outputs


def _backward(
    upstream: tf.Tensor, priors: tf.Tensor, transitions: tf.Tensor, labels: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the gradients of the transitions and of the labels' log probabilities."""
    shape = tf.shape(labels)
    posteriors = _posterior(priors, labels)  # (target_length, batch, source_length + 1)
    start = (
        tf.zeros_like(posteriors[:1]) + tf.cast(tf.range(shape[2] + 1) > 0, tf.float32) * IMPOSSIBLE
    )
    before = tf.concat([start, posteriors[:-1]], axis=0)
    # P(a_{t-1} = i | a_t = j, y_<t)
    predecessors = tf.exp(tf.expand_dims(before, 3) + transitions - tf.expand_dims(priors, 2))
    weights = tf.exp(posteriors[:, :, 1:])

    def body(
        time: tf.Tensor, d_posterior: tf.Tensor, d_labels: tf.TensorArray, d_priors: tf.TensorArray
    ) -> tuple[Any, ...]:
        d_posterior = d_posterior[:, 1:]
        d_label = d_posterior - weights[time] * tf.reduce_sum(d_posterior, axis=1, keepdims=True)
        d_prior = upstream[time] + d_label
        d_before = tf.linalg.matvec(predecessors[time], d_prior)
        return time - 1, d_before, d_labels.write(time, d_label), d_priors.write(time, d_prior)

    arrays = (
        tf.TensorArray(tf.float32, size=shape[0], element_shape=[None, None]) for _ in range(2)
    )
    _, _, d_labels, d_priors = tf.while_loop(
        lambda time, *_: time >= 0, body, (shape[0] - 1, tf.zeros_like(before[0]), *arrays)
    )
    d_transitions = predecessors * tf.expand_dims(d_priors.stack(), 2)
    return d_transitions, d_labels.stack()
