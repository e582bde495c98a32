"""The LiteRT file in a C++ program, with the runtime that the package ai-edge-litert ships."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.served import tiny_translator
from helpers.served_litert import write

import keras_s2s as s2s
from keras_s2s.export.litert_runner import LiteRTRunner

SOURCE = Path(__file__).parents[2] / "examples" / "litert" / "pronounce.cc"
WORDS = ["hello", "a", "zebra crossing", "naïve café", "日本", "[EOS]", "x" * 40, "hello"]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    found = importlib.util.find_spec("ai_edge_litert")
    folder = Path(found.origin).parent
    if shutil.which("g++") is None:
        pytest.skip("There is no g++ to build the C++ example with.")
    if not (folder / "libLiteRt.so").is_file():
        pytest.skip("ai-edge-litert ships no libLiteRt.so for this platform.")
    built = tmp_path_factory.mktemp("cpp") / "pronounce"
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-O1", "-o", built, SOURCE]
    command += [f"-L{folder}", "-l:libLiteRt.so", f"-Wl,-rpath,{folder}"]
    subprocess.run(command, check=True)
    return built


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write(tiny_translator(), tmp_path_factory.mktemp("cpp") / "g2p.tflite", "ids")


def run(program, *arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_a_cpp_program_gives_the_answers(program, path):
    done = run(program, path, *WORDS)
    assert done.returncode == 0, done.stderr
    found = [line.split("\t") for line in done.stdout.splitlines()]
    expected = [row[0] for row in LiteRTRunner(path).search(WORDS)]
    assert [[text, target] for text, target, _ in found] == [
        [text, best.text] for text, best in zip(WORDS, expected, strict=True)
    ]
    assert [float(score) for *_, score in found] == pytest.approx(
        [best.score for best in expected], rel=1e-4
    )


def test_a_cpp_program_refuses_what_it_cannot_run(program, tmp_path):
    translator = tiny_translator()
    backwards = s2s.Translator(
        s2s.Seq2Seq(
            s2s.LSTMEncoder(translator.target.vocabulary_size, 4),
            s2s.LSTMDecoder(translator.source.vocabulary_size, 4),
        ),
        translator.target,
        translator.source,
        search=s2s.GreedySearch(max_length=3),
    )
    for weight in backwards.model.weights:
        weight.assign(weight + 0.1)
    other = write(backwards, tmp_path / "other.tflite", "ids")
    for arguments, message in (
        ([], "usage:"),
        ([other, "hello"], "for a CharTokenizer on the side of the source"),
        ([tmp_path / "missing.tflite", "hello"], "loading"),
    ):
        done = run(program, *arguments)
        assert done.returncode == 2
        assert message in done.stderr
