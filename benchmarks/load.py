"""Response times of a SavedModel under load, with and without a client that sends long sources.

    python -m benchmarks.load [--model g2p.keras] [--requests 20000] [--threads 16] [--at-once 16]
        [--batch-threads 4]

All threads send requests to one session, as the clients of a model server do: words, batches of
words, greedy searches, scores and ids. In the second pass the first thread sends sources of the
maximum length and longer ones, one after another. The times of the other threads are compared.
TensorFlow works on --at-once requests at the same time. If this number is that of the cores, the
default of a model server, a request waits until earlier ones are answered. --batch-threads merges
requests with the scheduler of TF Serving and the settings of an export. Without --model, a model
with the sizes of the quick start and random weights is exported.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import keras_s2s as s2s
from benchmarks.machine import describe_machine
from keras_s2s.export.saved_model_session import SavedModelSession

LETTERS = "abcdefghijklmnopqrstuvwxyz"
LONGEST_WORD = 13
PHONES = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH V"
Request = tuple[str, dict[str, Any]]
Ask = Callable[[str, dict[str, Any]], Any]


class MergedRequests:
    """SavedModel whose requests are merged by the scheduler that TF Serving uses.

    Args:
        version: Path of the SavedModel.
        batch_threads: Number of batches that are processed at the same time.
    """

    def __init__(self, version: str, batch_threads: int) -> None:
        self._model = tf.saved_model.load(version)
        self._settings = {
            "num_batch_threads": batch_threads,
            **dataclasses.asdict(s2s.export.Batching()),
        }
        names = ("serving_default", "greedy", "score", "ids")
        self._signatures = {name: self._merged(name) for name in names}

    def __call__(self, signature: str, inputs: dict[str, Any]) -> Any:
        """Answer a request."""
        return self._signatures[signature](**inputs)

    def _merged(self, name: str) -> Any:
        """Return a signature that first merges its requests."""
        signature = self._model.signatures[name]
        inputs = signature.structured_input_signature[1]

        def answer(*tensors: Any) -> list[Any]:
            outputs = signature(**dict(zip(inputs, tensors, strict=True)))
            return [outputs[key] for key in sorted(outputs)]

        body = tf.function(answer).get_concrete_function(*inputs.values())

        @tf.function(input_signature=list(inputs.values()))
        def merged(*tensors: Any) -> Any:
            return tf.raw_ops.BatchFunction(
                in_tensors=tensors,
                captured_tensors=body.captured_inputs,
                f=body,
                Tout=[output.dtype for output in body.outputs],
                shared_name=name,
                **self._settings,
            )

        def ask(**values: Any) -> Any:
            ids = "source_ids"
            if ids in values:  # a server pads rows to one length too
                room = LONGEST_WORD + 1 - values[ids].shape[1]
                values[ids] = np.pad(values[ids], [(0, 0), (0, room)])
            return merged(*(tf.constant(values[key]) for key in inputs))

        return ask


def make_translator() -> s2s.Translator:
    """Return a translator with the sizes of the quick start and random weights."""
    source, target = s2s.CharTokenizer.train([LETTERS]), s2s.WordTokenizer.train([PHONES])
    sizes: dict[str, Any] = {"embedding_dim": 96}
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(source.vocabulary_size, 192, bidirectional=True, **sizes),
        s2s.LSTMDecoder(target.vocabulary_size, 192, attention="luong", **sizes),
    )
    return s2s.Translator(model, source, target, search=s2s.BeamSearch(beam_width=5, max_length=12))


def make_requests(translator: s2s.Translator, count: int) -> list[Request]:
    """Return requests with a mixture of signatures, batch sizes and lengths."""
    generator = random.Random(0)

    def words(number: int) -> list[str]:
        sizes = [generator.randrange(3, LONGEST_WORD + 1) for _ in range(number)]
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
    """Yield requests without end: sources of the maximum length, and eight times as long."""
    longest = (translator.max_source_length or 1000) - 1
    for length in itertools.cycle((longest, longest, 8 * longest)):
        yield "serving_default", {"source": as_strings(["ab" * (length // 2)])}


def as_strings(texts: list[str]) -> Any:
    """Return texts as an array of bytes objects."""
    return np.array([text.encode() for text in texts], dtype=object)


def measure(
    ask_model: Ask,
    requests: list[Request],
    num_threads: int,
    hostile: Iterator[Request] | None,
) -> dict[str, float]:
    """Answer the requests from several threads. Return the times of all but the first thread."""
    places, done, answered = itertools.count(), threading.Event(), [0]
    times: list[list[float]] = [[] for _ in range(num_threads)]

    def ask(thread: int) -> None:
        while (place := next(places)) < len(requests):
            start = time.perf_counter()
            ask_model(*requests[place])
            times[thread].append(1e3 * (time.perf_counter() - start))

    def attack() -> None:
        while hostile is not None and not done.is_set():
            ask_model(*next(hostile))
            answered[0] += 1

    first = (
        threading.Thread(target=ask, args=[0])
        if hostile is None
        else threading.Thread(target=attack)
    )
    others = [threading.Thread(target=ask, args=[thread]) for thread in range(1, num_threads)]
    start, cpu_start = time.perf_counter(), time.process_time()
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
        "cpu_seconds": time.process_time() - cpu_start,
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
    parser.add_argument(
        "--batch-threads",
        type=int,
        help="merge requests into batches; the number of batches at once",
    )
    parser.add_argument("--results", type=Path, help="JSON file to write")
    options = parser.parse_args()
    os.environ["TF_NUM_INTEROP_THREADS"] = str(options.at_once)  # read by the first session
    translator = s2s.load(options.model) if options.model else make_translator()
    requests = make_requests(translator, options.requests)
    with tempfile.TemporaryDirectory() as folder:
        version = s2s.export.saved_model(translator, folder)
        with contextlib.ExitStack() as opened:
            ask: Ask
            if options.batch_threads:
                ask = MergedRequests(version, options.batch_threads)
            else:
                ask = opened.enter_context(SavedModelSession(version))
            for request in [*requests[:200], *itertools.islice(long_sources(translator), 3)]:
                ask(*request)  # warm-up
            rows = {
                "without": measure(ask, requests, options.threads, None),
                "with": measure(ask, requests, options.threads, long_sources(translator)),
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
