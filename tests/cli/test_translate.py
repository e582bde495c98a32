"""`keras-s2s translate`: lines in, lines out, in order and immediately."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.running import PROGRAM, ROOT, start
from helpers.translators import make_translator

from keras_s2s import BeamSearch, Translator
from keras_s2s.cli.exported_model import ExportedModel
from keras_s2s.cli.keras_model import KerasModel
from keras_s2s.cli.main import main


def test_translate_keeps_order_and_empty_lines(run, model, translator):
    texts = ["abcd", "", "ü€", "a", "  ", "\u3000", "\xa0\x1c", "cabad", "b" * 30]
    expected = [translator.translate([text])[0] if text.strip() else "" for text in texts]
    content = "\n".join(texts).encode()  # without a line end after the last
    code, output, errors = run("translate", model, "--batch-size", 2, stdin=content)
    assert (code, output.splitlines(), errors) == (0, expected, "")


def test_byte_order_marks_and_windows_line_ends_are_removed(run, model, translator):
    _, output, _ = run("translate", model, stdin=b"\xef\xbb\xbfabcd\r\nbb\r\n")
    assert output.splitlines() == translator.translate(["abcd", "bb"])


def test_n_best_are_numbered_and_scored(run, model, translator):
    import tensorflow as tf

    found = translator(tf.constant(["abcd"]))
    _, output, _ = run("translate", model, "--nbest", 2, "--scores", stdin=b"\nabcd\n")
    empty, *lines = (line.split("\t") for line in output.splitlines())
    assert empty == ["1", "", "", ""]
    assert len(lines) == 2
    for slot, (number, score, log_prob, target) in enumerate(lines):
        assert number == "2"
        assert target == found["target"][0, slot].numpy().decode()
        assert float(score) == pytest.approx(float(found["scores"][0, slot]), abs=1e-5)
        assert float(log_prob) == pytest.approx(float(found["log_probs"][0, slot]), abs=1e-5)


@pytest.mark.parametrize(
    ("texts", "warned"), [("ÄBCD\nÄ\n", True), ("abcd\nÄÄÄ\n", False), ("", False)]
)
def test_sources_that_are_mostly_unknown_are_reported(run, model, texts, warned):
    _, output, errors = run("translate", model, stdin=texts.encode())
    assert len(output.splitlines()) == texts.count("\n")
    expected = (
        "keras-s2s: warning: the source vocabulary of the model lacks 100.0% (such as 'Ä', 'B', "
        "'C', 'D') of the source tokens: check that the model was trained on such sources\n"
    )
    assert errors == (expected if warned else "")


def test_json_has_one_line_per_source(run, model, translator):
    _, output, _ = run("translate", model, "--json", stdin="ü\n\n".encode())
    first, empty = map(json.loads, output.splitlines())
    assert first["source"] == "ü"
    assert [it["target"] for it in first["hypotheses"]] == translator.translate(["ü"])
    assert empty == {"source": "", "hypotheses": []}
    assert "confidence" not in first["hypotheses"][0]


def test_json_has_the_confidence_of_each_target(run, tmp_path):
    doubtful = make_translator(confidence=2.0)
    doubtful.save(tmp_path / "model.keras")
    _, output, _ = run("translate", tmp_path / "model.keras", "--json", "--nbest", 2, stdin=b"ab\n")
    found = json.loads(output)["hypotheses"]
    assert len(found) == 2
    for hypothesis in found:
        assert hypothesis["confidence"] == pytest.approx(math.exp(hypothesis["log_prob"] / 2))


def test_search_options_override_those_of_the_model(run, model, translator):
    search = dataclasses.replace(translator.search, beam_width=4, length_penalty=0.0, max_length=3)
    other = Translator(translator.model, translator.source, translator.target, search=search)
    options = ["--beam-width", 4, "--length-penalty", 0, "--max-length", 3]
    _, output, _ = run("translate", model, *options, stdin=b"abcd\nxyz\n")
    assert output.splitlines() == other.translate(["abcd", "xyz"])
    assert isinstance(search, BeamSearch)


def test_lines_before_invalid_utf_8_are_answered(run, model, translator):
    code, output, errors = run("translate", model, stdin=b"abcd\nb\xff\nabcd\n")
    assert code == 2
    assert output.splitlines() == translator.translate(["abcd"])
    assert errors == (
        "keras-s2s: standard input, line 2: not UTF-8: byte 0xFF at position 1. Expected: one "
        "source per line\n"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            b"bb\ta b\n",
            "line 2: a tab at character 3. Expected: one source per line",
        ),
        (b"b\rb\n", "line 2: a carriage return at character 2. Expected: one source per line"),
        (b"b\0\n", "line 2: a NUL character at character 2. Expected: one source per line"),
    ],
)
@pytest.mark.sampled(1)
def test_an_invalid_source_is_refused_with_its_line(run, model, translator, line, message):
    code, output, errors = run("translate", model, stdin=b"abcd\n" + line)
    assert code == 2
    assert output.splitlines() == translator.translate(["abcd"])
    assert errors.startswith(f"keras-s2s: standard input, {message}")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(("columns", "text"), [("first", "ab"), ("text", "ab\tcd")])
@pytest.mark.sampled(1)
def test_columns_decides_how_tabs_are_read(run, model, translator, columns, text):
    code, output, _ = run("translate", model, "--columns", columns, stdin=b"ab\tcd\n")
    assert (code, output.splitlines()) == (0, translator.translate([text]))


def test_only_lf_ends_a_line(run, model, translator):
    texts = ["a\u2028b", "c\u0085d", "a\vb\fc"]
    _, output, _ = run("translate", model, stdin="\n".join(texts).encode())
    assert output.split("\n") == [*translator.translate(texts), ""]


def test_incompatible_options_are_an_error(run, model):
    code, _, errors = run("translate", model, "--nbest", 9, stdin=b"a\n")
    assert code == 2
    assert errors.count("\n") == 1
    assert "--nbest 9 requires a beam width of at least 9" in errors
    code, output, _ = run("translate", model, "--nbest", 9, "--beam-width", 9, stdin=b"a\n")
    assert code == 0
    assert output.startswith("1\t")


@pytest.mark.parametrize("stopping", ["finished", "length"])
@pytest.mark.sampled(1)
def test_the_stopping_rule_can_be_chosen(run, model, translator, monkeypatch, stopping):
    searches = []
    search_texts = type(translator).search_texts

    def watched(self, texts, search, **options):
        searches.append(search)
        return search_texts(self, texts, search, **options)

    monkeypatch.setattr(type(translator), "search_texts", watched)
    assert run("translate", model, "--stopping", stopping, stdin=b"abcd\n")[0] == 0
    assert [search.stopping for search in searches] == [stopping]


def test_closed_standard_input_is_an_error(model, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["translate", str(model)]) == 2
    assert "standard input is closed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("redirection", "code", "errors"),
    [("2>&-", 0, b""), (">&-", 1, b"keras-s2s: failed: standard output is closed\n")],
)
def test_a_stream_may_be_closed(redirection, code, errors):
    command = shlex.join([*PROGRAM, "translate", "--help"])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        ["sh", "-c", f"{command} {redirection}"], capture_output=True, env=environment, check=False
    )
    assert (ended.returncode, ended.stderr) == (code, errors)
    assert bool(ended.stdout) == (code == 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.slow
def test_a_full_disk_is_reported_in_one_line(model, tmp_path):
    (tmp_path / "lines").write_bytes(b"abcd\n")
    with (
        (tmp_path / "lines").open("rb") as file,
        open("/dev/full", "wb") as full,
        start("translate", model, stdin=file, stdout=full) as process,
    ):
        errors = process.stderr.read().decode()
    assert process.returncode == 1
    loading, failed = errors.splitlines()
    assert loading == "Loading TensorFlow"
    assert failed.startswith("keras-s2s: failed: standard output: No space left on device")


@pytest.mark.slow
def test_a_closed_pipe_ends_translation_quietly(model, tmp_path):
    lines = tmp_path / "lines"
    lines.write_bytes(b"abcd\n" * 20000)
    with (
        lines.open("rb") as file,
        start("translate", model, stdin=file, stdout=subprocess.PIPE) as process,
    ):
        assert process.stdout.readline().endswith(b"\n")
        process.stdout.close()
        assert process.stderr.read() == b"Loading TensorFlow\n"
        assert process.wait(60) == 141


@pytest.mark.slow
def test_answers_are_written_line_by_line_and_ctrl_c_is_quiet(model, translator):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with start("translate", model, **pipes) as process:
        for text in ("abcd", "bb"):
            process.stdin.write(f"{text}\n".encode())
            process.stdin.flush()
            assert process.stdout.readline().decode() == f"{translator.translate([text])[0]}\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (output, errors, process.returncode) == (b"", b"Loading TensorFlow\n", 130)


@pytest.mark.slow
def test_a_source_that_is_too_long_is_refused_with_its_line(run, translator, tmp_path):
    parts = translator.model, translator.source, translator.target
    path = tmp_path / "short.keras"
    Translator(*parts, search=translator.search, max_source_length=5).save(path)
    code, output, errors = run("translate", path, stdin=b"abcd\n\nabcda\nab\n")
    assert (code, output.splitlines()) == (2, [*translator.translate(["abcd"]), ""])
    reason = "the source has 6 tokens, including eos. Expected: at most 5, the model's `max_source"
    assert errors.startswith(f"keras-s2s: standard input, line 3: {reason}")
    assert errors.count("\n") == 1
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("abcd\tx\nabcda\tx\n")
    code, _, errors = run("evaluate", path, pairs)
    expected = (
        f"keras-s2s: warning: no output for 1 of 2 sources, counted as wrong. The first: {reason}"
    )
    assert code == 0
    assert any(line.startswith(expected) for line in errors.splitlines())
    code, output, errors = run("score", path, pairs)
    assert (code, output.count("\n")) == (2, 1)
    assert errors.startswith(f"keras-s2s: {pairs}, line 2: {reason}")


def test_a_diverged_export_never_writes_an_empty_line():
    """A diverged export returns empty texts, and scores that are NaN."""
    figures = {name: np.array([[-1.0], [np.nan]]) for name in ("scores", "log_probs")}
    answers = {"target": np.array([[b"x"], [b""]], object), **figures}
    scores = {name: it[:, 0] for name, it in figures.items()}
    outputs = {"serving_default": answers, "score": scores}
    diverged = ExportedModel(lambda signature, inputs: outputs[signature], {})
    with pytest.raises(ValueError, match=r"The model has diverged: .* \(in row 1\)"):
        diverged.translate(["a", "ab"], 2)
    with pytest.raises(ValueError, match=r"The model has diverged: .* \(in row 1\)"):
        diverged.scores([("a", "x"), ("ab", "x")], 2)


def test_truncated_sources_are_counted_with_the_limit(translator, capsys, monkeypatch):
    parts = translator.model, translator.source, translator.target
    limited = Translator(*parts, max_source_length=5, truncate_source=True)
    figures = {name: np.array([[-1.0], [-1.0]]) for name in ("scores", "log_probs")}
    answers = {"target": np.array([[b"x"], [b"y"]], object), **figures}
    model = KerasModel(limited, limited.search)
    monkeypatch.setattr(model, "search", lambda texts: answers)
    assert len(model.hypotheses(["abcd", "abcdab"], 2)) == 2
    expected = "truncated 1 source to the model's `max_source_length`, 5 tokens; the longest has 7"
    assert capsys.readouterr().err == f"keras-s2s: warning: {expected}\n"
