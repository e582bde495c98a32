"""The SavedModel where it is used: in a process without Python, through TensorFlow's C API."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text
from integration.served import WORDS, tiny_translator

import keras_s2s as s2s

TENSORFLOW = Path(tf.__file__).parent
TEXT_OPERATIONS = Path(tensorflow_text.__file__).parent / "python" / "ops"
DTYPES = {"s": object, "i": np.int32, "f": np.float32}

Answer = dict[str, np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The C program, compiled against the libraries of the TensorFlow wheel."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler on the PATH")
    built = tmp_path_factory.mktemp("serve") / "serve"
    subprocess.run(
        [
            *(compiler, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-o", built),
            *(Path(__file__).with_name("serve.c"), f"-I{TENSORFLOW / 'include'}"),
            *(f"-L{TENSORFLOW}", f"-Wl,-rpath,{TENSORFLOW}", "-Wl,--allow-shlib-undefined"),
            *("-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2", "-pthread"),
        ],
        check=True,
    )
    return built


def ask(program: Path, export: str, requests: list[tuple[str, Answer]]) -> list[Answer]:
    """Start the program, let four threads ask everything at once, and read the answers."""
    operations = sorted(TEXT_OPERATIONS.glob("*.so"))
    lines = [
        " ".join([name, *(f"{key} {write_tensor(value)}" for key, value in inputs.items())])
        for name, inputs in requests
    ]
    done = subprocess.run(
        [program, "-j", "4", export, *operations],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr
    blocks = done.stdout.split("\n\n")[:-1]
    assert len(blocks) == len(requests)
    return [dict(read_tensor(line) for line in block.splitlines()) for block in blocks]


def write_tensor(value: np.ndarray[Any, Any]) -> str:
    letter = {"O": "s", "i": "i", "f": "f"}[value.dtype.kind]
    values = ["x" + item.hex() if letter == "s" else str(item) for item in value.ravel()]
    return " ".join([letter, str(value.ndim), *map(str, value.shape), *values])


def read_tensor(line: str) -> tuple[str, np.ndarray[Any, Any]]:
    name, letter, rank, *rest = line.split(" ")
    shape, values = [int(size) for size in rest[: int(rank)]], rest[int(rank) :]
    array = np.empty(len(values), DTYPES[letter])
    array[:] = [bytes.fromhex(value[1:]) if letter == "s" else float(value) for value in values]
    return name, array.reshape(shape)


def strings(texts: list[str]) -> np.ndarray[Any, Any]:
    return np.array([text.encode() for text in texts], dtype=object)


# Each value of each option is tried in one of the two runtimes at least.
CASES = {
    "no attention": {
        "encoder": {"bidirectional": False, "context": "last_state"},
        "decoder": {"attention": None, "context_to": "every_step"},
        "search": s2s.BeamSearch(beam_width=3, num_hypotheses=3, length_penalty_formula="gnmt"),
    },
    "bahdanau": {
        "encoder": {"bidirectional": True, "num_layers": 2, "context": "max"},
        "decoder": {"attention": "bahdanau", "context_to": "both", "num_layers": 2},
        "search": s2s.GreedySearch(max_length=10, min_length=2),
    },
}


@pytest.mark.parametrize("case", CASES)
def test_without_python_every_signature_answers_as_the_model_does(program, tmp_path, case):
    translator = tiny_translator(**CASES[case])
    export = s2s.export.saved_model(translator, tmp_path / "model")
    source_ids = translator.source.tokenize(WORDS).numpy()
    expected = translator(tf.constant(WORDS))
    best = expected["target"].numpy()[:, 0]
    rows = np.arange(len(WORDS))
    options = {
        "max_length": (rows + 1).astype(np.int32),
        "min_length": (rows % 3).astype(np.int32),
        "length_penalty": (rows / 4).astype(np.float32),
    }
    together, greedy, ids, score, optional, *alone = ask(
        program,
        export,
        [
            ("serving_default", {"source": strings(WORDS)}),
            ("greedy", {"source": strings(WORDS)}),
            ("ids", {"source_ids": source_ids}),
            ("score", {"source": strings(WORDS), "target": best}),
            ("options", {"source": strings(WORDS), **options}),
            *(("serving_default", {"source": strings([text])}) for text in WORDS),
        ],
    )
    assert_same(together, expected)
    for row, answer in enumerate(alone):
        assert_same(answer, {name: value[row : row + 1] for name, value in expected.items()})
    assert_same(greedy, translator.search_texts(tf.constant(WORDS), translator.greedy_search()))
    found = translator.model.search(source_ids, translator.search)
    np.testing.assert_array_equal(ids["target_ids"], found.ids)
    np.testing.assert_array_equal(ids["lengths"], found.lengths)
    np.testing.assert_allclose(ids["scores"], found.scores, atol=1e-5)
    scored = translator.score_texts(tf.constant(WORDS), tf.constant(best))
    np.testing.assert_allclose(score["log_probs"], scored["log_probs"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(score["scores"], scored["scores"], rtol=1e-5, atol=1e-5)
    assert_same(optional, translator.search_texts(tf.constant(WORDS), translator.search, **options))


def assert_same(answer: Answer, expected: Any) -> None:
    """Compare translations: texts exactly, numbers to the rounding of a sum over all tokens."""
    assert set(answer) == {"target", "scores", "log_probs"}
    np.testing.assert_array_equal(answer["target"], expected["target"])
    np.testing.assert_allclose(answer["scores"], expected["scores"], atol=1e-5)
    np.testing.assert_allclose(answer["log_probs"], expected["log_probs"], rtol=1e-5, atol=1e-5)
