"""Commands other than `train` and `translate`, and error messages."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.running import ROOT

import keras_s2s as s2s
from keras_s2s.cli import evaluate
from keras_s2s.cli import main as program
from keras_s2s.cli.exported_model import ExportedModel
from keras_s2s.cli.keras_model import KerasModel
from keras_s2s.cli.settings_file import to_yaml
from keras_s2s.export.signatures import OPTIONS_MAX_LENGTH

COMMANDS = sorted(program.commands.commands)
A_MODEL = "a .keras, .tflite or .onnx file, the folder of a SavedModel, or the folder of a run"
PAIRS = [("abcd", "one two"), ("ü", "three"), ("abcd", "two")]


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS), "utf-8")
    return path


def test_help_and_errors_do_not_wait_for_tensorflow():
    code = f"""
import sys
from keras_s2s.cli.main import main
assert main(["--help"]) == main([]) == 0
for command in {COMMANDS}:
    assert main([command, "--help"]) == 0
    assert main([command, "--no-such-option"]) == 2
assert main(["no-such-command"]) == 2
assert main(["score", "no-such-model", "no-such-pairs"]) == 2
assert not {{"tensorflow", "keras", "numpy"}} & sys.modules.keys()
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    for line in ended.stderr.decode().splitlines():
        assert line.startswith("keras-s2s")


def test_help_is_printed_in_a_locale_that_lacks_its_characters():
    code = "import sys; from keras_s2s.cli.main import run; sys.argv[1:] = ['score', '-h']; run()"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"log_prob / length**?" in ended.stdout


def test_errors_in_files_do_not_wait_for_tensorflow(tmp_path):
    names = ("good.tsv", "bad.tsv", "run", "model.keras")
    good, bad, run, model = (str(tmp_path / name) for name in names)
    Path(good).write_text("a\tb\n", "utf-8")
    Path(bad).write_bytes(b"a\xff\n")
    decoder = {"config": {"units": 8, "attention": None, "copy": False}}
    encoder = {"class_name": "LSTMEncoder", "config": {"units": 8}}
    config = {"model": {"config": {"encoder": encoder, "decoder": decoder}}}
    config["source"] = {"class_name": "CharTokenizer"}
    ensemble = str(tmp_path / "ensemble.keras")
    with zipfile.ZipFile(ensemble, "w") as archive:
        archive.writestr(
            "config.json", json.dumps({"config": {"model": {"class_name": "Ensemble"}}})
        )
    with zipfile.ZipFile(model, "w") as archive:
        archive.writestr("config.json", json.dumps({"config": config}))
    code = f"""
import sys
from keras_s2s.cli.main import main
good, bad, run, model, ensemble = {[good, bad, run, model, ensemble]!r}
train = ["train", "--output", run, "--train", good, "--valid"]
for command in (
    [*train[:-2], bad, "--valid", good],
    [*train, bad],
    [*train, good, "--features-column", "2"],
    [*train, good, "--init-from", run],
    [*train, good, "--attention", "monotonic", "--input-feeding"],
    [*train, good, "--init-from", model, "--copy"],
    [*train, good, "--import", "no_such_module"],
    [*train, good, "--init-from", ensemble],
    ["evaluate", model, bad],
    ["score", model, bad],
    ["draw", "errors", model, bad, run + ".png"],
    ["compare", model, model, bad],
    ["export", model, run + ".tflite", "--probes", bad],
    ["translate", model],
    ["translate", model, "--nbest", "3", "--beam-width", "2"],
    ["compare", model, good, good],
    ["compare", model, model, good],
    ["average", model, good, "--output", run + ".keras"],
    ["inspect", good],
):
    with open(bad) as sys.stdin:
        assert main(command) == 2, command
with open(good) as sys.stdin:  # its line has a tab
    assert main(["translate", model]) == 2
assert not {{"tensorflow", "keras"}} & sys.modules.keys()
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stderr.decode().splitlines()
    assert len(lines) == 20
    assert lines[-1].startswith("keras-s2s: standard input, line 1: a tab at character 2. Expected")
    assert lines[-2].startswith(f"keras-s2s: {good}: not a model. Expected: a .keras, ")
    for line in lines:
        assert line.startswith("keras-s2s: ")


def test_the_files_of_a_model_server_are_written_without_tensorflow(tmp_path):
    (tmp_path / "g2p" / "1").mkdir(parents=True)
    code = f"""
import sys
from keras_s2s.cli.main import main
assert main(["serving-files", {str(tmp_path / "g2p")!r}, {str(tmp_path / "deploy")!r}]) == 0
assert not {{"tensorflow", "keras", "numpy"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    assert "tensorflow/serving:2." in (tmp_path / "deploy" / "compose.yaml").read_text()


def test_scores_are_those_of_the_translator(run, model, pairs, translator):
    sources, targets = (tf.constant(side) for side in zip(*PAIRS, strict=True))
    expected = translator.score_texts(sources, targets)
    code, output, _ = run("score", model, pairs, "--batch-size", 2)
    found = [list(map(float, line.split("\t"))) for line in output.splitlines()]
    assert code == 0
    assert [it[0] for it in found] == pytest.approx(
        expected["log_probs"].numpy().tolist(), abs=1e-5
    )
    assert [it[1] for it in found] == pytest.approx(expected["scores"].numpy().tolist(), abs=1e-5)
    _, output, _ = run("score", model, pairs, "--json")
    rows = [json.loads(line) for line in output.splitlines()]
    assert [(row["source"], row["target"]) for row in rows] == PAIRS
    assert [[row["log_prob"], row["score"]] for row in rows] == [
        pytest.approx(row, abs=1e-6) for row in found
    ]


@pytest.mark.slow
def test_evaluate_accepts_any_reference_of_a_source(run, model, pairs, translator, tmp_path):
    outputs = tmp_path / "outputs.tsv"
    code, output, errors = run("evaluate", model, pairs, "--json", "--outputs", outputs)
    assert (code, errors) == (0, "")
    report = json.loads(output)
    assert report["sources"] == 2
    # BLEU of two words means nothing: it has to be asked for
    assert set(report) == {"sources", "wer", "ter", "signatures", "confusions"}
    _, asked, _ = run("evaluate", model, pairs, "--json", "--metrics", "wer,bleu,chrf")
    assert {"wer", "bleu", "chrf"} < set(json.loads(asked))
    first, second = translator.translate(["abcd", "ü"])
    assert outputs.read_text("utf-8") == f"abcd\t{first}\tone two\ttwo\nü\t{second}\tthree\n"
    pairs.write_text(f"abcd\tone two\nü\tthree\nabcd\t{first}\n", "utf-8")
    _, output, _ = run("evaluate", model, pairs, "--metrics", "wer")
    assert output.splitlines()[1].startswith("WER    50.00%")


def test_the_pairs_are_not_replaced_by_the_outputs(run, model, pairs):
    code, _, errors = run("evaluate", model, pairs, "--outputs", pairs)
    assert code == 2
    assert errors.startswith(f"keras-s2s: --outputs {pairs}: this file is PAIRS. Expected: another")


def test_outputs_replace_a_file_only_at_the_end(tmp_path, monkeypatch):
    path, references = tmp_path / "outputs.tsv", {"a": ["A"], "b": ["B"]}
    path.write_text("old", encoding="utf-8")
    with pytest.raises(ValueError, match="shorter than argument 1"):
        evaluate._write_outputs(str(path), references, ["A"])
    assert path.read_text("utf-8") == "old"
    evaluate._write_outputs(str(path), references, ["A", "x"])
    assert path.read_text("utf-8") == "a\tA\tA\nb\tx\tB\n"
    assert os.listdir(tmp_path) == ["outputs.tsv"]


def test_outputs_may_be_written_to_a_device(capfd):
    evaluate._write_outputs("/dev/stdout", {"a": ["A"]}, ["A"])
    assert capfd.readouterr().out == "a\tA\tA\n"


def test_unknown_metrics_are_an_error(run, model, pairs):
    code, _, errors = run("evaluate", model, pairs, "--metrics", "wer,blue")
    assert code == 2
    assert "--metrics must be one or more of wer, ter, bleu, chrf, separated by commas. R" in errors


@pytest.mark.parametrize(
    ("out", "options", "file_format"),
    [
        ("g2p.tflite", ["--quantization", "float16"], "LiteRT float16"),
        ("serving", [], "SavedModel"),
    ],
)
@pytest.mark.slow
def test_an_export_can_be_inspected_and_translates(
    run, model, pairs, translator, tmp_path, caplog, out, options, file_format
):
    figures = tmp_path / "figures.json"
    figures.write_text('{"sources": 3, "wer": {"value": 0.25, "low": 0.2, "high": 0.3}}', "utf-8")
    code, output, errors = run("export", model, tmp_path / out, *options, "--figures", figures)
    assert (code, errors) == (0, "")
    steps = [record.getMessage() for record in caplog.records if record.levelname == "INFO"]
    assert steps[0] == "Computing the outputs of the model, to check the export"
    assert steps[1].startswith("Tracing signatures: ")
    assert steps[2] == ("Converting for LiteRT" if options else "Writing the SavedModel")
    assert re.fullmatch(r"Comparing \d+ outputs of serving_default with the model", steps[3])
    if options:  # a file is not replaced unasked; a SavedModel gets another version
        code, _, errors = run("export", model, tmp_path / out, *options)
        assert code == 2
        assert "the file already exists; use --overwrite to replace it" in errors
    assert output.strip() in (str(tmp_path / "serving" / "1"), str(tmp_path / "g2p.tflite"))
    _, output, _ = run("inspect", tmp_path / out, "--json")
    card = json.loads(output)
    assert card["format"] == file_format
    assert card["figures"] == {"sources": 3, "wer": 0.25}
    _, output, _ = run("translate", tmp_path / out, stdin=b"abcd\n\nbb\n")
    first, second = translator.translate(["abcd", "bb"])
    assert output.splitlines() == [first, "", second]
    code, _, errors = run("translate", tmp_path / out, "--beam-width", 2)
    assert code == 2
    assert "Use --beam-width with a .keras file or run folder" in errors


@pytest.mark.parametrize(
    ("out", "options", "on_ids"),
    [("m.onnx", [], True), ("m.tflite", ["--signature", "ids"], True), ("m.tflite", [], False)],
)
def test_an_export_of_ids_says_that_it_does_not_copy(
    run, monkeypatch, tmp_path, out, options, on_ids
):
    copying = SimpleNamespace(replace_unknown=True)
    monkeypatch.setattr("keras_s2s.cli.export.load_translator", lambda path: copying)
    for name in ("onnx", "litert"):
        monkeypatch.setattr(s2s.export, name, lambda translator, out, **given: out, raising=False)
    code, _, errors = run("export", tmp_path, tmp_path / out, *options)
    assert (code, 'the output is id 1 (unk), written as "⁇"' in errors) == (0, on_ids)


@pytest.mark.parametrize(
    ("out", "options", "given"),
    [
        ("m", [], {"version": None, "signatures": None}),
        ("m", ["--version", 7], {"version": 7, "signatures": None}),
        (
            "m",
            ["--signature", "ids", "--signature", "greedy_ids", "--source-length", 8],
            {"version": None, "signatures": ("ids", "greedy_ids"), "source_length": 8},
        ),
        (
            "m",
            ["--warmup-length", 5],
            {"version": None, "signatures": None, "warmup": s2s.export.Warmup((1,), (5,))},
        ),
        (
            "m",
            ["--warmup-length", 5, "--warmup-batch-size", 3],
            {"version": None, "signatures": None, "warmup": s2s.export.Warmup((3,), (5,))},
        ),
        ("m.tflite", ["--probes", "{probes}"], {"probes": ["ab", "c"], "signatures": None}),
        ("m.tflite", ["--quantization", "int8"], {"quantization": "int8", "signatures": None}),
        ("m.onnx", ["--signature", "greedy_ids"], {"signature": "greedy_ids"}),
    ],
)
def test_the_options_of_an_export_reach_it(run, monkeypatch, tmp_path, out, options, given):
    exported = []

    def export(translator, path, **given):
        exported.append((path, given))
        return path

    plain = SimpleNamespace(replace_unknown=False)
    monkeypatch.setattr("keras_s2s.cli.export.load_translator", lambda path: plain)
    monkeypatch.setattr("keras_s2s.cli.export.check_package", lambda name: None)
    for name in ("saved_model", "litert", "onnx"):
        monkeypatch.setattr(s2s.export, name, export, raising=False)
    probes, path = tmp_path / "probes.txt", str(tmp_path / out)
    probes.write_text("ab\nc\n", "utf-8")
    options = [str(option).replace("{probes}", str(probes)) for option in options]
    assert run("export", tmp_path, path, *options) == (0, f"{path}\n", "")
    always = {"figures": {}, "probes": [], "source_length": None}
    always |= {"quantization": None} if "." in out else {}
    assert exported == [(path, {**always, **given})]


@pytest.mark.parametrize(
    ("options", "given"),
    [
        (["--image", "own/image"], {"image": "own/image"}),
        (["--cpus", 3], {"cpus": 3}),
        (["--memory", "2Gi"], {"memory": "2Gi"}),
        (["--version", 2, "--version", 3], {"versions": (2, 3)}),
    ],
)
def test_the_options_of_serving_files_reach_them(run, monkeypatch, tmp_path, options, given):
    asked = []

    def serving_files(served, folder, **settings):
        asked.append(settings)
        return ["compose.yaml"]

    monkeypatch.setattr(s2s.export, "serving_files", serving_files)
    command = ["serving-files", tmp_path, tmp_path / "deploy", *options]
    assert run(*command) == (0, "compose.yaml\n", "")
    defaults = {"name": None, "versions": (), "image": None, "cpus": 2, "memory": "1Gi"}
    assert asked == [{**defaults, "replicas": (2, 8), "overwrite": False, **given}]


@pytest.fixture
def characters(monkeypatch):
    """`evaluate` of a model with characters as targets, whose every output is "abd"."""
    tokenizer = s2s.CharTokenizer.train(["abcd"])
    model = s2s.Seq2Seq(s2s.LSTMEncoder(8, 2), s2s.LSTMDecoder(8, 2))
    answering = KerasModel(s2s.Translator(model, tokenizer, tokenizer), s2s.BeamSearch())
    monkeypatch.setattr(answering, "translate", lambda texts, batch_size: ["abd"] * len(texts))
    monkeypatch.setattr(evaluate, "load_model", lambda path, **options: answering)


@pytest.mark.usefixtures("characters")
def test_the_errors_of_characters_are_counted_in_characters(run, model, pairs):
    pairs.write_text("ab\tabc\n", "utf-8")
    _, output, _ = run("evaluate", model, pairs, "--json")
    assert json.loads(output)["ter"]["value"] == pytest.approx(1 / 3)


@pytest.mark.usefixtures("characters")
@pytest.mark.parametrize(
    ("options", "given"),
    [
        ([], {}),
        (["--bleu-tokenize", "none"], {"bleu_tokenize": "none"}),
        (["--confusions", 3], {"confusions": 3}),
        (["--bootstrap", 5], {"bootstrap": 5}),
        (["--metrics", "chrf"], {"metrics": ["chrf"]}),
    ],
)
def test_the_options_of_evaluate_reach_the_report(run, model, pairs, monkeypatch, options, given):
    asked = []

    def report(outputs, references, **settings):
        asked.append(settings)
        return SimpleNamespace(to_text=lambda: "the report")

    monkeypatch.setattr(evaluate, "make_report", report)
    assert run("evaluate", model, pairs, *options)[:2] == (0, "the report\n")
    defaults = {"metrics": ["wer", "ter"], "tokens": "characters", "bleu_tokenize": "13a"}
    assert asked == [{**defaults, "confusions": 10, "bootstrap": 1000, **given}]


def test_inspect_describes_a_keras_file(run, model, translator):
    _, output, _ = run("inspect", model)
    assert output.startswith("# Sequence-to-sequence model, Keras\n")
    assert f"| parameters | {translator.model.count_params()} |" in output
    assert "signature" not in output
    os.utime(model, (0, 86400.0))
    assert json.loads(run("inspect", model, "--json")[1])["created"] == "1970-01-02T00:00:00+00:00"


@pytest.mark.parametrize("damaged", ["saved_model.pb", "variables/variables.index"])
@pytest.mark.slow
def test_a_damaged_saved_model_is_an_error(run, served_folder, tmp_path, damaged):
    version = tmp_path / "1"
    shutil.copytree(served_folder, version)
    content = (version / damaged).read_bytes()
    (version / damaged).write_bytes(content[: len(content) // 2])
    code, _, errors = run("translate", version, stdin=b"abcd\n")
    assert code == 2
    assert errors.count("\n") == 1
    assert str(version) in errors
    assert "damaged" in errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--quantization", "int8"], "--quantization requires --format litert or onnx"),
        (["--format", "litert", "--version", "2"], "--version requires --format saved_model"),
        (
            ["--format", "litert", "--warmup-length", "2"],
            "--warmup-length requires --format saved_model",
        ),
        (["--warmup-batch-size", "2"], "--warmup-batch-size requires --warmup-length"),
        (["--overwrite"], "--overwrite requires --format litert or onnx. A SavedModel becomes a"),
        (["--format", "litert"], "out: --format litert requires a name that ends in .tflite"),
        (["--format", "onnx"], "out: --format onnx requires a name that ends in .onnx"),
        (["--format", "onnx", "--signature", "greedy"], "a single --signature: ids, greedy_ids"),
        (["--source-length", "8"], "--source-length requires signatures that take ids: --sig"),
        (
            ["--signature", "ids", "--signature", "score", "--source-length", "8"],
            "--source-length requires signatures that take ids: --signature ids, greedy_ids or s",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused_before_the_model_is_loaded(
    run, model, monkeypatch, tmp_path, options, message
):
    monkeypatch.setattr("keras_s2s.cli.export.load_translator", None)
    code, _, errors = run("export", model, tmp_path / "out", *options)
    assert code == 2
    assert message in errors


def test_a_pair_without_a_score_may_have_a_long_target(run, monkeypatch, tmp_path):
    def session(signature, inputs):
        too_long = [len(it) > 3 for it in inputs["target"]]
        log_probs = np.where(too_long, np.float32(-1e9), np.float32(-1))
        return {"log_probs": log_probs, "scores": log_probs}

    export = ExportedModel(session, {"max_source_length": 20})
    monkeypatch.setattr("keras_s2s.cli.score.load_model", lambda path, tensorflow: export)
    pairs, served = tmp_path / "pairs.tsv", tmp_path / "m.tflite"
    pairs.write_text("a\tb\na\tbcde\n", "utf-8")
    served.touch()
    code, _, errors = run("score", served, pairs)
    assert code == 2
    assert "pairs.tsv, line 2: the source or the target is too long for this export. Exp" in errors
    limits = f"a source of at most 20 tokens, and a target of at most {OPTIONS_MAX_LENGTH:,} tokens"
    assert limits in errors


def test_a_group_without_a_command_prints_its_help(run):
    for group in ([], ["draw"]):
        assert run(*group) == run(*group, "--help")
    code, output, errors = run("draw")
    assert (code, errors) == (0, "")
    assert "\n  attention  Plot attention weights.\n" in output


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["score", "no", "no"], f"MODEL no: there is no such file or folder. Expected: {A_MODEL}"),
        (["score", ".", "."], "PAIRS .: a folder. Expected: a file of source<TAB>target lines"),
        (
            ["average", "no", "--output", "o.keras"],
            "MODEL no: there is no such file or folder. Expec",
        ),
        (["compare", ".", "no", "no"], "AFTER no: there is no such file or folder. Expected: a ."),
        (["export", ".", "o", "--probes", "no"], "--probes no: there is no such file. Expected: a"),
        (["serving-files", "{file}", "o"], "SERVED {file}: a file. Expected: a folder of SavedM"),
        (["serving-files", ".", "{file}"], "FOLDER {file}: a file. Expected: a folder to write"),
        (["draw", "curves", ".", "no/a.png"], "PICTURE no/a.png: There is no folder"),
        (["translate", ".", "--nbest", "0"], "--nbest must be an integer between 1 and 10000. Re"),
        (["export", ".", "o", "--format", "h5"], "--format must be one of saved_model, litert, o"),
        (["evaluate", ".", "{file}", "--bootstrap", "x"], "--bootstrap must be an integer of at"),
    ],
)
def test_the_argument_or_option_that_is_wrong_is_named(run, tmp_path, command, message):
    file = tmp_path / "file"
    file.touch()
    code, _, errors = run(*(part.replace("{file}", str(file)) for part in command))
    assert code == 2
    assert errors.count("\n") == 1
    assert errors.partition(": ")[2].startswith(message.replace("{file}", str(file)))


@pytest.mark.parametrize("name", ["g2p.lite", "g2p.tfllite", "g2p.h5"])
def test_an_unknown_suffix_is_refused(run, model, tmp_path, name):
    code, _, errors = run("export", model, tmp_path / name)
    assert code == 2
    assert f"{name}: unknown suffix .{name.split('.')[1]}. Use .tflite or" in errors


@pytest.mark.slow
def test_export_writes_warm_up_requests(run, model, tmp_path):
    prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    options = ["--warmup-length", 2, "--warmup-length", 3, "--warmup-batch-size", 4]
    code, output, errors = run("export", model, tmp_path / "served", *options)
    assert (code, errors) == (0, "")
    path = Path(output.strip()) / "assets.extra" / "tf_serving_warmup_requests"
    requests = [
        prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
    texts = [
        tf.make_ndarray(request.inputs["source"]).tolist()
        for request in requests
        if request.model_spec.signature_name == "greedy"
    ]
    assert sorted((len(rows), len(rows[0])) for rows in texts) == [(4, 2), (4, 3)]


@pytest.mark.slow
def test_serving_files_are_written(run, served_folder, tmp_path):
    call = ("serving-files", served_folder.parent, tmp_path / "deploy", "--name", "g2p")
    code, output, errors = run(*call, "--replicas", 3, 4)
    assert (code, errors) == (0, "")
    written = sorted(str(path) for path in (tmp_path / "deploy").iterdir())
    assert sorted(output.splitlines()) == written
    assert "name: 'g2p'" in (tmp_path / "deploy" / "models.config").read_text().replace('"', "'")
    assert "maxReplicas: 4" in (tmp_path / "deploy" / "kubernetes.yaml").read_text()
    code, _, errors = run(*call)
    assert code == 2
    assert "use --overwrite to replace them" in errors
    assert run(*call, "--overwrite", "--version", 1)[0] == 0
    assert "versions: 1" in (tmp_path / "deploy" / "models.config").read_text()
    code, _, errors = run(*call, "--overwrite", "--version", 9)
    assert code == 2
    assert "versions=[9]" in errors


@pytest.mark.parametrize(
    "command",
    [
        ["ensemble", "{model}", "{model}", "--output", "{out}.keras"],
        ["average", "{model}", "{model}", "--output", "{out}.keras"],
        ["export", "{model}", "{out}.tflite"],
        ["evaluate", "{model}", "{pairs}", "--outputs", "{out}.tsv"],
        ["draw", "attention", "{model}", "ab", "{out}.png"],
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("place", ["nowhere", "file"])
def test_an_unwritable_path_is_reported_before_the_work_starts(
    run, model, pairs, tmp_path, monkeypatch, command, place
):
    monkeypatch.setattr("keras_s2s.load", None)
    (tmp_path / "file").write_text("")
    values = {"model": model, "pairs": pairs, "out": tmp_path / place / "out"}
    code, _, errors = run(*(part.format(**values) for part in command))
    assert code == 2
    assert errors.count("\n") == 1
    assert str(tmp_path / place) in errors
    assert "There is no folder" in errors if place == "nowhere" else "not a folder" in errors


OWN = """
import keras
import tensorflow as tf

@keras.saving.register_keras_serializable(package="own")
def first_state(memory, mask):
    return memory[:, 0]
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A model with a custom context, and the folder of the module that registers it."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own_q.py").write_text(OWN)
    (folder / "broken_q.py").write_text("1 / 0")
    monkeypatch.chdir(folder)
    registered = dict(keras.saving.get_custom_objects())
    namespace = {}
    exec(OWN, namespace)  # noqa: S102
    source, target = s2s.CharTokenizer.train(["ab"]), s2s.CharTokenizer.train(["ab"])
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(6, 2, context=namespace["first_state"]), s2s.LSTMDecoder(6, 2)
    )
    s2s.Translator(model, source, target).save(folder / "spell.keras")
    keras.saving.get_custom_objects().pop("own>first_state")
    yield folder
    keras.saving.get_custom_objects().clear()
    keras.saving.get_custom_objects().update(registered)
    sys.modules.pop("own_q", None)


def test_custom_code_is_imported_from_its_module(run, own):
    code, _, errors = run("translate", "spell.keras", stdin=b"ab\n")
    assert code == 2
    assert errors.count("\n") == 1
    assert "it needs 'own>first_state', which no imported module has registered" in errors
    assert "--import MODULE" in errors
    code, output, errors = run("translate", "spell.keras", "--import", "own_q", stdin=b"ab\n")
    assert (code, output.count("\n"), errors) == (0, 1, "")
    assert str(own) not in sys.path


def test_a_run_folder_stores_its_modules(run, own):
    (own / "run").mkdir()
    (own / "spell.keras").rename(own / "run" / "best.keras")
    (own / "run" / "settings.yaml").write_text("import: own_q\n")
    code, output, errors = run("translate", "run", stdin=b"ab\n")
    assert (code, output.count("\n"), errors) == (0, 1, "")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("own_qq", "--import own_qq: no module 'own_qq' in the current folder or among"),
        ("own_q.py", "--import own_q.py: not a module name. Expected: my_module for a file"),
        ("broken_q", "--import broken_q: ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_cannot_be_imported_is_an_error(run, own, module, message):
    code, _, errors = run("inspect", "spell.keras", "--import", module)
    assert code == 2
    assert errors.startswith(f"keras-s2s: {message}")
    assert errors.count("\n") == 1


def test_the_number_of_a_malformed_line_is_reported(run, model, pairs):
    pairs.write_text("a\tb\nab\n", "utf-8")
    code, output, errors = run("score", model, pairs)
    assert (code, output) == (2, "")
    assert (
        errors == f"keras-s2s: {pairs}, line 2: no tab in the line. Expected: source<TAB>target\n"
    )


def test_a_file_that_is_not_a_model_is_an_error(run, pairs, tmp_path):
    code, _, errors = run("inspect", pairs)
    assert code == 2
    assert errors.count("\n") == 1
    assert "not a model. Expected: a .keras, " in errors
    code, _, errors = run("inspect", tmp_path)
    assert code == 2
    assert "there is no model in this folder" in errors


def test_the_model_that_is_probably_meant_is_named(run, tmp_path):
    for name, message in (
        ("weights.tflite", f"Did you mean {tmp_path / 'weights.tflite'}?"),
        ("settings.yaml", "this run has no best.keras yet"),
    ):
        (tmp_path / name).touch()
        code, _, errors = run("inspect", tmp_path)
        assert code == 2
        assert message in errors


@pytest.fixture(scope="module")
def run_folder(model, tmp_path_factory):
    """The folder of a run on files with features, whose targets are phones."""
    folder = tmp_path_factory.mktemp("run")
    shutil.copy(model, folder / "best.keras")
    settings = {"train": ["train.tsv"], "valid": "valid.tsv", "features_column": 2}
    (folder / "settings.yaml").write_text(to_yaml({**settings, "tokens": "phones"}), "utf-8")
    return folder


def test_a_run_folder_stores_how_its_data_are_read(run, run_folder, pairs, tmp_path):
    triples = tmp_path / "triples.tsv"
    triples.write_text("ab\tV;PST\tone two\nb\tV\tone\n", "utf-8")
    code, output, errors = run("evaluate", run_folder, triples, "--bootstrap", 2)
    assert code == 0, errors
    assert re.search("^PER ", output, re.MULTILINE)
    code, output, _ = run("score", run_folder, triples)
    assert (code, output.count("\n")) == (0, 2)
    options = ["--features-column", 0, "--tokens", "words", "--bootstrap", 2]
    code, output, errors = run("evaluate", run_folder, pairs, *options)
    assert code == 0, errors
    assert re.search("^TER ", output, re.MULTILINE)


def test_an_export_is_not_mixed_with_other_files(run, model, run_folder, tmp_path):
    code, _, errors = run("export", model, run_folder)
    assert code == 2
    assert f"a run folder. Expected: a folder for SavedModel versions, such as {run_folder}" in (
        errors
    )
    (tmp_path / "notes.txt").touch()
    code, _, errors = run("export", model, tmp_path)
    assert code == 2
    assert "must be new or empty, or contain SavedModel versions. It contains 'notes.txt'" in errors


def test_a_bare_model_has_no_tokenizers(run, translator, tmp_path):
    path = tmp_path / "bare.keras"
    translator.model.save(path)
    code, _, errors = run("translate", path)
    assert code == 2
    assert "a bare model without tokenizers" in errors
    _, output, _ = run("inspect", path)
    assert output.startswith("Seq2Seq, a bare model without tokenizers")


def test_a_bug_is_reported_in_one_line_and_debug_shows_the_traceback(
    run, model, pairs, monkeypatch
):
    monkeypatch.setattr("keras_s2s.cli.score.read_checked_pairs", lambda path, column: {}[path])
    code, _, errors = run("score", model, pairs)
    assert code == 1
    assert errors.startswith("keras-s2s: failed: KeyError:")
    assert "please report it with the output of --debug" in errors
    assert errors.count("\n") == 1
    code, _, errors = run("score", model, pairs, "--debug")
    assert code == 1
    assert "Traceback (most recent call last)" in errors
