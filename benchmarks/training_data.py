"""Workloads and batches of the training benchmarks. Needs only NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

LEARNING_RATE = 0.001

Batch = tuple[dict[str, np.ndarray[Any, Any]], np.ndarray[Any, Any]]
Train = Callable[[], None]  # runs one pass over the batches


class Workload(NamedTuple):
    """Sizes of a model and its training data."""

    source_vocabulary_size: int
    target_vocabulary_size: int
    embedding_dim: int
    units: int
    num_layers: int
    batch_size: int
    mean_length: float
    buckets: tuple[int, int]  # longest source in each bucket


WORKLOADS = {
    "G": Workload(32, 72, 256, 512, 2, 128, 8.0, (12, 20)),
    "T": Workload(8000, 8000, 512, 512, 2, 64, 14.0, (20, 40)),
}


def make_batches(
    workload: Workload, num_batches: int, *, sorted_by_length: bool = False, seed: int = 0
) -> list[Batch]:
    """Generate batches of random ids, padded to the longest sequence of each batch.

    Source lengths are drawn from a gamma distribution, and target lengths are within two tokens of
    them. Pairs are batched with two buckets, as `tf.data.Dataset.bucket_by_sequence_length` does,
    or by length, as `keras_s2s.make_dataset` does, which leaves little padding.

    Args:
        workload: Sizes of the data.
        num_batches: Integer. Number of batches.
        sorted_by_length: Boolean. Whether pairs of the same length share a batch.
        seed: Integer. Random seed.

    Returns:
        A list of batches in the format of `fit`.
    """
    rng = np.random.default_rng(seed)
    count = num_batches * workload.batch_size
    longest = workload.buckets[-1]
    draws = rng.gamma(8.0, workload.mean_length / 8.0, count)
    source_lengths = np.clip(draws.round(), 2, longest).astype(int)
    target_lengths = np.clip(source_lengths - rng.integers(0, 3, count), 2, longest).astype(int)
    by_length = np.lexsort((target_lengths, source_lengths))
    if not sorted_by_length:  # the longer bucket gets whole batches, the shorter one the rest
        later = np.count_nonzero(source_lengths > workload.buckets[0])
        shorter = count - later // workload.batch_size * workload.batch_size
        by_length = np.concatenate(
            [rng.permutation(by_length[:shorter]), rng.permutation(by_length[shorter:])]
        )
    batches = [
        _pad(rows, source_lengths, target_lengths, workload, rng)
        for rows in np.split(by_length, num_batches)
    ]
    return [batches[k] for k in rng.permutation(num_batches)]


def count_target_tokens(batches: list[Batch]) -> int:
    """Count the real target tokens, including eos."""
    return int(sum(np.count_nonzero(labels) for _, labels in batches))


def _pad(
    rows: np.ndarray[Any, Any],
    source_lengths: np.ndarray[Any, Any],
    target_lengths: np.ndarray[Any, Any],
    workload: Workload,
    rng: np.random.Generator,
) -> Batch:
    def ids(lengths: np.ndarray[Any, Any], vocabulary_size: int) -> np.ndarray[Any, Any]:
        drawn = rng.integers(4, vocabulary_size, (len(rows), lengths.max()))
        real = np.arange(lengths.max()) < lengths[:, np.newaxis]
        drawn[np.arange(len(rows)), lengths - 1] = 3
        return np.where(real, drawn, 0).astype(np.int32)

    source_ids = ids(source_lengths[rows], workload.source_vocabulary_size)
    labels = ids(target_lengths[rows], workload.target_vocabulary_size)
    target_inputs = np.concatenate([np.full((len(rows), 1), 2, np.int32), labels[:, :-1]], axis=1)
    target_inputs[labels == 0] = 0
    return {"source_ids": source_ids, "target_inputs": target_inputs}, labels
