"""Files with lemma, features and form, from training to evaluation."""

from __future__ import annotations

import json

import pytest
from helpers.running import start

import keras_s2s
from keras_s2s.cli.settings_file import complete
from keras_s2s.cli.training_pairs import read_training_pairs

FORMS = {"V;PST": "ed", "V;PRS;3;SG": "s", "V;PTCP": "ing"}
LEMMAS = [first + second for first in "abc" for second in "abc"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inflection")
    lines = [
        f"{lemma}\t{features}\t{lemma}{ending}\n"
        for lemma in LEMMAS
        for features, ending in FORMS.items()
    ]
    (folder / "train.tsv").write_text("".join(lines), "utf-8")
    (folder / "valid.tsv").write_text("".join(lines[-3:]), "utf-8")
    return folder


@pytest.mark.parametrize("column", [1, 3])
def test_a_column_without_features_is_refused(files, column):
    paths = {"train": [str(files / "train.tsv")], "valid": str(files / "valid.tsv")}
    with pytest.raises(
        ValueError,
        match=r"train\.tsv: `features_column` must be .* such as V;PST, which is column 2",
    ):
        read_training_pairs(complete({**paths, "features_column": column}))


@pytest.mark.parametrize(("command", "models"), [("evaluate", 1), ("score", 1), ("compare", 2)])
def test_a_wrong_column_is_refused_before_a_model_is_loaded(command, models, files, tmp_path, run):
    model = tmp_path / "model.keras"
    model.touch()
    code, _, errors = run(command, *[model] * models, files / "train.tsv", "--features-column", 3)
    assert code == 2
    assert "such as V;PST, which is column 2 in 27 of 27 pairs. Received: 3" in errors


def test_features_that_are_hardly_repeated_are_reported(tmp_path, capsys):
    path = tmp_path / "words.tsv"
    lines = [f"{lemma}{ending}\tPST\t{lemma}{ending}ed\n" for lemma in LEMMAS for ending in "xyz"]
    path.write_text("".join(lines), "utf-8")
    read_training_pairs(complete({"train": [str(path)], "valid": str(path), "features_column": 2}))
    assert "check that column" not in capsys.readouterr().err
    read_training_pairs(complete({"train": [str(path)], "valid": str(path), "features_column": 3}))
    expected = "warning: 27 different features in 27 pairs: check that column 3"
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--stream", "--copy", "--attention", "monotonic"]], ids=str)
@pytest.mark.slow
def test_files_with_features_need_no_conversion(more, files, tmp_path, run):
    options = ["--train", files / "train.tsv", "--valid", files / "valid.tsv", *more]
    options += ["--features-column", "2", "--units", "8", "--epochs", "1", "--threads", "1"]
    with start("train", *options, "--output", tmp_path / "run") as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    vocabulary = json.loads((tmp_path / "run/source_vocabulary.json").read_text("utf-8"))
    assert {";V", ";PST", ";3", "a"} <= set(vocabulary)
    code, output, _ = run("evaluate", tmp_path / "run", files / "valid.tsv")
    assert code == 0
    assert "wer" in output.lower()
    code, output, _ = run("score", tmp_path / "run", files / "valid.tsv")
    assert (code, len(output.splitlines())) == (0, 3)
    code, output, _ = run("translate", tmp_path / "run", stdin=b"ab V;PST\nab\tV;PST\n")
    first, second = output.splitlines()
    assert (code, first) == (0, second)
    decoder = keras_s2s.load(tmp_path / "run/best.keras").model.decoder
    assert decoder.copy
    assert decoder.attention == ("monotonic" if "monotonic" in more else "luong")
