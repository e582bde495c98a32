"""Write the files of this folder. Run on the tree 0961f9a, and kept to show what is in them.

They are not written again: that files of that tree still load is what they are here to show.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import keras
import numpy as np

import keras_s2s as s2s
from keras_s2s import layers

SOURCE_IDS = np.array([[5, 6, 7, 3], [8, 3, 0, 0], [4, 4, 3, 0]], np.int32)
TARGET_LABELS = np.array([[4, 5, 6, 3], [6, 3, 0, 0], [3, 0, 0, 0]], np.int32)
TARGET_INPUTS = np.array([[2, 4, 5, 6], [2, 6, 0, 0], [2, 0, 0, 0]], np.int32)
TEXTS = ["abcd", "d", "bb", "cabad"]

MODELS = {
    "lstm": lambda: s2s.Seq2Seq(
        s2s.LSTMEncoder(
            9,
            3,
            embedding_dim=2,
            num_layers=2,
            bidirectional=True,
            residual=True,
            layer_normalization=True,
            dropout=(0.1, 0.2, 0.3),
            recurrent_dropout=0.1,
            word_dropout=0.2,
            context="mean",
        ),
        s2s.LSTMDecoder(
            7,
            4,
            embedding_dim=2,
            num_layers=2,
            attention="luong",
            input_feeding=True,
            context_to="both",
            layer_normalization=True,
            residual=True,
        ),
    ),
    "gru": lambda: s2s.Seq2Seq(
        s2s.GRUEncoder(9, 3, bidirectional=True, context="attention_pool"),
        s2s.GRUDecoder(7, 4, attention="bahdanau", context_to="every_step"),
    ),
    "shared_and_tied": lambda: s2s.Seq2Seq(
        s2s.LSTMEncoder(9, 4, reverse_source=True),
        s2s.LSTMDecoder(9, 4, tie_output=True, attention="luong_concat"),
        share_embeddings=True,
    ),
    "mixed_precision": lambda: s2s.Seq2Seq(
        s2s.LSTMEncoder(9, 3, trainable_embeddings=False, context="max", dtype="mixed_bfloat16"),
        s2s.LSTMDecoder(7, 3, attention="luong_dot", dtype="mixed_bfloat16"),
        dtype="mixed_bfloat16",
    ),
}


def trained(model: s2s.Seq2Seq) -> s2s.Seq2Seq:
    random = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(0.7 * random.normal(size=weight.shape))
    model.compile(keras.optimizers.Adam(0.01), loss=s2s.SequenceLoss())
    inputs = {"source_ids": SOURCE_IDS, "target_inputs": TARGET_INPUTS}
    model.fit(inputs, TARGET_LABELS, epochs=2, verbose=0)
    return model


def layer_model() -> keras.Model:
    """The layers in a model of Keras's functional API."""
    ids = keras.Input([None], dtype="int32", name="ids")
    mask = keras.ops.not_equal(ids, 0)
    values = layers.TokenEmbedding(9, 3)(ids)
    # their names in that tree
    values, _ = layers.LSTM(3)(values, mask=mask)  # type: ignore[attr-defined]
    values, _ = layers.GRU(3, go_backwards=True)(values, mask=mask)  # type: ignore[attr-defined]
    return keras.Model(ids, layers.AttentionPool()(values, mask=mask))


def answers(model: s2s.Seq2Seq) -> dict[str, list]:
    found = model.search(SOURCE_IDS, s2s.BeamSearch(beam_width=3, max_length=6))
    optimizer = getattr(model, "optimizer", None)
    return {
        "ids": found.ids.numpy().tolist(),
        "scores": found.scores.numpy().tolist(),
        "log_probs": model.log_prob(SOURCE_IDS, TARGET_LABELS).numpy().tolist(),
        "optimizer": [float(np.sum(value)) for value in optimizer.variables] if optimizer else [],
    }


def compress(path: Path) -> None:
    """Recompress a file without changing its content."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)


def main() -> None:
    keras.utils.set_random_seed(1)
    here, expected = Path(__file__).parent, {}
    models = {name: trained(make()) for name, make in MODELS.items()}
    models["ensemble"] = s2s.Ensemble([models["lstm"], models["gru"]])
    for name, model in models.items():
        model.save(here / f"{name}.keras")
        expected[name] = answers(model)
    source, target = s2s.CharTokenizer.train(["abcd"]), s2s.WordTokenizer.train(["one two three"])
    search = s2s.BeamSearch(beam_width=3, num_hypotheses=2, max_length=6)
    translator = s2s.Translator(
        s2s.Seq2Seq(
            s2s.LSTMEncoder(source.vocabulary_size, 3),
            s2s.LSTMDecoder(target.vocabulary_size, 3, attention="luong"),
        ),
        source,
        target,
        search=search,
    )
    random = np.random.default_rng(0)
    translator.model.set_weights(
        [random.normal(size=weight.shape) for weight in translator.model.get_weights()]
    )
    translator.save(here / "translator.keras")
    expected["translator"] = {
        "texts": translator.translate(TEXTS),
        "scores": translator(TEXTS)["scores"].numpy().tolist(),
    }
    model = layer_model()
    model.save(here / "layers.keras")
    expected["layers"] = {"outputs": model.predict(SOURCE_IDS, verbose=0).tolist()}
    for path in here.glob("*.keras"):
        compress(path)
    (here / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    main()
