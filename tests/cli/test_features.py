"""Files with lemma, features and form, from training to evaluation."""

from __future__ import annotations

import json

import pytest
from helpers.running import start

import keras_s2s

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


@pytest.mark.parametrize(
    "more", [["--copy"], ["--stream", "--copy", "--attention", "monotonic"]], ids=str
)
@pytest.mark.slow
def test_files_with_features_train_as_they_are(more, files, tmp_path, run):
    options = ["--train", files / "train.tsv", "--valid", files / "valid.tsv", *more]
    options += ["--features-column", "2", "--units", "8", "--epochs", "1", "--threads", "1"]
    with start("train", *options, "--output", tmp_path / "run") as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    vocabulary = json.loads((tmp_path / "run/source_vocabulary.json").read_text("utf-8"))
    assert {";V", ";PST", ";3", "a"} <= set(vocabulary)
    column = ["--features-column", "2"]
    code, output, _ = run("evaluate", tmp_path / "run", files / "valid.tsv", *column)
    assert code == 0
    assert "wer" in output.lower()
    code, output, _ = run("score", tmp_path / "run", files / "valid.tsv", *column)
    assert (code, len(output.splitlines())) == (0, 3)
    code, output, _ = run("translate", tmp_path / "run", stdin=b"ab V;PST\n")
    assert (code, len(output.splitlines())) == (0, 1)
    decoder = keras_s2s.load(tmp_path / "run/best.keras").model.decoder
    assert decoder.copy
    assert decoder.attention == ("monotonic" if "monotonic" in more else "luong")
