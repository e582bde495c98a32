from __future__ import annotations

import importlib.util
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers.rounding import TWO_RUNTIMES, assert_close
from helpers.served import WORDS, tiny_translator
from helpers.served_litert import write

import keras_s2s as s2s
from keras_s2s.cli.loading import load_model
from keras_s2s.export import litert_runner, text_tokenizer
from keras_s2s.export.litert_file import add_metadata
from keras_s2s.export.litert_runner import LiteRTRunner, main
from keras_s2s.export.parts import read_card
from keras_s2s.export.sessions import LiteRTSession
from keras_s2s.special_ids import EOS_ID, UNK_ID

TEXTS = ["new newest", "low lower lowest", "wide é 👩🏽‍🚀"]
# White space of all kinds, spellings of special tokens, unknown scripts, accents, long and short.
NASTY = [
    "a\u00a0b\u3000new\u2028low\x85wide\x1flow",
    "[EOS] [PAD] [UNK] ⁇",
    " \t low\n",
    "e\u0301 é naïve 日本 👩🏽‍🚀 👩",
    "\x00\x7f\u200b\ufeff",
    "x" * 300,
    "w",
]
FEATURES = ["wide;r  low;;new;é ", "low newest;é;;"]
TOKENIZERS = {
    "characters to words": (s2s.CharTokenizer, s2s.WordTokenizer),
    "words to bytes": (s2s.WordTokenizer, s2s.ByteTokenizer),
    "features to words": (s2s.FeatureTokenizer, s2s.WordTokenizer),
    "bytes to characters": (s2s.ByteTokenizer, s2s.CharTokenizer),
}


def make_translator(source, target, **options):
    """Return a translator whose answers are nonsense, but differ, with some unk."""
    source, target = source.train(TEXTS), target.train(TEXTS)
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(source.vocabulary_size, 6),
        s2s.LSTMDecoder(target.vocabulary_size, 6, attention="luong"),
    )
    generator = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign(2 * generator.normal(size=weight.shape))
    bias = model.decoder.logits.bias.numpy()
    bias[[EOS_ID, UNK_ID]] = 0, 1
    model.decoder.logits.bias.assign(bias)
    search = s2s.BeamSearch(beam_width=3, num_hypotheses=2, max_length=7)
    return s2s.Translator(model, source, target, search=search, **options)


@pytest.fixture(scope="module")
def translator():
    return tiny_translator()


@pytest.fixture(scope="module")
def path(translator, tmp_path_factory):
    return write(translator, tmp_path_factory.mktemp("runner") / "g2p.tflite", "ids", "score")


@pytest.fixture(scope="module")
def runner(path):
    return LiteRTRunner(path, num_threads=1)


def check_answers(translator, found, texts):
    """Compare with the model: texts and order exactly, figures up to rounding."""
    expected = translator(tf.constant(texts))
    assert [[each.text for each in row] for row in found] == [
        [target.decode("utf-8", "replace") for target in row]
        for row in expected["target"].numpy().tolist()
    ]
    for name in expected.keys() - {"target"}:
        figures = [[getattr(each, name.removesuffix("s")) for each in row] for row in found]
        assert_close(figures, expected[name], TWO_RUNTIMES)


@pytest.mark.parametrize("kinds", TOKENIZERS)
@pytest.mark.slow
def test_texts_are_tokenized_as_in_the_graph(kinds, tmp_path):
    translator = make_translator(*TOKENIZERS[kinds])
    runner = LiteRTRunner(write(translator, tmp_path / "model.tflite", "ids"))
    texts = [*TEXTS, *NASTY, *(FEATURES if "features" in kinds else [])]
    check_answers(translator, runner.search(texts, batch_size=4), texts)


@pytest.mark.slow
def test_other_tokenizers_run_in_the_graph(tmp_path):
    translator = make_translator(s2s.WordTokenizer, s2s.WordTokenizer, replace_unknown=True)
    runner = LiteRTRunner(write(translator, tmp_path / "model.tflite", "serving_default"))
    check_answers(translator, runner.search(TEXTS + NASTY), TEXTS + NASTY)


def test_a_file_without_ids_runs_its_signature_on_text(translator, tmp_path):
    runner = LiteRTRunner(write(translator, tmp_path / "text.tflite", "serving_default"))
    check_answers(translator, runner.search(WORDS[:4]), WORDS[:4])


def test_confidences_are_those_of_the_translator(translator, tmp_path):
    parts = translator.model, translator.source, translator.target
    doubtful = s2s.Translator(*parts, search=translator.search, confidence=2.0)
    path = write(doubtful, tmp_path / "doubtful.tflite", "ids")
    found = LiteRTRunner(path).search(WORDS[:4])
    check_answers(doubtful, found, WORDS[:4])
    asked = load_model(str(path)).hypotheses(WORDS[:4], batch_size=2)
    values = [[each.confidence for each in row] for row in asked]
    assert_close(values, [[each.confidence for each in row] for row in found], TWO_RUNTIMES)


@pytest.fixture(scope="module")
def fixed(translator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fixed")
    return LiteRTRunner(write(translator, folder / "fixed.tflite", "ids", source_length=11))


def test_a_file_with_a_fixed_source_length_takes_any_number_of_texts(translator, fixed):
    texts = ["hello", "a", "naïve café"]  # of 6, 2 and 11 tokens
    check_answers(translator, fixed.search(texts), texts)


def test_a_text_longer_than_the_fixed_source_length_has_no_hypotheses(fixed):
    assert [bool(row) for row in fixed.search(["zebra crossing", "a"])] == [False, True]
    with pytest.raises(
        ValueError, match=r"position 1 \(15 tokens, including eos\).* at most 11 tokens"
    ):
        fixed.translate(["a", "zebra crossing"])


def test_the_command_line_treats_such_a_text_as_the_runner_does(fixed, translator):
    model = load_model(fixed._path)
    assert model.limit == 11
    found = model.hypotheses(["a", "zebra crossing", "b"], batch_size=3)
    first, none, last = ([each.text for each in row] for row in found)
    assert none == []
    expected = translator.translate(["a", "b"])
    assert [first[0], last[0]] == expected
    assert model.translate(["zebra crossing", "a"], batch_size=2) == ["", expected[0]]


def test_a_missing_signature_is_named(translator, tmp_path):
    runner = LiteRTRunner(write(translator, tmp_path / "g2p.tflite", "ids", "greedy_ids"))
    with pytest.raises(
        ValueError, match=r"the signature 'score' .*a file with 'ids', 'greedy_ids'$"
    ):
        runner.score(["a"], ["AA"])


def test_the_module_alone_runs_without_tensorflow(translator, path, tmp_path):
    shutil.copy(litert_runner.__file__, tmp_path)
    texts = [word for word in WORDS if word]
    code = f"""
import json, sys
sys.path.insert(0, {str(tmp_path)!r})
import litert_runner
runner = litert_runner.LiteRTRunner({path!r})
texts = json.load(sys.stdin)
found = runner.translate(texts)
scores = runner.score(texts, found)
foreign = [name for name in sys.modules if name.split(".")[0] in
           ("tensorflow", "tensorflow_text", "keras", "keras_s2s")]
print(json.dumps([found, scores, foreign]))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found, scores, foreign = json.loads(done.stdout)
    assert foreign == []
    assert found == translator.translate(texts)
    expected = translator.score_texts(tf.constant(texts), tf.constant(found))
    texts, values, log_probs, confidences = zip(*scores, strict=True)
    assert (list(texts), set(confidences)) == (found, {None})
    np.testing.assert_allclose(values, expected["scores"], atol=1e-5)
    np.testing.assert_allclose(log_probs, expected["log_probs"], atol=1e-4)


def test_copies_in_a_package_of_an_app_need_no_keras_s2s(tmp_path):
    (tmp_path / "app").mkdir()
    for module in (litert_runner, text_tokenizer):
        shutil.copy(module.__file__, tmp_path / "app")
    code = f"""
import sys
sys.modules["keras_s2s"] = None
sys.path.insert(0, {str(tmp_path)!r})
from app import litert_runner, text_tokenizer
print(litert_runner.InputError.__name__, litert_runner.MissingPackageError.__name__)
print(text_tokenizer.InputError.__name__)
"""
    command = [sys.executable, "-I", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["ValueError", "ImportError", "ValueError"]


@pytest.mark.parametrize("signature", ["ids", "score"])
def test_several_threads_get_the_same_answers_as_one(path, signature):
    code = f"""
import concurrent.futures, json
from keras_s2s.export.litert_runner import LiteRTRunner

runner = LiteRTRunner({path!r}, num_threads=1)
texts = ["a", "hello", "zebra crossing", "x" * 40]
ask = {{
    "ids": lambda text: runner.search([text])[0],
    "score": lambda text: runner.score([text], ["HH AH"]),
}}[{signature!r}]
expected = [ask(text) for text in texts]
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print(json.dumps([list(pool.map(ask, texts * 50)), expected * 50]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    found, expected = json.loads(done.stdout)
    assert [[text for text, *_ in row] for row in found] == [
        [text for text, *_ in row] for row in expected
    ]
    figures = [
        np.array([row[1:3] for rows in answers for row in rows]) for answers in (found, expected)
    ]
    assert_close(*figures)


def test_empty_hypothesis_slots_are_dropped(runner, monkeypatch):
    found = {
        "target_ids": np.array([[[4, 3], [0, 0]]]),
        "scores": np.array([[-0.5, -1e9]]),
        "log_probs": np.array([[-1.0, -1e9]]),
    }
    monkeypatch.setattr(
        runner._interpreter, "get_signature_runner", lambda _: lambda source_ids: found
    )
    ((best, *others),) = runner.search(["hello"])
    assert (best.score, best.log_prob, others) == (-0.5, -1.0, [])


def test_no_texts_have_no_answers(runner):
    assert runner.translate([]) == runner.score([], []) == []


def test_the_runner_has_the_model_card(runner, translator):
    assert runner.card["search"]["beam_width"] == translator.search.beam_width


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("hello", TypeError, "`texts` must be a list of str. Received: texts='hello'"),
        (["a", b"b"], TypeError, "Received: b'b' .* at position 1"),
        (5, TypeError, "Received: texts=5"),
        (["a", " \n"], ValueError, r"must not be empty. Received: ' \\n' at position 1"),
        (["\ud800"], ValueError, "must be valid Unicode. Received: .* at position 0"),
    ],
)
def test_texts_must_be_strings(runner, texts, error, message):
    with pytest.raises(error, match=message):
        runner.translate(texts)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True, None])
def test_a_batch_size_of_zero_is_refused(runner, batch_size):
    with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
        runner.search(["a"], batch_size=batch_size)


def test_scoring_needs_one_target_per_text(runner):
    with pytest.raises(ValueError, match="Received: 2 texts and 1 targets"):
        runner.score(["a", "b"], ["AA"])


@pytest.mark.parametrize("read", [LiteRTRunner, read_card])
def test_a_missing_litert_is_named(path, monkeypatch, read):
    for module in ("interpreter", "schema_py_generated"):
        monkeypatch.setitem(sys.modules, f"ai_edge_litert.{module}", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-s2s\[litert\]'"):
        read(path)


def test_a_missing_tensorflow_text_is_named(path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install tensorflow-text"):
        LiteRTRunner(path).score(["a"], ["AA"])


def test_a_file_that_does_not_exist_is_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        LiteRTRunner(tmp_path / "g2p.tflite")
    with pytest.raises(FileNotFoundError, match=r"There is no file '.*', but a folder"):
        LiteRTRunner(tmp_path)


@pytest.mark.parametrize("size", [0, 20, 20000])
def test_a_truncated_file_is_refused(path, tmp_path, size):
    (tmp_path / "g2p.tflite").write_bytes(Path(path).read_bytes()[:size])
    with pytest.raises(ValueError, match="is not a LiteRT file, or is damaged"):
        LiteRTRunner(tmp_path / "g2p.tflite")


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "g2p.tflite").write_bytes(b"PK\3\4 a zip archive")
    with pytest.raises(ValueError, match="is not a LiteRT file, or is damaged"):
        LiteRTRunner(tmp_path / "g2p.tflite")


def test_a_litert_file_of_another_program_is_refused(tmp_path):
    double = tf.function(lambda x: x + x, input_signature=[tf.TensorSpec([2])])
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [double.get_concrete_function()], tf.Module()
    )
    (tmp_path / "g2p.tflite").write_bytes(converter.convert())
    with pytest.raises(ValueError, match=r"was not written by `keras_s2s\.export\.litert`"):
        LiteRTRunner(tmp_path / "g2p.tflite")


def test_a_damaged_card_is_refused(path, tmp_path):
    content = add_metadata(Path(path).read_bytes(), {"model_card.json": b"{"})
    (tmp_path / "g2p.tflite").write_bytes(content)
    with pytest.raises(ValueError, match=r"The 'model_card.json' in .* is damaged"):
        LiteRTRunner(tmp_path / "g2p.tflite")


def test_a_changed_weight_is_detected(path, translator, tmp_path):
    content = Path(path).read_bytes()
    kernel = np.array(translator.model.encoder.embedding.weights[0]).tobytes()
    place = content.index(kernel) + len(kernel) // 2
    changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    (tmp_path / "g2p.tflite").write_bytes(changed)
    for load in (LiteRTRunner, LiteRTSession):
        with pytest.raises(ValueError, match=r"g2p\.tflite.* damaged.* not match its checksum"):
            load(str(tmp_path / "g2p.tflite"))


def test_a_diverged_model_raises_an_error(path, translator, tmp_path):
    kernel = np.array(translator.model.encoder.embedding.weights[0])
    content = Path(path).read_bytes().replace(kernel.tobytes(), (kernel * np.nan).tobytes())
    (tmp_path / "g2p.tflite").write_bytes(add_metadata(content, {}))
    runner = LiteRTRunner(tmp_path / "g2p.tflite")
    for ask in (lambda: runner.translate(["hello"]), lambda: runner.score(["hello"], ["L"])):
        with pytest.raises(ValueError, match="The model has diverged"):
            ask()


def test_the_command_prints_answers(path, translator, capsys):
    assert main([path, "hello", "zebra crossing"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["hello", "zebra crossing"]
    assert [line[1] for line in lines] == translator.translate(["hello", "zebra crossing"])


def test_empty_lines_of_the_standard_input_stay_empty(path, translator, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n\n \u3000\r\na\n\n"))
    assert main([path]) == 0
    lines = [line.split("\t")[:2] for line in capsys.readouterr().out.splitlines()]
    first, second = translator.translate(["hello", "a"])
    assert lines == [["hello", first], [""], [""], ["a", second], [""]]


@pytest.mark.parametrize("arguments", [["missing.tflite", "hello"], ["{path}", " "]])
def test_the_command_reports_a_user_error_in_one_line(path, arguments, capsys):
    assert main([argument.format(path=path) for argument in arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1


def test_the_command_names_a_text_that_is_too_long(path, capsys):
    assert main([path, "a", "a" * 1001]) == 2
    told = capsys.readouterr()
    assert told.out.startswith("a\t")
    assert "the text at position 1 (1002 tokens, including eos). Expected: a source of" in told.err


def test_the_message_has_no_limit_if_the_model_has_none(path, monkeypatch):
    runner = LiteRTRunner(path)
    monkeypatch.setitem(runner.card, "max_source_length", None)
    monkeypatch.setattr(runner, "_search_ids", lambda texts: [[] for _ in texts])
    with pytest.raises(
        ValueError, match=r"position 0. Expected: a target that satisfies the rules of the search$"
    ):
        runner.translate(["a"])


@pytest.mark.parametrize("num_threads", [0, "2", True])
def test_the_number_of_threads_must_be_positive(num_threads):
    with pytest.raises(ValueError, match="`num_threads` must be None or a positive integer"):
        LiteRTRunner("g2p.tflite", num_threads=num_threads)
