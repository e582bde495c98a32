"""CPU seconds until a pronouncing model has a given word error rate, beside Keras 3 and PyTorch.

    taskset -c 1 python -m benchmarks.time_to_wer train.tsv.gz valid.tsv.gz

Each system trains one model, that of `examples/pronunciation.py`, on the same batches in the same
order under the same schedule, in a process of its own. After every so many steps its weights go
into this package's model, and one beam search for all of them answers the held-out words. Only the
training is on the clock: CPU seconds, so that other work on the machine matters little. Where the
error falls below the target, between two points, is read off the line between them. PyTorch takes
part where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import keras
import tensorflow as tf

import keras_s2s as s2s
from benchmarks.time_to_wer_systems import (
    Batch,
    Sizes,
    TrainedModel,
    keras_model,
    keras_s2s_model,
    model_to_search,
)
from keras_s2s.evaluation import error_rates, group_references
from keras_s2s.tokenizers import Tokenizer

RESULTS = Path(__file__).parent / "results"
SYSTEMS = ("Keras 3", "keras_s2s", "PyTorch")
COLUMNS = ("system", "steps", "CPU seconds", "against Keras 3", "ms a step", "last WER")
Point = dict[str, float]


def main() -> None:
    """Let each system train to the target, print a table, keep the figures."""
    arguments = _parse()
    if arguments.system:
        work(arguments)
        return
    names = [name for name in SYSTEMS if name != "PyTorch" or importlib.util.find_spec("torch")]
    curves: dict[str, list[Point]] = {}
    for name in names:
        print(name, file=sys.stderr)
        command = [sys.executable, "-m", "benchmarks.time_to_wer", *sys.argv[1:], "--system", name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            curves[name] = []
            for line in worker.stdout or ():
                curves[name].append(json.loads(line))
                print(f"  {line}", end="", file=sys.stderr, flush=True)
        if worker.returncode:
            raise SystemExit(f"{name} ended with exit code {worker.returncode}")
    print(table(curves, arguments.target))
    name = "time_to_wer_random_batches" if arguments.random_batches else "time_to_wer"
    figures = {"target": arguments.target, "curves": curves}
    (RESULTS / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def work(arguments: argparse.Namespace) -> None:
    """Be one system: train, and print a line of JSON for each point of the curve.

    Args:
        arguments: the files, the sizes, the schedule, the target and the system's name.
    """
    answers, sys.stdout = sys.stdout, sys.stderr  # where libraries may write as they like
    tf.config.threading.set_intra_op_parallelism_threads(1)
    keras.utils.set_random_seed(arguments.seed)
    pairs = s2s.read_pairs(arguments.train)
    source = s2s.CharTokenizer.train(word for word, _ in pairs)
    target = s2s.WordTokenizer.train(phones for _, phones in pairs)
    sizes = Sizes(source.vocabulary_size, target.vocabulary_size, arguments.units)
    batches = make_batches(arguments, pairs, source, target)
    accepted = group_references(s2s.read_pairs(arguments.valid))
    words = list(accepted)[:: max(1, len(accepted) // arguments.words)]
    searched = model_to_search(sizes)
    translator = s2s.Translator(
        searched, source, target, search=s2s.BeamSearch(beam_width=5, max_length=40)
    )
    trained = _make(arguments.system, sizes)
    cpu = wall = 0.0
    for first in range(0, arguments.steps, arguments.every):
        steps = range(first, min(first + arguments.every, arguments.steps))
        some = [batches[step % len(batches)] for step in steps]
        rates = [arguments.learning_rate * _rate(step, arguments.steps) for step in steps]
        begin_cpu, begin_wall = time.process_time(), time.perf_counter()
        trained.train(some, rates)
        cpu += time.process_time() - begin_cpu
        wall += time.perf_counter() - begin_wall
        searched.set_weights(trained.weights())
        outputs = translator.translate(words, batch_size=128)
        wer = error_rates(outputs, [accepted[word] for word in words]).sequence_error_rate
        point = {"step": steps.stop, "cpu_seconds": cpu, "seconds": wall, "wer": wer}
        print(json.dumps(point), file=answers, flush=True)
        if wer <= arguments.target:
            break


def make_batches(
    arguments: argparse.Namespace,
    pairs: list[tuple[str, str]],
    source: Tokenizer,
    target: Tokenizer,
) -> list[Batch]:
    """Make the batches of an epoch.

    Args:
        arguments: the size of a batch, the seed, and whether batches are of random pairs.
        pairs: the pairs.
        source: the tokenizer of the sources.
        target: the tokenizer of the targets.

    Returns:
        The batches, as `fit` takes them: of pairs of like lengths, or of random ones, padded.
    """
    size = 1 if arguments.random_batches else arguments.batch
    dataset = s2s.make_dataset(
        pairs, source, target, batch_size=size, shuffle=True, seed=arguments.seed
    )
    if arguments.random_batches:
        dataset = dataset.unbatch().padded_batch(arguments.batch)
    return list(dataset.as_numpy_iterator())


def until(curve: list[Point], target: float, key: str) -> float | None:
    """Read off a curve where the error rate first is the target.

    Args:
        curve: the points, in their order.
        target: the word error rate.
        key: what is asked for: "step", "cpu_seconds" or "seconds".

    Returns:
        The number, on the line between the two points; None where the curve ends above.
    """
    before: Point = {"wer": 1.0, key: 0.0}
    for point in curve:
        if point["wer"] <= target:
            part = (before["wer"] - target) / (before["wer"] - point["wer"])
            return before[key] + part * (point[key] - before[key])
        before = point
    return None


def table(curves: dict[str, list[Point]], target: float) -> str:
    """Show what it took each system as a Markdown table.

    Args:
        curves: the points by system; "Keras 3" is among them.
        target: the word error rate.

    Returns:
        The table.
    """
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    yardstick = until(curves["Keras 3"], target, "cpu_seconds")
    for name, curve in curves.items():
        took, last = until(curve, target, "cpu_seconds"), curve[-1]
        figures = ["–", "–", "–"]
        if took is not None:
            ratio = "–" if yardstick is None else f"{yardstick / took:.2f}"
            figures = [f"{until(curve, target, 'step'):.0f}", f"{took:.0f}", ratio]
        step = 1000 * last["cpu_seconds"] / last["step"]
        lines.append(f"| {name} | {' | '.join(figures)} | {step:.1f} | {last['wer']:.2%} |")
    return "\n".join(lines)


def _make(name: str, sizes: Sizes) -> TrainedModel:
    if name == "PyTorch":
        from benchmarks.time_to_wer_torch import TorchModel  # PyTorch is needed for it alone

        return TorchModel(sizes)
    return keras_s2s_model(sizes) if name == "keras_s2s" else keras_model(sizes)


def _rate(step: int, steps: int) -> float:
    """Give the part of the highest learning rate: up in 200 steps, and down to zero at the end."""
    return min((step + 1) / 200, 1.0) * (1.0 - step / steps)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("train", help="pairs to train on: source<TAB>target lines")
    parser.add_argument("valid", help="pairs to be searched")
    parser.add_argument("--target", type=float, default=0.31, help="word error rate (default .31)")
    parser.add_argument("--steps", type=int, default=7000, help="until the learning rate is zero")
    parser.add_argument("--every", type=int, default=500, help="steps from one point to the next")
    parser.add_argument("--words", type=int, default=2677, help="held-out words to search")
    parser.add_argument("--units", type=int, default=192)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.004)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--random-batches",
        action="store_true",
        help="batches of random pairs, padded, not of like lengths as make_dataset gives them",
    )
    parser.add_argument("--system", choices=SYSTEMS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
