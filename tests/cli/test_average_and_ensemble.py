"""`keras-s2s average` and `keras-s2s ensemble`."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers.translators import TEXTS

import keras_s2s as s2s


@pytest.fixture
def nearby(translator, tmp_path):
    """A model of the same sizes with other weights and another search."""
    model = s2s.Seq2Seq.from_config(translator.model.get_config())
    model.set_weights([weight * 4 for weight in translator.model.get_weights()])
    path = tmp_path / "nearby.keras"
    search = s2s.GreedySearch(max_length=3)
    s2s.Translator(model, translator.source, translator.target, search=search).save(path)
    return path


@pytest.fixture(scope="module")
def other(translator, tmp_path_factory):
    """A model of another size on the same vocabularies."""
    source, target = translator.source, translator.target
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(source.vocabulary_size, 3), s2s.LSTMDecoder(target.vocabulary_size, 4)
    )
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    path = tmp_path_factory.mktemp("other") / "other.keras"
    s2s.Translator(model, source, target, search=s2s.GreedySearch(max_length=3)).save(path)
    return path


def test_weights_are_averaged_and_the_rest_is_from_the_first_model(
    run, model, nearby, translator, tmp_path
):
    path = tmp_path / "mean.keras"
    assert run("average", model, nearby, nearby, "--output", path) == (0, f"{path}\n", "")
    averaged = s2s.load(path)
    for weight, mean in zip(
        translator.model.get_weights(), averaged.model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(mean, 3 * weight, atol=1e-6, rtol=1e-6)
    assert averaged.search == translator.search
    assert averaged.target.vocabulary == translator.target.vocabulary


def test_models_of_different_sizes_are_an_error(run, model, translator, tmp_path):
    source, target = translator.source, translator.target
    other = s2s.Seq2Seq(
        s2s.LSTMEncoder(source.vocabulary_size, 3), s2s.LSTMDecoder(target.vocabulary_size, 3)
    )
    s2s.Translator(other, source, target).save(tmp_path / "other.keras")
    output = tmp_path / "mean.keras"
    code, _, errors = run("average", model, tmp_path / "other.keras", "--output", output)
    assert code == 2
    assert "differ in units of the encoder" in errors
    assert not output.exists()


@pytest.mark.parametrize("average", ["probabilities", "log_probabilities"])
@pytest.mark.sampled(1)
def test_the_ensemble_searches_with_both_models(run, model, other, translator, tmp_path, average):
    path = tmp_path / "both.keras"
    code, output, errors = run("ensemble", model, other, "--output", path, "--average", average)
    assert (code, output, errors) == (0, f"{path}\n", "")
    members = [s2s.load(file).model for file in (model, other)]
    together = s2s.Ensemble(members, average=average)
    expected = s2s.Translator(
        together, translator.source, translator.target, search=translator.search
    )(tf.constant(TEXTS))
    found = s2s.load(path)(tf.constant(TEXTS))
    assert found["target"].numpy().tolist() == expected["target"].numpy().tolist()
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-5)
    alone = translator(tf.constant(TEXTS))
    assert np.abs(found["scores"] - alone["scores"]).max() > 0.01


def test_a_model_is_not_combined_with_itself(run, model, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.keras").symlink_to(model)
    code, _, errors = run("ensemble", model, tmp_path / "run", "--output", tmp_path / "two.keras")
    assert code == 2
    assert errors.endswith(
        f"run/best.keras': it is the same model as '{model}'. Expected: different models\n"
    )


def test_an_ensemble_keeps_what_it_averages(run, model, other, tmp_path):
    two, three = tmp_path / "two.keras", tmp_path / "three.keras"
    geometric = ("--average", "log_probabilities")
    assert run("ensemble", model, other, "--output", two, *geometric)[0] == 0
    code, _, errors = run("ensemble", two, other, "--output", three)
    assert code == 2
    assert "two.keras': it is an ensemble that averages log_probabilities. Expected" in errors
    assert run("ensemble", two, other, "--output", three, *geometric)[0] == 0


def test_an_ensemble_may_be_a_member(run, model, other, tmp_path):
    two, three = tmp_path / "two.keras", tmp_path / "three.keras"
    assert run("ensemble", model, other, "--output", two)[0] == 0
    assert run("ensemble", two, other, "--output", three)[0] == 0
    assert len(s2s.load(three).model.members()) == 3


def test_limits_are_from_the_first_model_and_confidences_uncalibrated(
    run, other, translator, tmp_path
):
    first, both = tmp_path / "first.keras", tmp_path / "both.keras"
    options = {"confidence": 2.5, "max_source_length": 9, "truncate_source": True}
    parts = translator.model, translator.source, translator.target
    s2s.Translator(*parts, search=translator.search, **options).save(first)
    code, _, errors = run("ensemble", first, other, "--output", both)
    assert code == 0
    assert errors.startswith(
        "keras-s2s: warning: the confidences of the new model are not calibrated; in Python, "
    )
    loaded = s2s.load(both)
    assert (loaded.temperature, loaded.max_source_length, loaded.truncate_source) == (1.0, 9, True)


@pytest.mark.parametrize("command", ["average", "ensemble"])
def test_vocabularies_must_be_equal(run, model, translator, tmp_path, command):
    foreign = tmp_path / "foreign.keras"
    target = s2s.WordTokenizer.train(["one two four"])  # as many tokens, another meaning
    assert target.vocabulary_size == translator.target.vocabulary_size
    s2s.Translator(translator.model, translator.source, target, search=translator.search).save(
        foreign
    )
    code, output, errors = run(command, model, foreign, "--output", tmp_path / "both.keras")
    assert (code, output) == (2, "")
    expected = {
        "average": "foreign.keras', whose target vocabularies differ",
        "ensemble": "foreign.keras': its target tokenizer differs from that of",
    }
    assert expected[command] in errors
    assert not (tmp_path / "both.keras").exists()


def test_a_file_is_replaced_only_on_request(run, model, other, tmp_path):
    output = tmp_path / "both.keras"
    output.write_bytes(b"work")
    code, _, errors = run("ensemble", model, other, "--output", output)
    assert code == 2
    assert "both.keras: the file already exists; use --overwrite to replace it" in errors
    assert output.read_bytes() == b"work"
    assert run("ensemble", model, other, "--output", output, "--overwrite")[0] == 0
    assert output.stat().st_size > 1000


@pytest.mark.parametrize(
    ("number", "name", "complaint"),
    [(1, "both.keras", "needs at least two models"), (2, "both.h5", "must end in .keras")],
)
@pytest.mark.parametrize("command", ["average", "ensemble"])
def test_errors_are_reported_before_a_model_is_loaded(
    run, tmp_path, command, number, name, complaint
):
    nothing = tmp_path / "nothing.keras"
    nothing.touch()
    code, _, errors = run(command, *[nothing] * number, "--output", tmp_path / name)
    assert code == 2
    assert complaint in errors
