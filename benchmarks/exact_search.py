"""Measure how often beam search misses the best output, and what exact search costs.

    python -m benchmarks.exact_search g2p.keras words.tsv.gz --limit 1000

Searches the source texts of a TSV file with exact search and with beam search of width 5 under the
same limits, and prints a table row for each length penalty. "Same" is the fraction of certified
texts for which beam search found the best output, or one whose score is within 1e-5.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from typing import NamedTuple

import keras
import numpy as np

import keras_s2s as s2s
from benchmarks.machine import describe_machine

COLUMNS = (
    "length penalty",
    "certified",
    "nodes: mean",
    "median",
    "99 %",
    "most",
    "CPU ms a text",
    "beam 5: CPU ms a text",
    "same answer",
    "same score",
)


class Found(NamedTuple):
    """Results of a search over all texts."""

    texts: list[str]
    scores: np.ndarray
    seconds: float  # total CPU time


def search_texts(
    translator: s2s.Translator,
    texts: list[str],
    search: s2s.BeamSearch | s2s.ExactSearch,
    batch: int,
) -> tuple[Found, dict[str, np.ndarray]]:
    """Search in batches of texts of similar length.

    Args:
        translator: The trained `Translator`.
        texts: Source texts, sorted by length.
        search: The search to run.
        batch: Integer. Number of texts in a batch.

    Returns:
        A tuple of the `Found` and, for an exact search, a dictionary with "certified" and "nodes"
        for each text.
    """
    model, source, target = translator.model, translator.source, translator.target
    for some in (texts[:1], texts[-batch:]):  # trace before timing
        model.search(source.tokenize(some), search)
    answers: list[str] = []
    scores, extras, seconds = [], [], 0.0
    progress = keras.utils.Progbar(len(texts), unit_name="text")
    for start in range(0, len(texts), batch):
        part = texts[start : start + batch]
        ids = source.tokenize(part)
        began = time.process_time()
        found = model.search(ids, search)
        scores.append(found.scores.numpy()[:, 0])
        seconds += time.process_time() - began
        answers += [text.decode() for text in target.detokenize(found.ids).numpy()[:, 0]]
        if found.certified is not None and found.nodes is not None:
            extras.append((found.certified.numpy(), found.nodes.numpy()))
        progress.add(len(part))
    columns = [np.concatenate(column) for column in zip(*extras, strict=True)]
    named = dict(zip(("certified", "nodes"), columns, strict=False))
    return Found(answers, np.concatenate(scores), seconds), named


def compare(
    translator: s2s.Translator, texts: list[str], penalty: float, args: argparse.Namespace
) -> str:
    """Run exact search and beam search, and return a table row.

    Args:
        translator: The trained `Translator`.
        texts: Source texts, sorted by length.
        penalty: Float. Length penalty.
        args: Command line arguments with the limits of both searches.

    Returns:
        A line of Markdown.
    """
    limits = {
        "max_length": args.max_length,
        "max_length_ratio": args.max_length_ratio,
        "length_penalty": penalty,
    }
    exact = s2s.ExactSearch(max_nodes=args.max_nodes, **limits)
    best, extras = search_texts(translator, texts, exact, args.batch_size)
    beam, _ = search_texts(translator, texts, s2s.BeamSearch(**limits), args.batch_size)
    certified, nodes = extras["certified"], extras["nodes"]
    same = np.array([a == b for a, b in zip(best.texts, beam.texts, strict=True)])
    as_good = np.abs(best.scores - beam.scores) <= 1e-5
    cells = [
        f"{penalty:g}",
        f"{certified.mean():.2%}",
        f"{nodes.mean():.1f}",
        f"{np.median(nodes):.0f}",
        f"{np.percentile(nodes, 99):.0f}",
        f"{nodes.max()}",
        f"{1000 * best.seconds / len(texts):.2f}",
        f"{1000 * beam.seconds / len(texts):.2f}",
        f"{same[certified].mean():.2%}",
        f"{as_good[certified].mean():.2%}",
    ]
    return f"| {' | '.join(cells)} |"


def read_sources(file: str, limit: int | None) -> list[str]:
    """Read the distinct source texts of a TSV file, sorted by length."""
    texts: Iterable[str] = dict.fromkeys(source for source, _ in s2s.read_pairs(file))
    return sorted(list(texts)[:limit], key=len)


def main() -> None:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a translator's .keras file")
    parser.add_argument("texts", help="TSV file with the sources in its first column")
    parser.add_argument(
        "--limit",
        type=int,
        help="maximum number of distinct texts to search, from the start of the file",
    )
    parser.add_argument("--length-penalty", type=float, nargs="+", default=[0.75, 0.0])
    parser.add_argument("--max-length", type=int, default=40)
    parser.add_argument("--max-length-ratio", type=float, help="none by default")
    parser.add_argument("--max-nodes", type=int, default=10_000)
    parser.add_argument("--batch-size", type=int, default=16)
    args = parser.parse_args()

    translator = s2s.load(args.model)
    texts = read_sources(args.texts, args.limit)
    rows = [compare(translator, texts, penalty, args) for penalty in args.length_penalty]
    print(f"\n{describe_machine()}; {len(texts)} texts in batches of {args.batch_size}")
    print(f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}", *rows, sep="\n")


if __name__ == "__main__":
    main()
