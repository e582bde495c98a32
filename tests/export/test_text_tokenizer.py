"""Plain Python, C++ and JavaScript tokenize like the graph."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from helpers.runtimes import INVALID_TEXTS, NASTY_TEXTS

from keras_s2s import (
    ByteTokenizer,
    CharTokenizer,
    DecomposedCharTokenizer,
    FeatureTokenizer,
    SentencePieceTokenizer,
    WordTokenizer,
)
from keras_s2s.export import text_tokenizer
from keras_s2s.export.text_tokenizer import TextTokenizer, load_tokenizers

ROOT = Path(__file__).resolve().parents[2]
WORDS = ["the lower lowest lowly", "the newer newest newly", "the wider widest widely"]
COMPOSED = ["각가 나힣", "ệ é e\u0301 e\u0302\u0323", "ᾂ", "が", "Å", "ῴq", "豈", "깍뛟x"]
FEATURES = ["add V;PST", " add  V;;PST ;", "V;PST", "walk N;;PL", ";", "a ;"]
KNOWN = [*NASTY_TEXTS[::2], *WORDS]


def train_pieces(normalization):
    return SentencePieceTokenizer.train(KNOWN, vocabulary_size=50, normalization=normalization)


TOKENIZERS = {
    "bytes": ByteTokenizer,
    "characters": lambda: CharTokenizer.train(KNOWN),
    "decomposed characters": lambda: DecomposedCharTokenizer.train([*KNOWN, *COMPOSED[:5]]),
    "decomposed, few known": lambda: DecomposedCharTokenizer.train(["각", "e\u0301"]),
    "words": lambda: WordTokenizer.train(KNOWN),
    "features": lambda: FeatureTokenizer.train([*KNOWN, *FEATURES]),
    "pieces": lambda: train_pieces("nmt_nfkc"),
    "pieces, as they are": lambda: train_pieces("identity"),
    "pieces, lower case": lambda: train_pieces("nmt_nfkc_cf"),
}


def make_texts():
    """Difficult texts, and random ones from their and other characters."""
    generator = random.Random(0)
    letters = sorted(
        {*"".join([*NASTY_TEXTS, *WORDS]), *" \t\n\r\u3000\xa0\u200b\ufeffＡ１½ﷺé;;", *COMPOSED[0]}
    )
    made = ["".join(generator.choices(letters, k=generator.randrange(1, 25))) for _ in range(300)]
    return [*NASTY_TEXTS, *WORDS, *FEATURES, *COMPOSED, *made]


TEXTS = make_texts()


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param]()


@pytest.fixture(scope="module")
def plain(tokenizer):
    return TextTokenizer(tokenizer.vocabulary, json.loads(json.dumps(tokenizer.text_rules())))


def read_rows(tokenizer):
    """The graph's ids of each text, without padding."""
    rows = tokenizer.tokenize(TEXTS).numpy().tolist()
    return [row[: row.index(3) + 1] for row in rows]


def test_plain_python_tokenizes_like_the_graph(tokenizer, plain):
    assert [plain.tokenize(text) for text in TEXTS] == read_rows(tokenizer)


def test_plain_python_detokenizes_like_the_graph(tokenizer, plain):
    generator = random.Random(1)
    rows = [[generator.randrange(tokenizer.vocabulary_size) for _ in range(12)] for _ in range(200)]
    expected = [text.decode("utf-8", "replace") for text in tokenizer.detokenize(rows).numpy()]
    assert [plain.detokenize(row) for row in rows] == expected


def test_ids_that_the_vocabulary_lacks_are_written_as_in_the_graph(tokenizer, plain):
    size = tokenizer.vocabulary_size
    rows = [[size, 4, size + 7, 5, 3], [4, -1, 5, -7, 3], [size + 300, 3, 3, 3, 3]]
    specs = [tf.TensorSpec([None, None], tf.int32)]
    served = tf.function(tokenizer.detokenize, input_signature=specs, autograph=False)
    expected = [text.decode() for text in served(tf.constant(rows)).numpy()]
    assert [plain.detokenize(row) for row in rows] == expected
    assert expected[2] == "⁇"


JAVASCRIPT = """
import { readFileSync } from "node:fs";
import { Tokenizer } from %r;
const { tokens, rules, texts, rows } = JSON.parse(readFileSync(0, "utf-8"));
const tokenizer = new Tokenizer(tokens, rules);
const ids = texts.map((text) => tokenizer.tokenize(text));
console.log(JSON.stringify([ids, rows.map((row) => tokenizer.detokenize(row))]));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_javascript_tokenizes_like_the_graph(tokenizer, plain, tmp_path):
    generator = random.Random(2)
    ids = range(-2, tokenizer.vocabulary_size + 2)
    rows = [generator.choices(ids, k=9) for _ in range(100)]
    module = ROOT / "examples" / "tokenizers" / "tokenizer.js"
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(module, tmp_path / "tokenizer.js")
    (tmp_path / "ask.js").write_text(JAVASCRIPT % "./tokenizer.js")
    given = {"tokens": tokenizer.vocabulary, "rules": tokenizer.text_rules()}
    done = subprocess.run(
        ["node", tmp_path / "ask.js"],
        input=json.dumps({**given, "texts": TEXTS, "rows": rows}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ids, texts = json.loads(done.stdout)
    assert ids == read_rows(tokenizer)
    if tokenizer.vocabulary[4] != "<0x00>":  # invalid UTF-8 is shown otherwise by JavaScript
        assert texts == [plain.detokenize(row) for row in rows]


@pytest.fixture(scope="module")
def cpp_program(tmp_path_factory):
    if shutil.which("g++") is None:
        pytest.skip("There is no g++ to build the C++ tokenizers with.")
    built = tmp_path_factory.mktemp("cpp") / "ask"
    source = ROOT / "tests" / "helpers" / "ask_tokenizer.cc"
    options = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-O1"]
    headers = f"-I{ROOT / 'examples' / 'tokenizers'}"
    subprocess.run(["g++", *options, headers, "-o", built, source], check=True)
    return built


def write_files(tokenizer, folder):
    """Write the files of `keras_s2s.export.vocabularies`, with one tokenizer for both sides."""
    for side in ("source", "target"):
        path = folder / f"{side}_vocabulary.json"
        path.write_text(json.dumps(tokenizer.vocabulary, ensure_ascii=False, indent=1), "utf-8")
    rules = dict.fromkeys(("source", "target"), tokenizer.text_rules())
    (folder / "tokenizers.json").write_text(json.dumps(rules))


def test_cpp_tokenizes_like_the_graph(tokenizer, cpp_program, tmp_path):
    texts = [text.encode() for text in TEXTS]
    if not isinstance(tokenizer, SentencePieceTokenizer):  # replaces invalid UTF-8 its own way
        texts += INVALID_TEXTS
    generator = random.Random(3)
    size = tokenizer.vocabulary_size
    rows = [[generator.randrange(size) for _ in range(12)] for _ in range(200)]
    write_files(tokenizer, tmp_path)
    asked = json.dumps({"texts": [it.hex() for it in texts], "rows": rows, "other": [None, 1e3]})
    done = subprocess.run(
        [cpp_program, tmp_path], input=asked, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    expected = [row[: row.index(3) + 1] for row in tokenizer.tokenize(texts).numpy().tolist()]
    assert found["ids"] == expected
    joined = tokenizer.detokenize(rows).numpy().tolist()
    assert [bytes.fromhex(text) for text in found["texts"]] == joined


def test_cpp_explains_faults_in_its_files(cpp_program, tmp_path):
    tokenizer = WordTokenizer.train(["hello"])

    def complain():
        done = subprocess.run(
            [cpp_program, tmp_path], input="{}", capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        return done.stderr

    assert "cannot read" in complain()
    write_files(tokenizer, tmp_path)
    (tmp_path / "tokenizers.json").write_text('{"source": {"class": "Foreign"}}')
    assert "texts of a Foreign cannot be split here" in complain()
    (tmp_path / "tokenizers.json").write_text('{"target": {}}')
    assert 'the JSON object has no "source"' in complain()
    for damaged in ("", "[", '["a"', '{"a" 1}', '["\\ud83d"]', '["\\u00g0"]', "[1] 2", "[nul]"):
        (tmp_path / "source_vocabulary.json").write_text(damaged)
        assert "not JSON, at byte" in complain()


def test_an_unknown_tokenizer_class_is_refused():
    with pytest.raises(ValueError, match=r"tokenizer class must be one of .* Received: 'Foreign'"):
        TextTokenizer(["[PAD]"], {"class": "Foreign"})


def test_the_module_is_a_command(tmp_path):
    tokenizer = WordTokenizer.train(["hello world"])
    write_files(tokenizer, tmp_path)
    command = [sys.executable, "-I", "-S", text_tokenizer.__file__, tmp_path, "source", "hello you"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(found) == tokenizer.tokenize("hello you").numpy().tolist()
    assert load_tokenizers(tmp_path)[1].detokenize([4, 1, 5, 3, 4]) == "hello ⁇ world"
    for wrong, message in (("nowhere", "no such file"), (tmp_path, "usage: text_tokenizer.py")):
        words = [*command[:-3], wrong, "source", "hello"][: 7 if wrong == "nowhere" else 6]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
