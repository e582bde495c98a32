"""Create the images of the documentation: `python docs/make_images.py`.

The data are small and defined here: the two tables of the explanation of beam search, a
model that learns to reverse strings within a minute, and invented lengths and errors.
"""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_s2s as s2s

IMAGES = Path(__file__).parent / "images"
TOKENS = ["[PAD]", "[UNK]", "[BOS]", "[EOS]", "A", "B", "C", "D", "E"]

Table = dict[str, dict[str, float]]

# Width 2, three steps: the candidates are A, C, AB, CE, ABD, CED.
FIVE_TOKENS: Table = {
    "": {"A": 0.4, "B": 0.1, "C": 0.3, "D": 0.1, "E": 0.1},
    "A": {"A": 0.1, "B": 0.5, "C": 0.2, "D": 0.1, "E": 0.1},
    "C": {"A": 0.1, "B": 0.1, "C": 0.1, "D": 0.1, "E": 0.6},
    "AB": {"A": 0.1, "B": 0.1, "C": 0.1, "D": 0.6, "E": 0.1},
    "CE": {"A": 0.1, "B": 0.1, "C": 0.1, "D": 0.6, "E": 0.1},
}
# Greedy search gives A B C, P = 0.048; beam search of width 2 gives A C B, P = 0.054.
GREEDY_IS_NOT_BEST: Table = {
    "": {"A": 0.5, "B": 0.2, "C": 0.2, "[EOS]": 0.1},
    "A": {"A": 0.1, "B": 0.4, "C": 0.3, "[EOS]": 0.2},
    "AB": {"A": 0.2, "B": 0.2, "C": 0.4, "[EOS]": 0.2},
    "ABC": {"B": 0.2, "C": 0.2, "[EOS]": 0.6},
    "AC": {"A": 0.1, "B": 0.6, "C": 0.2, "[EOS]": 0.1},
    "ACB": {"A": 0.1, "B": 0.2, "C": 0.1, "[EOS]": 0.6},
}
OTHERWISE = {"A": 0.25, "B": 0.25, "C": 0.25, "[EOS]": 0.25}


def trace(table: Table, search: s2s.BeamSearch, pruned: int) -> s2s.plots.BeamTrace:
    """Search over a table. The state of a hypothesis is its tokens so far."""

    def step(token_ids: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        prefixes = []
        for before, id_ in zip(state.numpy(), token_ids.numpy(), strict=True):
            token = TOKENS[id_] if id_ > 3 else ""
            prefixes.append(before.decode() + token)
        rows = [table.get(prefix, OTHERWISE) for prefix in prefixes]
        logits = [
            [math.log(row[token]) if token in row else -1e9 for token in TOKENS]
            for row in rows
        ]
        return tf.constant(logits), tf.constant(prefixes)

    return s2s.plots.trace_beam_search(
        step, tf.constant([""]), len(TOKENS), search, pruned=pruned
    )


def make_beam_pictures() -> None:
    """Draw the two textbook cases."""
    search = s2s.BeamSearch(beam_width=2, num_hypotheses=2, max_length=3)
    s2s.plots.beam_tree(
        trace(FIVE_TOKENS, search, 8),
        TOKENS,
        path=IMAGES / "beam_search_candidates.png",
    )
    search = s2s.BeamSearch(beam_width=2, max_length=4)
    s2s.plots.beam_tree(
        trace(GREEDY_IS_NOT_BEST, search, 3),
        TOKENS,
        path=IMAGES / "beam_search_finds_more.png",
    )


def make_model_pictures() -> None:
    """Train a model to reverse strings, and draw its learning curves and attention."""
    keras.utils.set_random_seed(0)
    draw = random.Random(0)  # noqa: S311
    texts = [
        "".join(draw.choices("abcdefgh", k=draw.randint(3, 9))) for _ in range(4000)
    ]
    pairs = [(text, text[::-1]) for text in texts]
    source = s2s.CharTokenizer.train(texts)
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(source.vocabulary_size, 24, bidirectional=True),
        s2s.LSTMDecoder(source.vocabulary_size, 24, attention="luong"),
    )
    model.compile(
        s2s.FusedAdam(0.002),
        loss=s2s.SequenceLoss(),
        metrics=[s2s.TokenAccuracy(), s2s.Perplexity()],
    )
    history = model.fit(
        s2s.make_dataset(
            pairs[500:], source, source, batch_size=32, shuffle=True, seed=0
        ),
        validation_data=s2s.make_dataset(pairs[:500], source, source),
        epochs=10,
        verbose=0,
    )
    s2s.plots.learning_curves(history, path=IMAGES / "learning_curves.png")
    translator = s2s.Translator(
        model, source, source, search=s2s.BeamSearch(beam_width=3)
    )
    s2s.plots.attention(translator, "abcdefgh", path=IMAGES / "attention.png")
    s2s.plots.beam_search(translator, "cabbage", path=IMAGES / "beam_search.png")


def make_scripts_picture() -> None:
    """Draw made-up weights between a sentence in Arabic and one in Japanese."""
    source = ["القطة", "جلست", "على", "السجادة", "[EOS]"]
    target = ["猫", "が", "敷物", "の", "上", "に", "座った", "[EOS]"]
    looks_at = np.array([0, 0, 3, 3, 2, 2, 1, 4])
    distance = np.abs(np.arange(len(source))[np.newaxis] - looks_at[:, np.newaxis])
    weights = np.exp(-1.5 * distance)
    weights /= weights.sum(axis=1, keepdims=True)
    s2s.plots.attention_map(
        source, target, weights, path=IMAGES / "attention_scripts.png"
    )


def make_histograms() -> None:
    """Draw lengths and errors of made-up words."""
    draw = np.random.default_rng(0)
    letters: Any = draw.poisson(6.0, 3000) + 2
    phones = np.maximum(letters - draw.poisson(1.2, 3000), 1)
    s2s.plots.length_histogram(
        {"letters": letters, "phones": phones}, path=IMAGES / "length_histogram.png"
    )
    sources = ["x" * length for length in letters]
    right = draw.random(len(sources)) < [
        math.exp(-len(source) / 25) for source in sources
    ]
    outputs = [" ".join("a" * len(source)) for source in sources]
    references = [
        [output if good else f"b {output[2:]}"]
        for output, good in zip(outputs, right, strict=True)
    ]
    s2s.plots.errors_by_length(
        sources, outputs, references, path=IMAGES / "errors_by_length.png"
    )


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    make_beam_pictures()
    make_scripts_picture()
    make_histograms()
    make_model_pictures()
