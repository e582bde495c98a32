from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version

import keras
import pytest
import tensorflow as tf
from helpers.served import shared_translator

import keras_s2s as s2s
from keras_s2s.export.card_text import to_markdown
from keras_s2s.export.model_card import card_files, check_figures, make_card
from keras_s2s.export.parity import Parity
from keras_s2s.export.parts import read_card


@pytest.fixture(scope="module")
def translator():
    return shared_translator()


@pytest.fixture
def card(translator):
    return make_card(
        translator,
        file_format="SavedModel",
        signatures=["serving_default", "ids"],
        operations=["AddV2", "MatMul"],
        figures={"WER": 25.5},
        parity=Parity("scores", 1e-4, 2e-6, 24, 23),
    )


def test_a_card_describes_what_was_exported(card, translator):
    assert card["format"] == "SavedModel"
    assert card["source"] == {"class": "CharTokenizer", "vocabulary_size": 33}
    assert card["target"] == {"class": "WordTokenizer", "vocabulary_size": 28}
    assert card["search"]["class"] == "BeamSearch"
    assert card["search"]["beam_width"] == 4
    assert card["decoder"]["attention"] == "luong"
    assert card["parameters"] == sum(tf.size(weight) for weight in translator.model.weights)
    assert card["operations"] == ["AddV2", "MatMul"]
    assert card["figures"] == {"WER": 25.5}


def test_the_card_of_an_ensemble_describes_its_members(translator):
    model = s2s.Ensemble([translator.model, s2s.Seq2Seq.from_config(translator.model.get_config())])
    ensemble = s2s.Translator(model, translator.source, translator.target, replace_unknown=True)
    card = make_card(ensemble, file_format="LiteRT", signatures=[], operations=[], figures={})
    assert card["average"] == "probabilities"
    assert card["replace_unknown"] is True
    assert [member["decoder"]["attention"] for member in card["members"]] == ["luong", "luong"]
    assert card["parameters"] == 2 * translator.model.count_params()
    readable = to_markdown(card)
    assert "| average | probabilities |" in readable
    assert "| decoder 2 | class LSTMDecoder; vocabulary_size 28; units 6;" in readable


def test_a_card_has_the_versions(card):
    expected = {"python": platform.python_version(), "tensorflow": tf.__version__}
    expected |= {"keras": keras.__version__, "tensorflow-text": version("tensorflow-text")}
    assert expected.items() <= card["versions"].items()
    assert card["created"].endswith("+00:00")


def test_a_card_has_the_result_of_the_check(card):
    assert card["parity"] == {
        "compared": "scores",
        "tolerance": 1e-4,
        "difference": 2e-6,
        "num_texts": 24,
        "num_same_texts": 23,
    }


def test_a_card_describes_the_signatures(card):
    assert card["signatures"]["ids"] == {
        "inputs": {"source_ids": "int32 [batch, length]"},
        "outputs": {
            "target_ids": "int32 [batch, num_hypotheses, length]",
            "lengths": "int32 [batch, num_hypotheses]",
            "scores": "float32 [batch, num_hypotheses]",
            "log_probs": "float32 [batch, num_hypotheses]",
        },
    }


def test_a_card_explains_how_ids_may_be_padded(card):
    assert list(card["notes"]) == ["ids"]
    assert "must contain the id of eos (3)" in card["notes"]["ids"]
    assert "`pad_variable_length_inputs`" in to_markdown(card)


@pytest.mark.parametrize(
    ("last", "shown"),
    [
        (8, [4, 5, 6, 7]),
        (28, "(4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, …"),
    ],
)
def test_a_long_setting_is_truncated(translator, last, shown):
    search = s2s.BeamSearch(suppress_ids=tuple(range(4, last)))
    other = s2s.Translator(translator.model, translator.source, translator.target, search=search)
    card = make_card(other, file_format="SavedModel", signatures=[], operations=[], figures={})
    assert card["search"]["suppress_ids"] == shown
    json.dumps(card)


def test_the_markdown_card_has_all_parts(card):
    text = to_markdown(card)
    for part in (
        "# Sequence-to-sequence model, SavedModel",
        f"tensorflow {tf.__version__}",
        "| source | class CharTokenizer; vocabulary_size 33 |",
        "| WER | 25.5 |",
        "Compared 24 outputs with the model: scores differ by at most 2.0e-06 (allowed: 0.0001)",
        "| `ids` | source_ids int32 [batch, length] |",
        "Operations: 2, listed in model_card.json. From tensorflow-text: none.",
    ):
        assert part in text
    assert "tf2onnx" not in text


def test_files_are_the_card_and_the_vocabularies(card, translator):
    files = card_files(translator, card)
    assert json.loads(files["model_card.json"]) == card
    assert files["model_card.md"].decode() == to_markdown(card)
    assert json.loads(files["source_vocabulary.json"]) == translator.source.vocabulary
    assert json.loads(files["target_vocabulary.json"]) == translator.target.vocabulary


@pytest.mark.parametrize("figures", [[("WER", 25.0)], {"WER": "25"}, {"WER": True}, {1: 2.0}, 3])
def test_figures_must_map_names_to_numbers(figures):
    with pytest.raises(TypeError, match="`figures` must be a dict of names and numbers"):
        check_figures(figures)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_figures_must_be_finite(value):
    with pytest.raises(ValueError, match=r"`figures` must be finite. Received: 'WER'"):
        check_figures({"WER": value})


def test_a_folder_without_a_card_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no model card in"):
        read_card(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"\xff"])
def test_a_damaged_card_is_refused(tmp_path, content):
    os.mkdir(tmp_path / "assets.extra")
    (tmp_path / "assets.extra" / "model_card.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"The model card in .* is damaged"):
        read_card(tmp_path)
