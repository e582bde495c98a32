"""CPU seconds until a pronunciation model reaches a word error rate, vs. Keras 3 and PyTorch.

    taskset -c 1 python -m benchmarks.time_to_wer train.tsv.gz valid.tsv.gz

Each system trains the model of `examples/pronunciation.py` in a separate process, on the same
batches in the same order with the same schedule. At regular intervals its weights are copied into
this package's model, and the same beam search evaluates the validation words for all systems. Only
training is timed, in CPU seconds, so that other work on the machine matters little. The time to the
target error is interpolated linearly between two points. PyTorch is included if it is installed.
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
from benchmarks.machine import describe_machine
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
COLUMNS = ("system", "steps", "CPU seconds", "vs. Keras 3", "ms per step", "last WER")
Point = dict[str, float]


def main() -> None:
    """Train each system to the target, print a table and save the results."""
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
    print(describe_machine(), table(curves, arguments.target), sep="\n\n")
    name = "time_to_wer_random_batches" if arguments.random_batches else "time_to_wer"
    figures = {"target": arguments.target, "curves": curves}
    (RESULTS / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def work(arguments: argparse.Namespace) -> None:
    """Run one system: train, and print a line of JSON for each point of the curve.

    Args:
        arguments: Command line arguments with the files, the sizes, the schedule, the target and
            the name of the system.
    """
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries may print to standard output
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
    """Create the batches of an epoch.

    Args:
        arguments: Command line arguments with the batch size, the seed, and whether batches are
            random.
        pairs: The pairs.
        source: Source tokenizer.
        target: Target tokenizer.

    Returns:
        A list of padded batches in the format of `fit`, of pairs of similar length or of random
        pairs.
    """
    size = 1 if arguments.random_batches else arguments.batch
    dataset = s2s.make_dataset(
        pairs, source, target, batch_size=size, shuffle=True, seed=arguments.seed
    )
    if arguments.random_batches:
        dataset = dataset.unbatch().padded_batch(arguments.batch)
    return list(dataset.as_numpy_iterator())


def until(curve: list[Point], target: float, key: str) -> float | None:
    """Return where a curve first reaches the target error rate.

    Args:
        curve: Points in order.
        target: Float. Target word error rate.
        key: Quantity to return: "step", "cpu_seconds" or "seconds".

    Returns:
        The value, interpolated linearly between two points, or `None` if the curve ends above the
        target.
    """
    before: Point = {"wer": 1.0, key: 0.0}
    for point in curve:
        if point["wer"] <= target:
            part = (before["wer"] - target) / (before["wer"] - point["wer"])
            return before[key] + part * (point[key] - before[key])
        before = point
    return None


def table(curves: dict[str, list[Point]], target: float) -> str:
    """Format the results of all systems as a Markdown table.

    Args:
        curves: Dictionary from system to its points. Must include "Keras 3".
        target: Float. Target word error rate.

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
        from benchmarks.time_to_wer_torch import TorchModel  # only this system needs PyTorch

        return TorchModel(sizes)
    return keras_s2s_model(sizes) if name == "keras_s2s" else keras_model(sizes)


def _rate(step: int, steps: int) -> float:
    """Return the fraction of the peak learning rate: a 200-step warm-up, then decay to zero."""
    return min((step + 1) / 200, 1.0) * (1.0 - step / steps)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("train", help="pairs to train on: source<TAB>target lines")
    parser.add_argument("valid", help="validation pairs")
    parser.add_argument("--target", type=float, default=0.31, help="word error rate (default .31)")
    parser.add_argument(
        "--steps", type=int, default=7000, help="steps until the learning rate is zero"
    )
    parser.add_argument("--every", type=int, default=500, help="steps between two measurements")
    parser.add_argument("--words", type=int, default=2677, help="validation words to search")
    parser.add_argument("--units", type=int, default=192)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.004)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--random-batches",
        action="store_true",
        help="padded batches of random pairs, not of similar lengths as in make_dataset",
    )
    parser.add_argument("--system", choices=SYSTEMS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
