"""Spell out numbers.

    python examples/spelled_numbers.py --language en

Learns from numbers spelled out by the PyPI package num2words. Text-to-speech front ends need such a
model. A wrong number is worse than an awkward one, so the metric is the fraction of wrong outputs.
"""

from __future__ import annotations

import argparse
import random
import time

import keras
import num2words

import keras_s2s as s2s
from keras_s2s.evaluation import error_rates

Pairs = list[tuple[str, str]]


def make_pairs(number: int, language: str) -> Pairs:
    """Return distinct pairs of digits and words, with 1 to 6 digits drawn uniformly."""
    rng = random.Random(0)
    values: set[int] = set()
    while len(values) < number:
        digits = rng.randint(1, 6)
        values.add(rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits))
    ordered = sorted(values)
    rng.shuffle(ordered)
    return [
        (str(value), num2words.num2words(value, lang=language).replace("-", " - "))
        for value in ordered
    ]


def main() -> None:
    """Train, spell out numbers and count the errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--language", default="en", help="language code of num2words")
    parser.add_argument("--pairs", type=int, default=16000)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--output", default="numbers.keras")
    args = parser.parse_args()
    keras.utils.set_random_seed(0)

    pairs = make_pairs(args.pairs, args.language)
    test, valid, train = pairs[:1000], pairs[1000:1400], pairs[1400:]
    source = s2s.CharTokenizer.train(digits for digits, _ in train)
    target = s2s.WordTokenizer.train(words for _, words in train)
    print(f"{len(train)} training numbers, spelled with {target.vocabulary_size - 4} words")
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(source.vocabulary_size, 96, embedding_dim=32, bidirectional=True),
        s2s.LSTMDecoder(target.vocabulary_size, 96, embedding_dim=32, attention="luong"),
    )
    model.compile(
        s2s.FusedAdam(0.004, global_clipnorm=1.0),
        loss=s2s.SequenceLoss(),
        metrics=[s2s.TokenAccuracy()],
    )
    search = s2s.BeamSearch(beam_width=5, max_length=40)
    start = time.process_time()
    model.fit(
        s2s.make_dataset(train, source, target, batch_size=64, shuffle=True, seed=0),
        epochs=args.epochs,
        callbacks=[
            s2s.SearchEvaluation(valid, source, target, search=search, metrics=["wer", "ter"]),
            keras.callbacks.ReduceLROnPlateau("val_ter", mode="min", factor=0.5, patience=1),
            keras.callbacks.EarlyStopping(
                "val_ter", mode="min", patience=4, restore_best_weights=True
            ),
        ],
    )
    print(f"trained in {time.process_time() - start:.0f} CPU seconds")

    translator = s2s.Translator(model, source, target, search=search)
    outputs = translator.translate([digits for digits, _ in test], batch_size=128)
    rates = error_rates(outputs, [[words] for _, words in test])
    wrong = round(rates.sequences * rates.sequence_error_rate)
    print(f"{wrong} of {rates.sequences} test numbers are wrong")
    for (digits, words), output in list(zip(test, outputs, strict=True))[:6]:
        print(f"  {digits:>8s} {output}{'' if output == words else '  should be ' + words}")
    translator.save(args.output)


if __name__ == "__main__":
    main()
