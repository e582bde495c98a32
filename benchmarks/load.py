"""Response times of a SavedModel under load, without and with a client that sends long sources.

    python -m benchmarks.load [--model g2p.keras] [--requests 20000] [--threads 16] [--at-once 16]

All threads ask one session, as the clients of a model server do: words, batches of words, greedy
searches, scores and ids. In the second pass the first thread sends sources of the maximum length
and longer ones, one after another. The times are those of the other threads in both passes.
TensorFlow works on --at-once requests at the same time. With as many as the cores, the default of a
model server, a request waits until those before it are answered. Without --model, a model of the
quick start's size with random weights is exported.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import keras_s2s as s2s
from benchmarks.machine import describe_machine
from keras_s2s.export.sessions import SavedModelSession

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PHONES = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH V"
Request = tuple[str, dict[str, Any]]


def make_translator() -> s2s.Translator:
    """A translator of the quick start's size with random weights."""
    source, target = s2s.CharTokenizer.train([LETTERS]), s2s.WordTokenizer.train([PHONES])
    sizes: dict[str, Any] = {"embedding_dim": 96}
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(source.vocabulary_size, 192, bidirectional=True, **sizes),
        s2s.LSTMDecoder(target.vocabulary_size, 192, attention="luong", **sizes),
    )
    return s2s.Translator(model, source, target, search=s2s.BeamSearch(beam_width=5, max_length=12))


def make_requests(translator: s2s.Translator, count: int) -> list[Request]:
    """Requests of a mixture of signatures, batch sizes and lengths."""
    generator = random.Random(0)

    def words(number: int) -> list[str]:
        sizes = [generator.randrange(3, 14) for _ in range(number)]
        return ["".join(generator.choices(LETTERS, k=size)) for size in sizes]

    found: list[Request] = []
    kinds = ("serving_default", "serving_default", "serving_default", "greedy", "score", "ids")
    for kind in itertools.islice(itertools.cycle(kinds), count):
        texts = words(generator.choice((1, 1, 1, 4)))
        if kind == "ids":
            found.append((kind, {"source_ids": translator.source.tokenize(texts).numpy()}))
            continue
        inputs = {"source": as_strings(texts)}
        if kind == "score":
            targets = [" ".join(generator.choices(PHONES.split(), k=5)) for _ in texts]
            inputs["target"] = as_strings(targets)
        found.append((kind, inputs))
    generator.shuffle(found)
    return found


def long_sources(translator: s2s.Translator) -> Iterator[Request]:
    """Requests without end: sources of the maximum length, and of eight times as much."""
    longest = (translator.max_source_length or 1000) - 1
    for length in itertools.cycle((longest, longest, 8 * longest)):
        yield "serving_default", {"source": as_strings(["ab" * (length // 2)])}


def as_strings(texts: list[str]) -> Any:
    """Return texts as an array of bytes objects."""
    return np.array([text.encode() for text in texts], dtype=object)


def measure(
    session: SavedModelSession,
    requests: list[Request],
    num_threads: int,
    hostile: Iterator[Request] | None,
) -> dict[str, float]:
    """Answer the requests once from several threads. Return the times of all but the first."""
    places, done, answered = itertools.count(), threading.Event(), [0]
    times: list[list[float]] = [[] for _ in range(num_threads)]

    def ask(thread: int) -> None:
        while (place := next(places)) < len(requests):
            start = time.perf_counter()
            session(*requests[place])
            times[thread].append(1e3 * (time.perf_counter() - start))

    def attack() -> None:
        while hostile is not None and not done.is_set():
            session(*next(hostile))
            answered[0] += 1

    first = (
        threading.Thread(target=ask, args=[0])
        if hostile is None
        else threading.Thread(target=attack)
    )
    others = [threading.Thread(target=ask, args=[thread]) for thread in range(1, num_threads)]
    start = time.perf_counter()
    for thread in (first, *others):
        thread.start()
    for thread in others:
        thread.join()
    done.set()
    first.join()
    taken = sorted(itertools.chain(*times[1:]))
    return {
        "requests": len(requests),
        "seconds": time.perf_counter() - start,
        "median_ms": statistics.median(taken),
        "p95_ms": taken[len(taken) * 95 // 100],
        "p99_ms": taken[len(taken) * 99 // 100],
        "max_ms": taken[-1],
        "long_sources_answered": answered[0],
    }


def main() -> None:
    """Export, measure both passes and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="a .keras file")
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--at-once", type=int, default=16, help="TensorFlow's inter-op threads")
    parser.add_argument("--results", type=Path, help="JSON file to write")
    options = parser.parse_args()
    os.environ["TF_NUM_INTEROP_THREADS"] = str(options.at_once)  # read by the first session
    translator = s2s.load(options.model) if options.model else make_translator()
    requests = make_requests(translator, options.requests)
    with tempfile.TemporaryDirectory() as folder:
        version = s2s.export.saved_model(translator, folder)
        with SavedModelSession(version) as session:
            for request in [*requests[:200], *itertools.islice(long_sources(translator), 3)]:
                session(*request)  # warm-up
            rows = {
                "without": measure(session, requests, options.threads, None),
                "with": measure(session, requests, options.threads, long_sources(translator)),
            }
    print(describe_machine())
    for name, row in rows.items():
        figures = ", ".join(f"{key} {value:.4g}" for key, value in row.items())
        print(f"{name} a client with long sources: {figures}")
    print(f"99th percentile: {rows['with']['p99_ms'] / rows['without']['p99_ms']:.2f} times")
    if options.results:
        options.results.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
