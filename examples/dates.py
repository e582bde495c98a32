"""Convert written dates in ten languages to ISO 8601 with an attention encoder-decoder.

    python examples/dates.py

Generates dates in every CLDR style for ten languages (with the PyPI package Babel), trains until
all validation dates are correct, and measures the errors on test dates.
"""

from __future__ import annotations

import argparse
import datetime
import random
import time

import babel.dates
import keras

import keras_s2s as s2s
from keras_s2s.evaluation import error_rates

LOCALES = ["en_GB", "en_US", "de", "fr", "es", "it", "nl", "pt", "sv", "pl"]
STYLES = ["medium", "long", "full", "d MMM y", "EEEE d MMMM y"]
Pairs = list[tuple[str, str]]


def make_pairs(number: int) -> Pairs:
    """Return distinct pairs of a written date and its ISO 8601 form."""
    rng = random.Random(0)
    first = datetime.date(1950, 1, 1).toordinal()
    pairs: dict[str, str] = {}
    while len(pairs) < number:
        day = datetime.date.fromordinal(first + rng.randrange(36525))
        text = babel.dates.format_date(day, rng.choice(STYLES), locale=rng.choice(LOCALES))
        pairs[text] = day.isoformat()
    return list(pairs.items())


def build(source: s2s.CharTokenizer, target: s2s.CharTokenizer) -> s2s.Seq2Seq:
    """Build the model."""
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(source.vocabulary_size, 96, embedding_dim=48, bidirectional=True),
        s2s.LSTMDecoder(target.vocabulary_size, 96, embedding_dim=48, attention="luong"),
    )
    model.compile(
        s2s.FusedAdam(0.004, global_clipnorm=1.0),
        loss=s2s.SequenceLoss(),
        metrics=[s2s.TokenAccuracy()],
    )
    return model


def main() -> None:
    """Train, test and save the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tsv", nargs=2, metavar=("TRAIN", "TEST"), help="your own dates")
    parser.add_argument("--pairs", type=int, default=22000, help="number of dates to generate")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--output", default="dates.keras")
    args = parser.parse_args()
    keras.utils.set_random_seed(0)

    if args.tsv:
        train, test = map(s2s.read_pairs, args.tsv)
    else:
        made = make_pairs(args.pairs)
        train, test = made[1000:], made[:1000]
    held_out = max(1, len(train) // 40)
    train, valid = train[held_out:], train[:held_out]
    source = s2s.CharTokenizer.train(text for text, _ in train)
    target = s2s.CharTokenizer.train(text for _, text in train)
    model = build(source, target)
    search = s2s.BeamSearch(beam_width=5, max_length=12)
    start = time.process_time()
    model.fit(
        s2s.make_dataset(train, source, target, batch_size=64, shuffle=True, seed=0),
        epochs=args.epochs,
        callbacks=[
            s2s.SearchEvaluation(
                valid, source, target, search=search, metrics=["wer", "ter"], tokens="characters"
            ),
            keras.callbacks.ReduceLROnPlateau("val_ter", mode="min", factor=0.5, patience=1),
            keras.callbacks.EarlyStopping(
                "val_ter", mode="min", patience=4, restore_best_weights=True
            ),
        ],
    )
    print(f"trained in {time.process_time() - start:.0f} CPU seconds")

    translator = s2s.Translator(model, source, target, search=search)
    outputs = translator.translate([text for text, _ in test], batch_size=128)
    rates = error_rates(outputs, [[date] for _, date in test], tokens="characters")
    wrong = round(rates.sequences * rates.sequence_error_rate)
    print(f"{wrong} of {rates.sequences} test dates are wrong")
    for (text, date), output in list(zip(test, outputs, strict=True))[:8]:
        print(f"  {text:32s} {output}  {'' if output == date else 'should be ' + date}")
    translator.save(args.output)


if __name__ == "__main__":
    main()
