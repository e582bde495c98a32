"""`keras-s2s average`."""

from __future__ import annotations

import numpy as np
import pytest

import keras_s2s as s2s


@pytest.fixture
def nearby(translator, tmp_path):
    """A model of the same sizes with other weights and another search."""
    model = s2s.Seq2Seq.from_config(translator.model.get_config())
    model.set_weights([weight + 1.0 for weight in translator.model.get_weights()])
    path = tmp_path / "nearby.keras"
    search = s2s.GreedySearch(max_length=3)
    s2s.Translator(model, translator.source, translator.target, search=search).save(path)
    return path


def test_weights_are_the_mean_and_all_else_is_the_first_models(
    run, model, nearby, translator, tmp_path
):
    path = tmp_path / "mean.keras"
    assert run("average", model, nearby, nearby, "--output", path) == (0, f"{path}\n", "")
    averaged = s2s.load(path)
    for weight, mean in zip(
        translator.model.get_weights(), averaged.model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(mean, weight + 2 / 3, atol=1e-6, rtol=1e-6)
    assert averaged.search == translator.search
    assert averaged.target.vocabulary == translator.target.vocabulary


def test_models_of_other_sizes_are_a_mistake(run, model, translator, tmp_path):
    source, target = translator.source, translator.target
    other = s2s.Seq2Seq(
        s2s.LSTMEncoder(source.vocabulary_size, 3), s2s.LSTMDecoder(target.vocabulary_size, 3)
    )
    s2s.Translator(other, source, target).save(tmp_path / "other.keras")
    output = tmp_path / "mean.keras"
    code, _, errors = run("average", model, tmp_path / "other.keras", "--output", output)
    assert code == 2
    assert "differ in kind or size" in errors
    assert not output.exists()


def test_ids_must_mean_the_same(run, model, translator, tmp_path):
    target = s2s.WordTokenizer.train(["one two four"])  # as many tokens, another meaning
    s2s.Translator(translator.model, translator.source, target).save(tmp_path / "foreign.keras")
    output = tmp_path / "mean.keras"
    code, _, errors = run("average", model, tmp_path / "foreign.keras", "--output", output)
    assert code == 2
    assert "foreign.keras: its target tokenizer differs from that of" in errors
