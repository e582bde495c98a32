"""Inflect words given their features.

    python examples/inflection.py
    python examples/inflection.py --tsv train.tsv test.tsv

The first command learns English plurals, third-person forms and present participles of real and
made-up words, inflected with the PyPI package inflect. The second reads lines of the form `lemma
FEATURES<tab>form`; with `--features-column 2` it reads the files of the SIGMORPHON shared tasks,
`lemma<tab>FEATURES<tab>form`.

Each feature is one token, and the decoder copies letters from the lemma.
"""

from __future__ import annotations

import argparse
import random
import time

import inflect
import keras

import keras_s2s as s2s
from keras_s2s.evaluation import error_rates, group_references

Pairs = list[tuple[str, str]]
BEGINNINGS = "b bl br c ch cl d dr f fl g gl gr h j k l m n p pl pr qu r s sh sk st t tr v w"
MIDDLES = "a e i o u ai ea ee oa oo ou igh"
ENDS = "b ck d dge ff fe g k l ll m n ng p r rry s sh sy ss t tch th ve x y ze ch"


def make_pairs(number: int) -> tuple[Pairs, Pairs]:
    """Generate words of one or two syllables and inflect them."""
    rng, engine = random.Random(0), inflect.engine()
    beginnings, middles, ends = BEGINNINGS.split(), MIDDLES.split(), ENDS.split()
    pairs: dict[str, str] = {}
    while len(pairs) < number:
        syllables = rng.choice([1, 1, 2])
        word = "".join(rng.choice(beginnings) + rng.choice(middles) for _ in range(syllables))
        word += rng.choice(ends)
        pairs[f"{word} N;PL"] = engine.plural_noun(word)
        pairs[f"{word} V;3SG"] = engine.plural_noun(word)
        pairs[f"{word} V;PTCP"] = engine.present_participle(engine.plural_noun(word))
    made = list(pairs.items())
    return made[600:], made[:600]


def build(source: s2s.Tokenizer, target: s2s.Tokenizer) -> s2s.Seq2Seq:
    """Build the model."""
    encoder = s2s.LSTMEncoder(
        source.vocabulary_size, 128, embedding_dim=64, bidirectional=True, dropout=0.3
    )
    decoder = s2s.LSTMDecoder(
        target.vocabulary_size, 128, embedding_dim=64, attention="luong", copy=True, dropout=0.3
    )
    model = s2s.Seq2Seq(encoder, decoder, copy_ids=s2s.copy_ids(source, target))
    model.compile(
        s2s.FusedAdam(0.004, global_clipnorm=1.0),
        loss=s2s.SequenceLoss(reduction="token", label_smoothing=0.05),
        metrics=[s2s.TokenAccuracy()],
    )
    return model


def main() -> None:
    """Train, inflect and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tsv", nargs=2, metavar=("TRAIN", "TEST"))
    parser.add_argument("--features-column", type=int, help="column of the features in the files")
    parser.add_argument("--pairs", type=int, default=12000, help="number of forms to generate")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--output", default="inflection.keras")
    args = parser.parse_args()
    keras.utils.set_random_seed(0)

    if args.tsv:
        train, test = (
            s2s.read_pairs(path, features_column=args.features_column) for path in args.tsv
        )
    else:
        train, test = make_pairs(args.pairs)
    random.Random(0).shuffle(train)  # a file may be sorted alphabetically
    held_out = max(1, len(train) // 30)
    train, valid = train[held_out:], train[:held_out]
    source = s2s.FeatureTokenizer.train(text for text, _ in train)
    target = s2s.CharTokenizer.train(form for _, form in train)
    print(f"{len(train)} training forms, {len(test)} test forms")
    model = build(source, target)
    search = s2s.BeamSearch(beam_width=5, max_length=40)
    start = time.process_time()
    model.fit(
        s2s.make_dataset(train, source, target, batch_size=32, shuffle=True, seed=0),
        epochs=args.epochs,
        callbacks=[
            s2s.SearchEvaluation(
                valid, source, target, search=search, metrics=["wer", "ter"], tokens="characters"
            ),
            keras.callbacks.ReduceLROnPlateau("val_ter", mode="min", factor=0.5, patience=2),
            keras.callbacks.EarlyStopping(
                "val_ter", mode="min", patience=6, restore_best_weights=True
            ),
        ],
    )
    print(f"trained in {time.process_time() - start:.0f} CPU seconds")

    translator = s2s.Translator(model, source, target, search=search)
    accepted = group_references(test)
    outputs = translator.translate(list(accepted), batch_size=128)
    rates = error_rates(outputs, list(accepted.values()), tokens="characters")
    print(f"forms wrong {100 * rates.sequence_error_rate:.2f} %")
    for text, output in list(zip(accepted, outputs, strict=True))[:8]:
        right = " or ".join(accepted[text])
        print(f"  {text:24s} {output:20s} {'' if output == right else 'should be ' + right}")
    translator.save(args.output)


if __name__ == "__main__":
    main()
