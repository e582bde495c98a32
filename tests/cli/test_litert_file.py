"""Commands that read a LiteRT file. One file of tests, so that it is exported once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from keras_s2s import CharTokenizer, FeatureTokenizer, WordTokenizer
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


def test_an_export_reads_columns_and_counts_tokens_like_its_model(model, litert_file):
    loaded, exported = load_model(str(model)), load_model(str(litert_file))
    assert loaded.tokenizers == (CharTokenizer, WordTokenizer)
    assert exported.tokenizers == ("CharTokenizer", "WordTokenizer")
    for each in (loaded, exported):
        assert (each.columns(), each.target_unit()) == (None, "words")
    inflecting = exported._replace(tokenizers=(FeatureTokenizer, CharTokenizer))
    assert (inflecting.columns(), inflecting.target_unit()) == ("features", "characters")
    inflecting = exported._replace(tokenizers=("FeatureTokenizer", "CharTokenizer"))
    assert (inflecting.columns(), inflecting.target_unit()) == ("features", "characters")
    unknown = exported._replace(tokenizers=(None, None))
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
