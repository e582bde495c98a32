"""A C++ program runs the LiteRT file in the runtime of the package ai-edge-litert."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers.served import tiny_translator
from helpers.served_litert import write

import keras_s2s as s2s

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).parents[2] / "examples" / "litert" / "translate.cc"
WORDS = ["hello", "a", "zebra crossing", "naïve café", "日本", "[EOS]", "x" * 40, "hello"]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    found = importlib.util.find_spec("ai_edge_litert")
    folder = Path(found.origin).parent
    if shutil.which("g++") is None:
        pytest.skip("There is no g++ to build the C++ example with.")
    if not (folder / "libLiteRt.so").is_file():
        pytest.skip("ai-edge-litert ships no libLiteRt.so for this platform.")
    built = tmp_path_factory.mktemp("cpp") / "translate"
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-O1", "-o", built, SOURCE]
    command += [f"-L{folder}", "-l:libLiteRt.so", f"-Wl,-rpath,{folder}"]
    subprocess.run(command, check=True)
    return built


def make_translator(source, target, search):
    """Return a translator from bytes to characters, or with other tokenizers."""
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(source.vocabulary_size, 5),
        s2s.LSTMDecoder(target.vocabulary_size, 5),
    )
    generator = np.random.default_rng(4)
    for weight in model.weights:
        weight.assign(1.5 * generator.normal(size=weight.shape))
    return s2s.Translator(model, source, target, search=search)


def run(program, *arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def assert_answers(program, path, translator, search, texts):
    """Compare the answers of the program with those of the model."""
    done = run(program, path, *texts)
    assert done.returncode == 0, done.stderr
    found = [line.split("\t") for line in done.stdout.splitlines()]
    expected = translator.search_texts(tf.constant(texts), search)
    targets = [target.decode() for target in expected["target"].numpy()[:, 0]]
    assert [row[:2] for row in found] == [list(pair) for pair in zip(texts, targets, strict=True)]
    scores = expected["scores"].numpy()[:, 0]
    assert [float(score) for *_, score in found] == pytest.approx(scores, rel=1e-4)
    assert len(set(targets)) > 1


# The tutorial's file has all signatures.
SIGNATURES = {
    "ids": ("ids",),
    "greedy_ids": ("greedy_ids",),
    "all": ("serving_default", "greedy", "ids", "score"),
}


@pytest.mark.parametrize(
    "signatures",
    ["ids", *(pytest.param(name, marks=pytest.mark.slow) for name in ("greedy_ids", "all"))],
)
def test_a_cpp_program_returns_the_answers_of_the_model(program, tmp_path, signatures):
    translator = tiny_translator()
    path = write(translator, tmp_path / "g2p.tflite", *SIGNATURES[signatures])
    search = translator.greedy_search() if signatures == "greedy_ids" else translator.search
    assert_answers(program, path, translator, search, WORDS)


def test_a_cpp_program_supports_all_tokenizers_and_a_fixed_length(program, tmp_path):
    source = s2s.SentencePieceTokenizer.train(
        ["low lower lowest", "new newer newest"], vocabulary_size=18
    )
    target = s2s.FeatureTokenizer.train(["abc V;PST"])
    search = s2s.BeamSearch(beam_width=3, num_hypotheses=3, max_length=7)
    translator = make_translator(source, target, search)
    path = write(translator, tmp_path / "fixed.tflite", "ids", source_length=20)
    assert_answers(program, path, translator, search, ["low new", "newest lowest", "é", "widest"])
    done = run(program, path, "x y " * 20)
    assert done.returncode == 2
    assert "the file takes sources of 20 tokens" in done.stderr


def test_a_cpp_program_refuses_what_it_cannot_run(program, tmp_path):
    tokenizer = s2s.ByteTokenizer()
    search = s2s.GreedySearch(max_length=None, max_length_ratio=2.0)
    endless = write(make_translator(tokenizer, tokenizer, search), tmp_path / "e.tflite", "ids")
    for arguments, message in (
        ([], "usage:"),
        ([endless, "hello"], "the search of this file has no max_length"),
        ([tmp_path / "missing.tflite", "hello"], "loading"),
    ):
        done = run(program, *arguments)
        assert done.returncode == 2
        assert message in done.stderr
