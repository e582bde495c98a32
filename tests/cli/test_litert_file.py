"""Commands that read a LiteRT file. One file of tests, so that it is exported once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from keras_s2s import (
    CharTokenizer,
    FeatureTokenizer,
    LSTMDecoder,
    LSTMEncoder,
    Seq2Seq,
    Translator,
)
from keras_s2s.cli.exported_model import ExportedModel
from keras_s2s.cli.keras_model import KerasModel
from keras_s2s.cli.loading import load_model


@pytest.mark.parametrize("command", ["translate", "inspect"])
def test_a_truncated_litert_file_is_an_error(run, litert_file, tmp_path, command):
    path = tmp_path / "cut.tflite"
    path.write_bytes(litert_file.read_bytes()[:20000])
    code, _, errors = run(command, path)
    assert code == 2
    assert errors.count("\n") == 1
    assert str(path) in errors
    assert "damaged" in errors


def test_a_truncated_litert_file_shows_no_messages_of_libraries(litert_file, tmp_path):
    path = tmp_path / "cut.tflite"
    path.write_bytes(litert_file.read_bytes()[:20000])
    code = f"from keras_s2s.cli.main import main; main(['translate', {str(path)!r}])"
    ended = subprocess.run(
        [sys.executable, "-c", code], input=b"ab\n", capture_output=True, check=False
    )
    assert ended.stderr.count(b"\n") == 1
    assert b"damaged" in ended.stderr


def test_an_export_reads_columns_and_counts_tokens_like_its_model(model, litert_file):
    for path in (model, litert_file):
        loaded = load_model(str(path))
        assert (loaded.columns(), loaded.target_unit()) == (None, "words")
    source, target = FeatureTokenizer.train(["ab V;PST"]), CharTokenizer.train(["ab"])
    encoder, decoder = (
        LSTMEncoder(source.vocabulary_size, 2),
        LSTMDecoder(target.vocabulary_size, 2),
    )
    translator = Translator(Seq2Seq(encoder, decoder), source, target)
    card = {"source": {"class": "FeatureTokenizer"}, "target": {"class": "CharTokenizer"}}
    for inflecting in (KerasModel(translator, translator.search), ExportedModel(None, card)):
        assert (inflecting.columns(), inflecting.target_unit()) == ("features", "characters")
    unknown = ExportedModel(None, {})
    assert (unknown.columns(), unknown.target_unit()) == (None, "words")


def test_a_litert_file_runs_without_tensorflow_and_in_silence(translator, litert_file):
    code = f"""
import sys
from keras_s2s.cli.main import main
assert main(["translate", {str(litert_file)!r}]) == 0
assert not {{"tensorflow", "tensorflow_text", "keras"}} & sys.modules.keys()
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], input=b"ab\n", capture_output=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.decode().splitlines() == translator.translate(["ab"])


def test_the_card_of_an_export_is_printed_without_tensorflow(litert_file):
    code = f"""
import sys
from keras_s2s.cli.main import main
assert main(["inspect", {str(litert_file)!r}]) == 0
assert not {{"tensorflow", "tensorflow_text", "keras"}} & sys.modules.keys()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.startswith(b"# Sequence-to-sequence model, LiteRT")
