"""Texts for exports that take ids, and the parts of an export that they need."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.served import shared_translator

from keras_s2s.export import parts as parts_module
from keras_s2s.export.parts import CARD, TOKENIZERS, VOCABULARIES, vocabularies
from keras_s2s.export.text_runtime import TextRuntime

PARTS = {
    CARD: {"signatures": ["ids", "score_ids"], "source_length": 6, "format": "SavedModel"},
    TOKENIZERS: {side: {"class": "CharTokenizer"} for side in VOCABULARIES},
    **{name: ["[PAD]", "[UNK]", "[BOS]", "[EOS]", *"abcd"] for name in VOCABULARIES.values()},
}


def encode(parts):
    return {name: json.dumps(content).encode() for name, content in parts.items()}


def run(signature, inputs):
    """Answer each source with its ids, and a source without tokens with empty slots, as a graph."""
    ids = inputs["source_ids"]
    assert ids.shape[1] == 6
    rejected = ids[:, 0] == 3
    ids = np.where(rejected[:, np.newaxis], 0, ids)
    scores = np.where(rejected, -1e9, -0.5).astype(np.float32)
    if signature == "score_ids":
        assert len(inputs["target_ids"]) == len(ids)
        return {"scores": scores, "log_probs": scores}
    scores = scores[:, np.newaxis]
    return {
        "target_ids": ids[:, np.newaxis],
        "lengths": np.count_nonzero(ids, axis=1)[:, np.newaxis].astype(np.int32),
        "scores": scores,
        "log_probs": scores,
        "confidences": np.where(rejected, 0, 0.5)[:, np.newaxis],
    }


def strings(*texts):
    return np.array([text.encode() for text in texts], object)


def test_a_source_that_is_blank_or_longer_than_the_fixed_length_has_no_output():
    runtime = TextRuntime("m", encode(PARTS), run)
    found = runtime("serving_default", {"source": strings("abc", "abcdab", "abcda", " \u3000")})
    assert found["target"].tolist() == [[b"abc"], [b""], [b"abcda"], [b""]]
    empty = np.float32(-1e9)
    for name in ("scores", "log_probs"):
        assert found[name].tolist() == [[-0.5], [empty], [-0.5], [empty]]
    assert found["confidences"].tolist() == [[0.5], [0.0], [0.5], [0.0]]
    sources = strings("abcdab", "a", " ")
    scored = runtime("score", {"source": sources, "target": strings("b", "abcdab", "b")})
    assert scored["scores"].tolist() == scored["log_probs"].tolist() == [empty, -0.5, empty]


def test_a_missing_signature_is_named():
    parts = encode({**PARTS, CARD: {**PARTS[CARD], "signatures": ["ids"]}})
    with pytest.raises(ValueError, match=r"m: the export must have .* score_ids. Received: ids"):
        TextRuntime("m", parts, run)("score", {})


def test_missing_and_damaged_vocabularies_are_reported():
    parts = encode(PARTS)
    for name in (TOKENIZERS, *VOCABULARIES.values()):
        with pytest.raises(ValueError, match=f"The '{name}' in 'm' is damaged"):
            TextRuntime("m", {**parts, name: b"["}, run)
        fewer = {key: content for key, content in parts.items() if key != name}
        with pytest.raises(FileNotFoundError, match=f"There is no '{name}' in 'm'"):
            TextRuntime("m", fewer, run)


def test_an_export_is_read_once_for_all_its_parts(monkeypatch, tmp_path):
    calls = []

    def read(path):
        calls.append(path)
        translator = shared_translator()
        found = {side: getattr(translator, side).vocabulary for side in VOCABULARIES}
        return encode({VOCABULARIES[side]: tokens for side, tokens in found.items()}) | {
            TOKENIZERS: b"{}"
        }

    monkeypatch.setattr(parts_module, "read_metadata", read)
    vocabularies(tmp_path / "m.tflite", tmp_path / "app")
    assert len(calls) == 1
