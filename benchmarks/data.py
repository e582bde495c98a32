"""Cost of batches from memory, from tab-separated files and from TFRecords.

    python -m benchmarks.data train.tsv.gz

Trains a subword tokenizer for each side, builds shuffled datasets of the same pairs in each format,
and iterates over three epochs of each. Token counts are real target tokens without padding. The
metric is the CPU time of the whole process, because other work may run on the machine. A training
run that reads 20,000 tokens per second uses 20,000 / (tokens per CPU second) of a core for data.
"""

from __future__ import annotations

import argparse
import gzip
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tensorflow as tf

import keras_s2s as s2s

EPOCHS = 3
TRAINING = 20_000  # real target tokens a second
COLUMNS = (
    "pairs from",
    "batches of",
    "to begin, CPU s",
    "pairs/CPU s",
    "tokens/CPU s",
    "padding",
    f"share of a core at {TRAINING} tokens/s",
)


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tsv", help="pairs: source<TAB>target lines, plain or gzip")
    parser.add_argument(
        "--vocabulary", type=int, default=4000, help="pieces per side (default 4000)"
    )
    parser.add_argument("--threads", type=int, default=1, help="TensorFlow's (default 1)")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    pairs = s2s.read_pairs(arguments.tsv)
    tokenizers = [
        s2s.SentencePieceTokenizer.train(texts, vocabulary_size=arguments.vocabulary)
        for texts in zip(*pairs, strict=True)
    ]
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    with tempfile.TemporaryDirectory() as folder:
        for name, given in forms(pairs, Path(folder)).items():
            for batches in ({"batch_size": 64}, {"batch_tokens": 1024}):
                print(f"{name}, {batches} ...", file=sys.stderr)
                measured = measure(given, tokenizers, batches)
                ((what, size),) = batches.items()
                print(f"| {name} | {what}={size} | {' | '.join(measured)} |", flush=True)


def forms(pairs: list[tuple[str, str]], folder: Path) -> dict[str, Any]:
    """Return the same pairs in memory and in files.

    Args:
        pairs: List of pairs.
        folder: Folder to write the files to.

    Returns:
        A dictionary from name to the argument of `make_dataset`.
    """
    plain, compressed = folder / "train.tsv", folder / "train.tsv.gz"
    lines = "".join(f"{source}\t{target}\n" for source, target in pairs).encode()
    plain.write_bytes(lines)
    compressed.write_bytes(gzip.compress(lines))
    return {
        "a list": pairs,
        "a TSV file": plain,
        "a TSV file, gzip": compressed,
        "8 TFRecord files": s2s.write_records(pairs, folder / "train", shards=8),
    }


def measure(
    given: Any, tokenizers: list[s2s.SentencePieceTokenizer], batches: dict[str, int]
) -> list[str]:
    """Iterate over several epochs of a dataset.

    Args:
        given: Argument of `make_dataset`.
        tokenizers: Source and target tokenizers.
        batches: Batching arguments.

    Returns:
        The values of a table row.
    """
    source, target = tokenizers
    begin = time.process_time()
    dataset = s2s.make_dataset(given, source, target, shuffle=True, seed=0, **batches)
    making = time.process_time() - begin
    seconds = []
    for _ in range(EPOCHS):
        begin = time.process_time()
        all_labels = [labels for _, labels in dataset]
        seconds.append(time.process_time() - begin)
    pairs = sum(len(labels) for labels in all_labels)
    tokens = sum(int(tf.math.count_nonzero(labels)) for labels in all_labels)
    padded = sum(int(tf.size(labels)) for labels in all_labels)
    second = statistics.median(seconds)
    return [
        f"{making:.2f}",
        f"{pairs / second:,.0f}",
        f"{tokens / second:,.0f}",
        f"{1 - tokens / padded:.1%}",
        f"{TRAINING * second / tokens:.1%}",
    ]


if __name__ == "__main__":
    main()
