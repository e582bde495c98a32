"""Translate short texts with subword tokens, evaluated with sacrebleu.

    python examples/translation.py --tsv train.tsv.gz valid.tsv.gz --minutes 10
    python examples/translation.py

The first command trains on sentence pairs of your own, one tab-separated pair per line, such as
those from tatoeba.org. A source with several correct targets may occur on several lines. The second
needs no files: it translates the names of languages, countries, currencies and time zones in the
CLDR from English to French (with the PyPI package Babel).
"""

from __future__ import annotations

import argparse
import pathlib
import random
import time
from typing import Any

import babel
import keras

import keras_s2s as s2s
from keras_s2s.evaluation import bleu, chrf, group_references

Pairs = list[tuple[str, str]]


def read_names() -> tuple[Pairs, Pairs]:
    """Read the names in the CLDR in English and French, with a random split."""
    english, french = babel.Locale("en"), babel.Locale("fr")
    pairs = {
        (name, getattr(french, kind)[key])
        for kind in ("languages", "territories", "currencies", "scripts")
        for key, name in getattr(english, kind).items()
        if key in getattr(french, kind)
    }
    ordered = sorted(pairs)
    random.Random(0).shuffle(ordered)
    return ordered[150:], ordered[:150]


class Minutes(keras.callbacks.Callback):
    """Callback that decays the learning rate to zero in a number of minutes, then stops."""

    def __init__(self, minutes: float) -> None:
        super().__init__()
        self.seconds, self.start, self.rate = 60 * minutes, time.monotonic(), 0.0

    def on_train_begin(self, logs: object = None) -> None:
        self.rate = float(self.model.optimizer.learning_rate)

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        left = 1.0 - (time.monotonic() - self.start) / self.seconds
        self.model.optimizer.learning_rate.assign(self.rate * max(left, 0.01))
        self.model.stop_training = left <= 0.0


def build(size: int, units: int) -> s2s.Seq2Seq:
    """Build a model with two layers per side, attention, and shared embeddings."""
    shape: dict[str, Any] = {
        "embedding_dim": units,
        "num_layers": 2,
        "residual": True,
        "dropout": 0.2,
    }
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(size, units // 2, bidirectional=True, **shape),
        s2s.LSTMDecoder(size, units, attention="luong", tie_output=True, **shape),
        share_embeddings=True,
    )
    model.compile(
        s2s.FusedAdam(0.002, global_clipnorm=1.0),
        loss=s2s.SequenceLoss(reduction="token", label_smoothing=0.1),
        metrics=[s2s.TokenAccuracy(), s2s.Perplexity()],
    )
    return model


def main() -> None:
    """Train, translate and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tsv", nargs=2, metavar=("TRAIN", "VALID"))
    parser.add_argument("--minutes", type=float, default=3.0, help="training time")
    parser.add_argument(
        "--pieces", type=int, default=2000, help="size of the vocabulary shared by both languages"
    )
    parser.add_argument("--units", type=int, default=256)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("translation.keras"))
    args = parser.parse_args()
    keras.utils.set_random_seed(0)

    train, valid = map(s2s.read_pairs, args.tsv) if args.tsv else read_names()
    texts = [text for pair in train for text in pair]
    pieces = s2s.SentencePieceTokenizer.train(texts, vocabulary_size=args.pieces)
    print(f"{len(train)} training pairs, {len(valid)} validation pairs")
    model = build(pieces.vocabulary_size, args.units)
    watched = s2s.SearchEvaluation(
        valid[:200], pieces, pieces, search=s2s.GreedySearch(max_length=60), metrics=["bleu"]
    )
    start = time.process_time()
    model.fit(
        s2s.make_dataset(train, pieces, pieces, batch_tokens=1200, shuffle=True, seed=0),
        epochs=1000,
        callbacks=[watched, Minutes(args.minutes)],
    )
    print(f"trained in {time.process_time() - start:.0f} CPU seconds")

    search = s2s.BeamSearch(beam_width=5, max_length=60, length_penalty=1.0)
    translator = s2s.Translator(model, pieces, pieces, search=search)
    accepted = group_references(valid)
    outputs = translator.translate(list(accepted), batch_size=64)
    for name, figure in (("BLEU", bleu), ("chrF", chrf)):
        score, signature = figure(outputs, list(accepted.values()))
        print(f"{name} {score:.1f}  {signature}")
    for source, output in list(zip(accepted, outputs, strict=True))[:8]:
        print(f"  {source}  →  {output}")
    translator.save(args.output)


if __name__ == "__main__":
    main()
