"""Transliterate words from Latin letters back to their own script.

    python examples/transliteration.py --script hi
    python examples/transliteration.py --tsv train.tsv.gz valid.tsv.gz

The first command uses Hindi names (or ru, el, ar, ...) from the CLDR, with the PyPI package Babel,
and their ASCII transliterations from the PyPI package anyascii. The second uses pairs of your own,
such as those of the Dakshina data set. A source may have several correct targets.
"""

from __future__ import annotations

import argparse
import random
import time
import unicodedata

import anyascii
import babel
import keras
import tensorflow as tf

import keras_s2s as s2s
from keras_s2s.evaluation import error_rates, group_references

Pairs = list[tuple[str, str]]


def read_names(script: str) -> tuple[Pairs, Pairs]:
    """Read the words of all names in the CLDR for a language, with a random split."""
    locale = babel.Locale(script)
    zones = [zone["city"] for zone in locale.time_zones.values() if "city" in zone]
    names = [*locale.languages.values(), *locale.territories.values(), *zones]
    names += locale.currencies.values()
    words = sorted({word for name in names for word in name.split() if _is_word(word)})
    words = [word for word in words if not word.isascii()]
    random.Random(0).shuffle(words)
    pairs = [(anyascii.anyascii(word).lower(), word) for word in words]
    tested = len(pairs) // 10
    seen = {roman for roman, _ in pairs[:tested]}
    return [pair for pair in pairs[tested:] if pair[0] not in seen], pairs[:tested]


def _is_word(text: str) -> bool:
    """Return whether a text contains only letters and marks, such as Hindi vowel signs."""
    return all(unicodedata.category(character)[0] in "LM" for character in text)


def build(letters: int, characters: int) -> s2s.Seq2Seq:
    """Build the model."""
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(letters, 128, embedding_dim=64, bidirectional=True, dropout=0.2),
        s2s.LSTMDecoder(characters, 128, embedding_dim=64, attention="luong", dropout=0.2),
    )
    model.compile(
        s2s.FusedAdam(0.004, global_clipnorm=1.0),
        loss=s2s.SequenceLoss(reduction="token", label_smoothing=0.05),
        metrics=[s2s.TokenAccuracy()],
    )
    return model


def main() -> None:
    """Train, transliterate and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--script", default="hi", help="language of the names")
    parser.add_argument("--tsv", nargs=2, metavar=("TRAIN", "VALID"))
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--output", default="transliteration.keras")
    args = parser.parse_args()
    keras.utils.set_random_seed(0)

    train, test = map(s2s.read_pairs, args.tsv) if args.tsv else read_names(args.script)
    words = sorted({word for word, _ in train})  # a file may be sorted alphabetically
    held_out = set(random.Random(0).sample(words, max(1, len(words) // 30)))
    valid = [pair for pair in train if pair[0] in held_out]
    train = [pair for pair in train if pair[0] not in held_out]
    source = s2s.CharTokenizer.train(text for text, _ in train)
    target = s2s.CharTokenizer.train(text for _, text in train)
    print(f"{len(train)} training words, {len(test)} test words")
    model = build(source.vocabulary_size, target.vocabulary_size)
    search = s2s.BeamSearch(beam_width=5, num_hypotheses=3, max_length=40)
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
    accepted = group_references(test)
    outputs = translator.translate(list(accepted), batch_size=128)
    rates = error_rates(outputs, list(accepted.values()), tokens="characters")
    print(
        f"words wrong {100 * rates.sequence_error_rate:.2f} %, "
        f"characters wrong {100 * rates.token_error_rate:.2f} %"
    )
    for word in list(accepted)[:5]:
        several = translator(tf.constant([word]))["target"].numpy()[0]
        print(f"  {word:20s} {' '.join(text.decode() for text in several)}")
    translator.save(args.output)


if __name__ == "__main__":
    main()
