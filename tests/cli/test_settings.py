"""Settings: read, checked, written, and derived from the training pairs."""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest

import keras_s2s
from keras_s2s import CharTokenizer, LSTMDecoder, LSTMEncoder, Seq2Seq, Translator
from keras_s2s.cli.recommended_settings import fit_to_pairs
from keras_s2s.cli.run_folder import check_data, check_folder, checksums_of
from keras_s2s.cli.setting_table import SETTINGS, TOKENIZER_CLASSES
from keras_s2s.cli.settings_file import complete, read_config, to_yaml
from keras_s2s.cli.training_pairs import TrainingPairs, read_training_pairs
from keras_s2s.pair_statistics import PairStatistics
from keras_s2s.special_ids import SPECIAL_TOKENS
from keras_s2s.tokenizers.copying import copy_ids

BOMB = "a: &a [x, x, x]\n" + "".join(f"b{n}: [{'*a, ' * 9}]\n" for n in range(9))
FILES = {"train": ["train.tsv"], "valid": "valid.tsv"}


def test_the_template_explains_every_line_and_has_the_defaults(run, tmp_path):
    path = tmp_path / "run.yaml"
    code, output, errors = run("train", "--write-config", path, "--units", 12)
    assert (code, output, errors) == (0, "", "")
    lines = [line for line in path.read_text("utf-8").splitlines() if line and line[0] != "#"]
    assert [line.partition(":")[0] for line in lines] == list(SETTINGS)
    assert all(line.partition("  # ")[2] for line in lines)
    expected = {name: setting.default for name, setting in SETTINGS.items()} | {"units": 12}
    assert complete({**read_config(path), **FILES}) == complete({**expected, **FILES})
    code, _, errors = run("train", "--write-config", path)
    assert (code, errors) == (2, f"keras-s2s: --write-config {path}: the file already exists\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("units: 8\nbatchsize: 3\n", "line 2: there is no setting `batchsize`. Did you me"),
        ("qqq: 3\n", "line 1: there is no setting `qqq`. `keras-s2s train --help` lists"),
        ("units: 8\n\nunits: 9\n", "line 3: `units` appears twice"),
        ("units: 0\n", "line 1: `units` must be an integer between 1 and 32768. Received: 0"),
        ("units: 1.5\n", "line 1: `units` must be an integer between 1 and 32768. Received: 1.5"),
        ("beam_width: null\n", "line 1: `beam_width` must be an integer between 1 and 10000. R"),
        ("dropout: a lot\n", "line 1: `dropout` must be a number between 0 and 0.95. Rece"),
        ("dropout: .nan\n", "line 1: `dropout` must be a number between 0 and 0.95. Received: nan"),
        ("cell: rnn\n", "line 1: `cell` must be one of lstm, gru. Received: 'rnn'"),
        ("bidirectional: 1\n", "line 1: `bidirectional` must be true or false. Received: 1"),
        ("seed: true\n", "line 1: `seed` must be an integer between 0 and 4294967295. R"),
        ("valid: 3\n", "line 1: `valid` must be a string. Received: 3"),
        ("units: [\n", "line 2: not valid YAML: "),
        ("units: 8\ncell: l\0stm\n", "line 2: control character U+0000"),
        ("cell: \x1b[31m\n", "line 1: control character U+001B"),
        ("units: !!int abc\n", "line 1: not a value of type 'int': invalid literal"),
        ("units: !!timestamp abc\n", "line 1: not a value of type 'timestamp': "),
        ("units: !!python/object:os.system {}\n", "line 1: not valid YAML: could not determine a"),
        ("\nvalid: 2020-13-45\n", "line 2: not a value of type 'timestamp': month must be in"),
        ("valid: 2020-12-15\n", "line 1: `valid` must be a string. Received: datetime.date(2020"),
        ("units: .inf\n", "line 1: `units` must be an integer between 1 and 32768. Received: inf"),
        ("dropout: -.inf\n", "line 1: `dropout` must be a number between 0 and 0.95. Receiv"),
        ("seed: " + "9" * 400 + "\n", "line 1: `seed` must be an integer between 0 and"),
        ("epochs: " + "9" * 400 + "\n", "line 1: `epochs` must not exceed 2147483647. Receiv"),
        ("minutes: " + "9" * 400 + "\n", "line 1: `minutes` must be a number of at least 0.001."),
        ("units: " + "9" * 5000 + "\n", "line 1: not a value of type 'int': Exceeds the limit"),
        ("units: " + "[" * 3000 + "\n", "line 1: not valid YAML: nested too deeply"),
        ("units: " + "{a: " * 3000 + "\n", "line 1: not valid YAML: nested too deeply"),
        (BOMB, "line 2: not valid YAML: aliases are not supported"),
        ("units: 8\n#" + "x" * 10**7 + "\n", ": more than 1,048,576 bytes, the limit"),
        ("x" * 1000 + ": 3\n", "line 1: there is no setting `xxxxxxxx"),
        ("? [a, b]\n: 3\n", "line 1: expected the name of a setting"),
        ("units: 8\n---\nunits: 9\n", "line 2: not valid YAML: but found another document"),
        ('valid: v\noutput: "a\\0b"\n', "line 2: `output` must be text without NUL characters"),
        ('import: ["\\ud800"]\n', "line 1: `import` must be text without NUL characters or"),
        ("context: mean>\ncontext: x\n", "line 2: `context` appears twice"),
        ("- units\n", ": expected lines of `setting: value`"),
    ],
)  # fmt: skip
def test_an_invalid_line_is_reported_with_its_number(run, tmp_path, text, message):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    started = time.process_time()
    code, output, errors = run("train", "--config", path)
    assert time.process_time() - started < 5
    assert (code, output) == (2, "")
    assert len(errors) < 500 + len(str(path))
    assert errors.startswith(f"keras-s2s: {path}")
    assert message in errors
    assert errors.count("\n") == 1


def test_numbers_may_be_written_in_any_usual_form(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("learning_rate: 1e-3\ndropout: 0\nminutes: 5\n")
    assert read_config(path) == {"learning_rate": 0.001, "dropout": 0.0, "minutes": 5.0}


def test_an_option_overrides_a_line(run, tmp_path):
    path, both = tmp_path / "run.yaml", tmp_path / "both.yaml"
    path.write_text("units: 8\nbidirectional: true\nseed: 3\n")
    options = ["--units", 9, "--no-bidirectional", "--train", "a", "--train", "b"]
    assert run("train", "--config", path, *options, "--write-config", both)[0] == 0
    found = read_config(both)
    assert (found["units"], found["bidirectional"], found["seed"]) == (9, False, 3)
    assert found["train"] == ["a", "b"]


def test_the_help_lists_every_setting_once_in_its_section(run):
    code, output, _ = run("train", "--help")
    assert code == 0
    titles = [line for line in output.splitlines() if line.endswith(":") and line[0] != " "]
    assert titles == [
        "Options:",
        "Files:",
        "Text:",
        "Model:",
        "Training:",
        "Search:",
        "Evaluation:",
    ]
    for name in SETTINGS:
        assert output.count(f"\n  --{name.replace('_', '-')} ") == 1, name
    text = " ".join(output.split())
    assert "each encoder direction. Default: recommended for the training pairs. --embed" in text
    assert "to this global norm; 0 turns clipping off. Default: 5. --label" in text
    assert "Number of encoder layers. Allowed: 1 to 64. Default: recommended" in text
    assert "into memory. Default: off." in text
    assert "to train on. May be given several times. Required. --valid" in text
    assert "neither the --watch metric" in text
    assert "null" not in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--train FILE is missing. You can also set it in a settings file, as `train: FILE`"),
        (
            ["--train", "no.tsv", "--valid", "no.tsv"],
            "--train no.tsv: there is no such file. Expect",
        ),
        (["--train", ".", "--valid", "no.tsv"], "--train .: a folder. Expected: a file"),
        (["--train", "no.tsv", "--valid", ""], "--valid must not be empty. Received: ''"),
        (["--seed", "4294967296"], "--seed must be an integer between 0 and 4294967295. Receive"),
        (
            ["--train", "a", "--valid", "b", "--seed", "4294967294", "--models", "3"],
            "--seed must be at most 4294967295 for the last of 3 models, too. Received: --seed 42",
        ),
        (["--units", "9" * 50], "--units must be an integer between 1 and 32768. Received: 999"),
        (["--epochs", "2147483648"], "--epochs must not exceed 2147483647. Received: 2147483648"),
        (["--units", "0"], "--units must be an integer between 1 and 32768. Received: 0"),
        (
            ["--features-column", "0"],
            "--features-column must be an integer between 1 and 3. Received: 0. Default: "
            "files have two columns",
        ),
        (
            ["--train", "a", "--valid", "b", "--copy", "--attention", "none"],
            "--copy needs attention. Received: --copy and --attention none",
        ),
        (
            ["--train", "a", "--valid", "b", "--config", "{copy}", "--attention", "none"],
            "`copy` needs attention. Received: `copy: true` and --attention none",
        ),
    ],
)
def test_an_invalid_option_is_named(run, tmp_path, options, message):
    (tmp_path / "copy.yaml").write_text("copy: true\n")
    options = [option.replace("{copy}", str(tmp_path / "copy.yaml")) for option in options]
    code, _, errors = run("train", *options)
    assert code == 2
    assert errors.startswith(f"keras-s2s: {message}")
    assert errors.count("\n") == 1


@pytest.fixture
def settings(tmp_path):
    for name in ("train.tsv", "valid.tsv"):
        (tmp_path / name).write_text("a\tb\n")
    return complete({
        "train": [str(tmp_path / "train.tsv")],
        "valid": str(tmp_path / "valid.tsv"),
        "output": str(tmp_path / "run"),
        "units": 256,
    })  # fmt: skip


def test_an_extra_argument_is_reported_with_a_hint(run):
    for command, hint in (
        (["train", "--train", "a.tsv", "b.tsv"], "Give each file its own option: --train FILE"),
        (["translate", ".", "b.tsv"], "Sources are read from standard input: < FILE."),
    ):
        code, _, errors = run(*command)
        expected = f"keras-s2s {command[0]}: Got unexpected extra argument 'b.tsv'. {hint}"
        assert (code, errors.startswith(expected)) == (2, True)


def test_a_pipe_has_no_checksum(settings, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    settings.train, settings.output = [str(tmp_path / "pipe")], str(tmp_path)
    check_data(settings.output, checksums_of(settings))
    check_data(settings.output, checksums_of(settings))
    assert json.loads((tmp_path / "data.json").read_text())["train"][0]["sha256"] is None


def test_a_pipe_cannot_be_streamed(settings):
    settings.train, settings.stream = [os.devnull], True
    with pytest.raises(ValueError, match="not a regular file, so it cannot be read again"):
        read_training_pairs(settings)


def test_damaged_checksums_are_reported(settings, tmp_path):
    (tmp_path / "data.json").write_text('{"train": [')
    settings.output = str(tmp_path)
    with pytest.raises(ValueError, match=r"data\.json: damaged, so the run cannot be resumed"):
        check_data(settings.output, checksums_of(settings))


def test_a_run_resumes_only_with_its_own_settings(settings, tmp_path):
    folder = tmp_path / "run"
    assert check_folder(settings) is False
    folder.mkdir()
    assert check_folder(settings) is False
    (folder / "settings.yaml").write_text(to_yaml(vars(settings)), "utf-8")
    (folder / "state").mkdir()
    (folder / "state" / "training_state.npz").touch()
    settings.epochs, settings.confidence, settings.bleu_tokenize = 50, True, "none"
    assert check_folder(settings) is True
    settings.units = None
    assert check_folder(settings) is True
    assert (settings.units, settings.epochs) == (256, 50)
    settings.watch = "bleu"
    with pytest.raises(ValueError, match="`bleu_tokenize` is '13a' in the run, 'none' in this"):
        check_folder(settings)
    settings.watch, settings.units = "wer", 3
    with pytest.raises(
        ValueError, match=r"different settings \(`units` is 256 in the run, 3 in this"
    ):
        check_folder(settings)
    shutil.rmtree(folder / "state")
    (folder / "settings.yaml").rename(folder / "thesis.txt")
    with pytest.raises(ValueError, match=r"it contains 'thesis.txt'"):
        check_folder(settings)
    settings.output = settings.valid
    with pytest.raises(NotADirectoryError, match="a folder for the run"):
        check_folder(settings)


def test_a_run_resumes_only_with_its_own_data(settings, tmp_path):
    (tmp_path / "run").mkdir()
    check_data(settings.output, checksums_of(settings))
    check_data(settings.output, checksums_of(settings))
    (tmp_path / "train.tsv").write_text("a\tc\n")
    with pytest.raises(ValueError, match="the files given by `train` differ from those of the run"):
        check_data(settings.output, checksums_of(settings))


@pytest.mark.parametrize("name", ["init_from", "teacher"])
def test_a_run_resumes_only_with_the_same_models(settings, tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "best.keras").write_bytes(b"a")
    setattr(settings, name, str(tmp_path / "other"))
    check_data(settings.output, checksums_of(settings))
    setattr(settings, name, str(tmp_path / "other" / "best.keras"))  # the same file
    check_data(settings.output, checksums_of(settings))
    (tmp_path / "other" / "best.keras").write_bytes(b"b")
    with pytest.raises(ValueError, match=f"the files given by `{name}` differ from those of the"):
        check_data(settings.output, checksums_of(settings))


def fitted(*, number=800, vocabulary=40, **given):
    settings = complete({"train": ["a"], "valid": "b", **given})
    fit_to_pairs(
        settings, TrainingPairs([], [], PairStatistics(number, 12.0, 12.0, 0.04), vocabulary)
    )
    return settings


def line_of(name, output):
    return next(line for line in output.splitlines() if line.split()[0] == name)


@pytest.mark.parametrize(
    ("given", "attention", "reason"),
    [
        (
            {},
            "monotonic",
            "targets follow the order of their sources (order kept 96% of the time)",
        ),
        ({"number": 100_000}, "monotonic", "order kept 96% of the time"),
        ({"input_feeding": True}, "luong", "`input_feeding` needs it"),
        ({"vocabulary": 9000}, "luong", "up to 9,000 target tokens: monotonic attention is for"),
        ({"target_tokenizer": "subword"}, "luong", "up to 8,000 target tokens: monotonic"),
        ({"target_tokenizer": "subword", "target_vocabulary_size": 500}, "monotonic", "order"),
    ],
)
def test_the_default_attention_depends_on_pairs_and_settings(given, attention, reason, capsys):
    assert fitted(**given).attention == attention
    line = line_of("attention", capsys.readouterr().out)
    assert line.split()[1] == attention
    assert reason in line


@pytest.mark.parametrize("target", ["char", "word", "byte"])
@pytest.mark.parametrize("source", [None, "char", "word", "byte", "decomposed"])
def test_the_default_copies_only_if_tokenizers_share_tokens(source, target, tmp_path, capsys):
    path = tmp_path / "pairs.tsv"
    path.write_text("abé V;PST\tabed\nc V;PST;SG\tc\n", "utf-8")
    settings = complete({
        "train": [str(path)],
        "valid": str(path),
        "source_tokenizer": source,
        "target_tokenizer": target,
    })  # fmt: skip
    pairs = read_training_pairs(settings)
    fit_to_pairs(settings, pairs)
    texts = zip(*pairs.train, strict=True)
    sides = [
        getattr(keras_s2s, TOKENIZER_CLASSES[kind]).train(side)
        for kind, side in zip((source or "features", target), texts, strict=True)
    ]
    assert settings.copy == (max(copy_ids(*sides)) >= len(SPECIAL_TOKENS))
    reason = "a target's characters" if settings.copy else "no source token is spelled like"
    assert reason in line_of("copy", capsys.readouterr().out)


@pytest.mark.parametrize("attention", ["none", "luong", "monotonic"])
def test_a_given_attention_is_kept(attention, capsys):
    assert fitted(attention=attention).attention == attention
    assert "attention " not in capsys.readouterr().out


@pytest.mark.parametrize("attention", [None, "bahdanau"])
def test_sizes_and_attention_follow_the_initial_model(attention, tmp_path, capsys):
    model = Seq2Seq(LSTMEncoder(9, 3), LSTMDecoder(7, 3, num_layers=2, attention=attention))
    path = str(tmp_path / "first.keras")
    source, target = CharTokenizer.train(["abcde"]), CharTokenizer.train(["abc"])
    Translator(model, source, target).save(path)
    settings = fitted(init_from=path)
    assert settings.attention == (attention or "none")
    assert (settings.units, settings.decoder_layers) == (3, 2)
    output = capsys.readouterr().out
    for name in ("attention", "units", "source_tokenizer"):
        assert f"that of {path}" in line_of(name, output)


def test_a_teacher_replaces_label_smoothing(tmp_path, capsys):
    path = str(tmp_path / "teacher.keras")
    source, target = CharTokenizer.train(["abcde"]), CharTokenizer.train(["abc"])
    Translator(Seq2Seq(LSTMEncoder(9, 3), LSTMDecoder(7, 3)), source, target).save(path)
    fitted(teacher=path)
    reason = "ignored: `teacher` predicts the targets"
    assert reason in line_of("label_smoothing", capsys.readouterr().out)
