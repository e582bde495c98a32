"""The systems that `benchmarks/training.py` compares: one model, written for each of them.

Each trains the same encoder-decoder on the same batches with Adam: an embedding and a stack of
LSTM layers that read the source, a bridge from the last state to the first states of the decoder,
an embedding and a stack of LSTM layers that read the target, and the logits.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

import keras_s2s as s2s

Batch = tuple[dict[str, np.ndarray[Any, Any]], np.ndarray[Any, Any]]


class Workload(NamedTuple):
    """What is trained, and on what."""

    source_vocabulary_size: int
    target_vocabulary_size: int
    embedding_dim: int
    units: int
    num_layers: int
    batch_size: int
    mean_length: float
    buckets: tuple[int, int]  # the longest source of each


WORKLOADS = {
    "G": Workload(32, 72, 256, 512, 2, 128, 8.0, (12, 20)),
    "T": Workload(8000, 8000, 512, 512, 2, 64, 14.0, (20, 40)),
}

LEARNING_RATE = 0.001


# Takes one pass over the batches.
Train = Callable[[], None]


def make_batches(
    workload: Workload, num_batches: int, *, sorted_by_length: bool = False, seed: int = 0
) -> list[Batch]:
    """Make batches of random ids, padded to the longest of each batch.

    The lengths are drawn from a gamma distribution, those of the targets within two tokens of
    their sources'. Pairs are batched as `tf.data.Dataset.bucket_by_sequence_length` does with two
    buckets, or by length, as `keras_s2s.make_dataset` does, which leaves little padding.

    Args:
        workload: the sizes.
        num_batches: how many.
        sorted_by_length: whether pairs of one length share a batch.
        seed: of the random numbers.

    Returns:
        The batches, as `fit` takes them.
    """
    rng = np.random.default_rng(seed)
    count = num_batches * workload.batch_size
    longest = workload.buckets[-1]
    draws = rng.gamma(8.0, workload.mean_length / 8.0, count)
    source_lengths = np.clip(draws.round(), 2, longest).astype(int)
    target_lengths = np.clip(source_lengths - rng.integers(0, 3, count), 2, longest).astype(int)
    by_length = np.lexsort((target_lengths, source_lengths))
    if not sorted_by_length:  # the longer bucket gets whole batches, the rest is the shorter one
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
    """Count the real target tokens, eos included."""
    return int(sum(np.count_nonzero(labels) for _, labels in batches))


def keras_system(workload: Workload, batches: list[Batch], policy: str) -> Train:
    """Plain Keras 3: masked `keras.layers.LSTM` trained by `fit`."""
    keras.config.set_dtype_policy(policy)
    source_ids = keras.Input([None], dtype="int32", name="source_ids")
    values = keras.layers.Embedding(
        workload.source_vocabulary_size, workload.embedding_dim, mask_zero=True
    )(source_ids)
    last = None
    for _ in range(workload.num_layers):
        values, last, _ = keras.layers.LSTM(
            workload.units, return_sequences=True, return_state=True
        )(values)
    bridge = keras.layers.Dense(2 * workload.num_layers * workload.units)(last)
    states = keras.ops.split(bridge, 2 * workload.num_layers, axis=-1)
    target_inputs = keras.Input([None], dtype="int32", name="target_inputs")
    values = keras.layers.Embedding(
        workload.target_vocabulary_size, workload.embedding_dim, mask_zero=True
    )(target_inputs)
    for hidden, cell in zip(states[::2], states[1::2], strict=True):
        values = keras.layers.LSTM(workload.units, return_sequences=True)(
            values, initial_state=[keras.ops.tanh(hidden), cell]
        )
    logits = keras.layers.Dense(workload.target_vocabulary_size, dtype="float32")(values)
    model = keras.Model([source_ids, target_inputs], logits)
    model.compile(
        keras.optimizers.Adam(LEARNING_RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[],
    )
    keras.config.set_dtype_policy("float32")
    dataset = _dataset(batches)
    return lambda: _fit(model, dataset)


def keras_s2s_system(workload: Workload, batches: list[Batch], policy: str) -> Train:
    """This package, as a user has it."""
    keras.config.set_dtype_policy(policy)
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(
            workload.source_vocabulary_size,
            workload.units,
            embedding_dim=workload.embedding_dim,
            num_layers=workload.num_layers,
        ),
        s2s.LSTMDecoder(
            workload.target_vocabulary_size,
            workload.units,
            embedding_dim=workload.embedding_dim,
            num_layers=workload.num_layers,
        ),
    )
    model.compile(
        s2s.FusedAdam(LEARNING_RATE), loss=s2s.SequenceLoss(reduction="token"), metrics=[]
    )
    keras.config.set_dtype_policy("float32")
    dataset = _dataset(batches)
    return lambda: _fit(model, dataset)


def torch_system(workload: Workload, batches: list[Batch], policy: str, *, packed: bool) -> Train:
    """PyTorch: `nn.LSTM` over padded batches, or with the encoder over packed sequences."""
    import torch  # an extra of this benchmark alone

    from benchmarks.training_torch import TorchSeq2Seq, train_step

    model = TorchSeq2Seq(workload, packed=packed)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    tensors = [
        tuple(torch.from_numpy(part.astype(np.int64)) for part in (*inputs.values(), labels))
        for inputs, labels in batches
    ]

    def train() -> None:
        for source_ids, target_inputs, labels in tensors:
            train_step(
                model, optimizer, source_ids, target_inputs, labels, policy == "mixed_bfloat16"
            )

    return train


def make_system(name: str, workload: Workload, batches: list[Batch], policy: str) -> Train:
    """Make the model of a system.

    Args:
        name: "Keras 3", "keras_s2s", "PyTorch, padded" or "PyTorch, packed encoder".
        workload: the sizes.
        batches: what to train on.
        policy: the dtype policy.

    Returns:
        What takes one pass over the batches.
    """
    if name.startswith("PyTorch"):
        return torch_system(workload, batches, policy, packed=name.endswith("packed encoder"))
    system = keras_s2s_system if name == "keras_s2s" else keras_system
    return system(workload, batches, policy)


def use_threads(threads: int, *, side_by_side: bool) -> None:
    """Hold this process to so many cores and TensorFlow to so many threads.

    Args:
        threads: how many cores.
        side_by_side: whether each operation has one thread, and operations run side by side, as
            this package's documentation advises and its command line sets it.
    """
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-threads:])
    if threads == 1 or side_by_side:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


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


def _dataset(batches: list[Batch]) -> tf.data.Dataset:
    ids = tf.TensorSpec([None, None], tf.int32)
    signature = ({"source_ids": ids, "target_inputs": ids}, ids)
    dataset = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
    options = tf.data.Options()
    options.autotune.enabled = False  # it would have the end of a round wait
    return dataset.cache().with_options(options)


def _fit(model: keras.Model, dataset: tf.data.Dataset) -> None:
    model.fit(dataset, epochs=1, verbose=0, shuffle=False)
