"""A table as a decoder: the logits of each state, and the next state for each token."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from helpers import oracle
from keras_s2s.search import Search, SearchResult
from keras_s2s.search.step import StepFunction


class TableModel:
    """A table for each row of the batch. The prefix determines which line of the table is used.

    Args:
        logits: `(batch, lines, vocabulary)`.
        attention: `(batch, lines, source_length)`. Defaults to `None`: no attention is returned.
    """

    def __init__(self, logits: np.ndarray, attention: np.ndarray | None = None) -> None:
        self.logits = np.asarray(logits, np.float32)
        self.attention = attention

    @classmethod
    def random(cls, seed: int, batch_size: int, vocabulary_size: int = 7) -> TableModel:
        """Create a model whose probabilities are neither uniform nor certain."""
        logits = np.random.default_rng(seed).normal(size=(batch_size, 997, vocabulary_size))
        return cls(1.5 * logits)

    @property
    def batch_size(self) -> int:
        return self.logits.shape[0]

    def row(self, row: int) -> oracle.Model:
        """Return the model of one row as the oracle expects it."""
        return lambda prefix: self.logits[row, self._line(prefix)]

    def looks_at(self, row: int, prefix: oracle.Prefix) -> np.ndarray:
        """Return the attention of one row after a prefix, `(source_length,)`."""
        assert self.attention is not None
        return self.attention[row, self._line(prefix)]

    def search(self, search: Search, **row_options: Any) -> SearchResult:
        """Run a compiled search that works for all tables. The result holds NumPy arrays."""
        return_attention = row_options.pop("return_attention", False)
        options = {name: tf.convert_to_tensor(value) for name, value in row_options.items()}
        if self.attention is not None:
            options["attention"] = tf.convert_to_tensor(self.attention, tf.float32)
        kinds = tuple((name, value.dtype, value.shape.rank) for name, value in options.items())
        run = compiled(search, self.logits.shape[2], kinds, return_attention)
        return in_numpy(run(tf.constant(self.logits), **options))

    def _line(self, prefix: oracle.Prefix) -> int:
        line = 0
        for id_ in prefix:
            line = next_line(line, id_, self.logits.shape[2], self.logits.shape[1])
        return line


def next_line(line: Any, id_: Any, vocabulary_size: int, num_lines: int) -> Any:
    """Return the next line of the table. Short prefixes have their own lines, long ones share."""
    return (line * vocabulary_size + id_ + 1) % num_lines


def table_step(
    logits: tf.Tensor, attention: tf.Tensor | None = None
) -> tuple[StepFunction, tuple[tf.Tensor, tf.Tensor]]:
    """Return a step function for tables `(batch, lines, ...)`, and its initial state."""
    num_lines, vocabulary_size = tf.shape(logits)[1], logits.shape[2]

    def step(token_ids: tf.Tensor, state: Any) -> tuple[tf.Tensor, ...]:
        row, line = state
        after = next_line(line, token_ids, vocabulary_size, num_lines)
        line = tf.where(tf.equal(token_ids, oracle.BOS), line, after)
        place = tf.stack([row, line], axis=1)
        outputs = (tf.gather_nd(logits, place), (row, line))
        return outputs if attention is None else (*outputs, tf.gather_nd(attention, place))

    rows = tf.range(tf.shape(logits)[0])
    return step, (rows, tf.zeros_like(rows))


@functools.cache
def compiled(
    search: Search,
    vocabulary_size: int,
    options: tuple[tuple[str, tf.DType, int], ...],
    return_attention: bool = False,
) -> Callable[..., SearchResult]:
    """Compile a search once for all tables and batch sizes, which are inputs."""

    def run(
        logits: tf.Tensor, attention: tf.Tensor | None = None, **options: tf.Tensor
    ) -> SearchResult:
        step, state = table_step(logits, attention)
        batch_size = tf.shape(logits)[0]
        if return_attention:
            options["return_attention"] = True
        return search(step, state, batch_size, vocabulary_size, **options)

    specs = {name: tf.TensorSpec([None] * rank, dtype, name=name) for name, dtype, rank in options}
    tables = tf.TensorSpec([None, None, vocabulary_size], name="logits")
    return tf.function(run).get_concrete_function(tables, **specs)


def in_numpy(found: SearchResult) -> SearchResult:
    """Convert the tensors of a result to NumPy arrays."""
    return SearchResult(*(None if tensor is None else tensor.numpy() for tensor in found))


def outputs(found: SearchResult, row: int) -> list[oracle.Output]:
    """Return the hypotheses of one row like the oracle's, and check the padding of unused slots."""
    result: list[oracle.Output] = []
    for place in range(found.ids.shape[1]):
        length = found.lengths[row, place]
        ids, padding = found.ids[row, place, :length], found.ids[row, place, length:]
        assert not padding.any()
        if length == 0:
            assert found.scores[row, place] == found.log_probs[row, place] == np.float32(-1e9)
            assert not found.finished[row, place]
            continue
        assert place == len(result), "an unused place stands before a used one"
        log_prob, score = found.log_probs[row, place], found.scores[row, place]
        result.append(
            oracle.Output(
                tuple(ids.tolist()), float(log_prob), float(score), bool(found.finished[row, place])
            )
        )
    return result


def assert_same_outputs(found: list[oracle.Output], expected: list[oracle.Output]) -> None:
    """Compare ids exactly, and scores within float32 rounding."""
    assert [output.ids for output in found] == [output.ids for output in expected]
    assert [output.finished for output in found] == [output.finished for output in expected]
    for name in ("log_prob", "score"):
        np.testing.assert_allclose(
            [getattr(output, name) for output in found],
            [getattr(output, name) for output in expected],
            rtol=1e-5,
            atol=1e-5,
        )


def assert_same_results(found: SearchResult, expected: SearchResult, atol: float) -> None:
    """Compare ids, lengths and finished exactly, and log_probs and scores within `atol`."""
    for name in ("ids", "lengths", "finished"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in ("log_probs", "scores"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=0, atol=atol)
