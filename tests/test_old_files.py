"""Files that the tree 0961f9a wrote still load and give the same answers."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from data.old_files.write import MODELS, SOURCE_IDS, TARGET_INPUTS, TARGET_LABELS, TEXTS

import keras_s2s as s2s

FOLDER = Path(__file__).parent / "data" / "old_files"
EXPECTED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [*MODELS, "ensemble"])
@pytest.mark.sampled(1)
def test_an_old_model_gives_the_same_outputs(name):
    model, expected = s2s.load(FOLDER / f"{name}.keras"), EXPECTED[name]
    found = model.search(SOURCE_IDS, s2s.BeamSearch(beam_width=3, max_length=6))
    np.testing.assert_array_equal(found.ids, expected["ids"])
    np.testing.assert_allclose(found.scores, expected["scores"], rtol=1e-5)
    log_probs = model.log_prob(SOURCE_IDS, TARGET_LABELS)
    np.testing.assert_allclose(log_probs, expected["log_probs"], rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.slow
def test_a_model_has_its_optimizer_and_trains_on(name):
    model, expected = s2s.load(FOLDER / f"{name}.keras"), EXPECTED[name]["optimizer"]
    sums = [float(np.sum(value)) for value in model.optimizer.variables]
    np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-6)
    inputs = {"source_ids": SOURCE_IDS, "target_inputs": TARGET_INPUTS}
    model.fit(inputs, TARGET_LABELS, verbose=0)
    assert int(model.optimizer.iterations) == int(sums[0]) + 1


def test_a_translator_translates_as_before():
    translator, expected = s2s.load(FOLDER / "translator.keras"), EXPECTED["translator"]
    assert translator.translate(TEXTS) == expected["texts"]
    np.testing.assert_allclose(translator(TEXTS)["scores"], expected["scores"], rtol=1e-5)


def test_layers_by_themselves_compute_as_before():
    model = keras.saving.load_model(FOLDER / "layers.keras")
    outputs = model.predict(SOURCE_IDS, verbose=0)
    np.testing.assert_allclose(outputs, EXPECTED["layers"]["outputs"], rtol=1e-5, atol=1e-7)
