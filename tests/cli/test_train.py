"""`keras-s2s train`: the run folder, and resuming after a kill."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import time
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.running import start

import keras_s2s
from keras_s2s import losses
from keras_s2s.cli.run_folder import write_samples
from keras_s2s.cli.settings_file import complete, read_config
from keras_s2s.cli.training_model import build_model
from keras_s2s.files import locked

WORDS = [first + second + third for first in "abc" for second in "abc" for third in "abc"]
PAIRS = [(word, " ".join(reversed(word))) for word in WORDS]
OPTIONS = [
    *("--target-tokenizer", "word", "--units", "8", "--beam-width", "2", "--samples", "3"),
    *("--epochs", "2", "--batch-size", "4", "--learning-rate", "0.02", "--warmup-steps", "3"),
    *("--save-every", "2", "--threads", "1"),
]
FILES = {
    "README.txt", "best.keras", "data.json", "figures.json", "learning_curve.csv", "samples.txt",
    "settings.yaml", "source_vocabulary.json", "state", "target_vocabulary.json",
}  # fmt: skip


def write_pairs(path, pairs):
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), "utf-8")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    train = write_pairs(folder / "train.tsv", PAIRS[:-4])
    return ["--train", train, "--valid", write_pairs(folder / "valid.tsv", PAIRS[-4:])]


def begin(files, folder):
    return start("train", *files, *OPTIONS, "--output", folder, stdout=subprocess.PIPE)


@pytest.fixture(scope="module")
def finished(files, tmp_path_factory):
    """The folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with begin(files, folder) as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return folder


def read_curve(folder):
    with (folder / "learning_curve.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_sample_is_right_whatever_its_white_space(tmp_path):
    path = tmp_path / "samples.txt"
    write_samples(str(path), [("ab", "b a", ["c", "b  a "]), ("ab", "ba", ["b a"])])
    assert [line.strip() for line in path.read_text().splitlines()[3::5]] == ["right", "wrong"]


def test_a_run_folder_explains_itself(finished, run):
    assert {path.name for path in finished.iterdir()} - {"learning_curve.png"} == FILES
    curve = read_curve(finished)
    assert [row["epoch"] for row in curve] == ["0", "1"]
    assert {"loss", "val_loss", "val_wer", "val_ter", "learning_rate"} <= curve[0].keys()
    assert json.loads((finished / "source_vocabulary.json").read_text())[4:] == list("abc")
    readme = (finished / "README.txt").read_text()
    assert all(name in readme for name in FILES - {"README.txt"})
    samples = (finished / "samples.txt").read_text()
    assert samples.count("source ") == 3
    best = keras_s2s.load(finished)
    assert best.search.beam_width == 2
    assert best.search.max_length == 5  # 1.2 times 3 phones and an end
    _, output, _ = run("translate", finished, stdin=b"abc\n")
    assert output.splitlines() == best.translate(["abc"])


def test_figures_are_those_of_evaluate(finished, files, run):
    _, output, _ = run("evaluate", finished, files[3], "--json")
    assert json.loads(output) == json.loads((finished / "figures.json").read_text())


@pytest.mark.slow
def test_a_resumed_run_keeps_its_best_model(run, files, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    wer = {6: 0.9, 12: 0.4, 18: 0.6, 24: 0.5}  # by the number of steps
    models = []  # the best after each epoch

    def evaluate(callback):
        value = wer[int(callback.model.optimizer.iterations.numpy())]
        callback.figures = {"val_wer": value, "val_ter": value}

    def end_epoch(lines, epoch, logs=None):
        models.append((folder / "best.keras").read_bytes())
        if len(models) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("keras_s2s.SearchEvaluation.evaluate", evaluate)
    monkeypatch.setattr("keras_s2s.cli.epoch_lines.EpochLines.on_epoch_end", end_epoch)
    command = ["train", *files, *OPTIONS, "--epochs", "4", "--output", folder]
    code, _, errors = run(*command)
    assert code == 130, errors
    code, output, errors = run(*command)
    assert code == 0, errors
    assert "Resuming training in epoch 3" in output
    assert "\nBest epoch: 2 " in output
    first, *others = models  # the third epoch ended twice
    assert others == 4 * [(folder / "best.keras").read_bytes()] != 4 * [first]


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_metrics(finished, files, tmp_path):
    folder = tmp_path / "killed"
    state = folder / "state" / "training_state.npz"
    with begin(files, folder) as process:
        for _ in range(3000):
            if state.exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
    assert not (folder / "figures.json").exists()
    with begin(files, folder) as process:
        output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert output.count(b"Resuming training in epoch ") == 1
    assert b"Training in" not in output
    for name in ("learning_curve.csv", "figures.json", "samples.txt"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes()


@pytest.mark.parametrize("options", [[], ["--units", "9"]])
def test_only_one_run_at_a_time_uses_a_folder(run, files, tmp_path, options):
    folder = tmp_path / "run"
    folder.mkdir()
    with locked(str(folder / ".lock")):
        code, _, errors = run("train", *files, *OPTIONS, "--output", folder, *options)
    assert code == 2
    assert errors == (
        f"keras-s2s: {folder}: another training run uses this folder (in use by process "
        f"{os.getpid()}). Wait for it to end, or choose another --output\n"
    )


@pytest.mark.usefixtures("interrupted")
def test_unfinished_files_of_a_killed_run_are_removed(run, files, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (
        ".lock",
        ".best.keras.1-ab.unfinished.keras",
        ".learning_curve.csv.2-c.unfinished",
    ):
        (folder / name).write_text("")
    assert run("train", *files, *OPTIONS, "--output", folder)[0] == 130
    assert [name for name in os.listdir(folder) if name.startswith(".")] == []


def test_a_folder_below_a_file_is_reported_at_once(run, files):
    code, _, errors = run("train", *files, "--output", files[1] / "below" / "run")
    assert code == 2
    assert errors == f"keras-s2s: --output {files[1]}: a file. Expected: a folder for the run\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--units", "9"], "different settings (--units is 8 in the run, 9 in this command)"),
        (["--watch", "bleu"], "(--watch is 'wer' in the run, 'bleu' in this command)"),
        (["--source-tokenizer", "byte"], "(--source-tokenizer is 'char' in the run, 'byte' in "),
    ],
)  # fmt: skip
def test_two_runs_cannot_share_a_folder(run, finished, files, options, message):
    code, _, errors = run("train", *files, *OPTIONS, "--output", finished, *options)
    assert code == 2
    assert message in errors


def test_a_malformed_line_is_reported_before_anything_is_written(run, files, tmp_path):
    broken = tmp_path / "broken.tsv"
    broken.write_text("a\tb\nab\n")
    folder = tmp_path / "run"
    code, _, errors = run("train", "--train", broken, *files[2:], "--output", folder)
    assert code == 2
    assert errors.splitlines()[-1].startswith(f"keras-s2s: {broken}, line 2: no tab in the line")
    assert not folder.exists()


def test_a_full_disk_is_reported_before_anything_is_written(run, files, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    folder = tmp_path / "run"
    code, _, errors = run("train", *files, *OPTIONS, "--output", folder)
    assert code == 2
    assert "not enough disk space" in errors
    assert not folder.exists()


def _interrupt(*arguments, **options):
    raise KeyboardInterrupt


@pytest.fixture
def interrupted(monkeypatch):
    """A run interrupted by Ctrl-C before the first step."""
    monkeypatch.setattr("keras_s2s.Seq2Seq.fit", _interrupt)


@pytest.mark.parametrize("phase", ["keras_s2s.Seq2Seq.fit", "keras_s2s.cli.training.conclude"])
def test_ctrl_c_prints_how_to_resume(run, files, tmp_path, monkeypatch, phase):
    monkeypatch.setattr(phase, _interrupt)
    code, _, errors = run("train", *files, *OPTIONS, "--output", tmp_path / "run")
    assert code == 130
    assert errors.splitlines()[-1] == "Interrupted. Run the same command again to resume"


@pytest.mark.usefixtures("interrupted")
@pytest.mark.slow
def test_a_run_keeps_its_number_of_threads(run, files, tmp_path, monkeypatch):
    state = tmp_path / "run" / "state" / "training_state.npz"

    def threads_of_run(cores, *options):
        monkeypatch.setattr("keras_s2s.cli.training.count_cores", lambda: cores)
        command = ["train", *files, *OPTIONS[:-2], "--output", tmp_path / "run", *options]
        _, output, _ = run(*command)
        told = [line for line in output.splitlines() if line.startswith("Threads:")]
        state.parent.mkdir(exist_ok=True)
        state.touch()  # as if training had begun
        return read_config(tmp_path / "run" / "settings.yaml")["threads"], told

    assert OPTIONS[-2] == "--threads"
    assert threads_of_run(3) == (3, [])
    told = [
        "Threads: 3; this machine has 5 cores (a resumed run keeps its number of threads; "
        "--threads changes it)"
    ]
    assert threads_of_run(5) == (3, told)
    assert threads_of_run(5, "--threads", "5") == (5, [])
    assert threads_of_run(5) == (5, [])


OWN_Q = """
import keras

@keras.saving.register_keras_serializable(package="own")
class FirstState(keras.layers.Layer):
    def call(self, memory, mask):
        return memory[:, 0]
"""


@pytest.mark.usefixtures("interrupted")
@pytest.mark.slow
def test_a_custom_context_is_trained(run, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trained_q.py").write_text(OWN_Q)
    command = ["train", *files, *OPTIONS, "--output", "run", "--context", "own>FirstState"]
    code, _, errors = run(*command)
    assert code == 2
    assert "--context own>FirstState: not registered with Keras. Use --import" in errors
    code, _, errors = run(*command, "--import", "trained_q")
    assert (code, errors.splitlines()[-1][:11]) == (130, "Interrupted")
    assert "\nimport: [trained_q]" in (tmp_path / "run" / "settings.yaml").read_text()
    code, _, errors = run("train", "--config", "run/settings.yaml")
    assert code == 130


@pytest.mark.usefixtures("interrupted")
def test_validation_sources_in_the_training_data_are_reported(run, files, tmp_path):
    options = ["--train", files[3], *OPTIONS, "--output", tmp_path / "run"]
    _, _, errors = run("train", *files, *options)
    assert (
        "warning: the training pairs contain 4 of 4 validation sources, so the error rates"
        in errors
    )


@pytest.mark.usefixtures("interrupted")
def test_incompatible_settings_are_an_error(run, files, tmp_path):
    folder = tmp_path / "run"
    options = [*OPTIONS, "--output", folder, "--attention", "none", "--input-feeding"]
    code, _, errors = run("train", *files, *options)
    assert code == 2
    assert "--input-feeding needs the attention luong" in errors.splitlines()[-1]
    assert not folder.exists()


def test_a_loss_of_nan_ends_training_with_an_error(run, files, tmp_path, monkeypatch):
    token_nll = losses.token_nll
    monkeypatch.setattr(losses, "token_nll", lambda *given: float("nan") * token_nll(*given))
    code, _, errors = run("train", *files, *OPTIONS, "--output", tmp_path / "run")
    assert code == 1
    assert "training diverged: the loss or the outputs of the model are not finite" in errors
    assert "use a lower --learning-rate and another --output" in errors


def test_missing_settings_depend_on_the_pairs(run, files, tmp_path, monkeypatch):
    def fit(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_s2s.Seq2Seq.fit", fit)
    folder = tmp_path / "run"
    wanted = keras_s2s.recommended_settings(PAIRS[:-4], units=8)
    options = ["--target-tokenizer", "word", "--units", "8", "--output", folder]
    _, output, _ = run("train", *files, *options)
    for name, reason in wanted.reasons.items():
        if name != "units":
            assert f"  {name:16s} {getattr(wanted, name)!s:>9s}  {reason}\n" in output
    assert "units   " not in output
    written = read_config(folder / "settings.yaml")
    assert {name: written[name] for name in wanted.reasons} == {
        name: getattr(wanted, name) for name in wanted.reasons
    }
    _, output, _ = run("train", *files, *options)  # resumed: nothing is chosen again
    assert f"Training in {folder}\n" in output
    assert "settings for" not in output


def test_the_command_line_trains_the_recommended_model(files):
    settings = keras_s2s.recommended_settings(PAIRS, units=8)
    given = {name: getattr(settings, name) for name in settings.reasons}
    source = keras_s2s.CharTokenizer.train(source for source, _ in PAIRS)
    target = keras_s2s.WordTokenizer.train(target for _, target in PAIRS)
    ours = settings.build_model(source, target)
    complete_settings = complete({"train": ["a"], "valid": "b", **given})
    theirs = build_model(complete_settings, source.vocabulary_size, target.vocabulary_size)

    def comparable(model):
        config = model.get_config()
        for part in ("encoder", "decoder"):
            config[part]["config"].pop("name")
        return {name: config[name] for name in ("encoder", "decoder")}

    assert comparable(ours) == comparable(theirs)
    assert ours.loss.get_config() == theirs.loss.get_config()
    assert type(ours.optimizer) is type(theirs.optimizer)
    assert ours.optimizer.global_clipnorm == theirs.optimizer.global_clipnorm


@pytest.mark.slow
def test_a_model_that_is_always_wrong_is_reported(run, files, tmp_path):
    options = [*OPTIONS, "--learning-rate", "1e-9", "--epochs", "1", "--output", tmp_path / "run"]
    code, _, errors = run("train", *files, *options)
    assert code == 0
    assert "warning: no output for the validation pairs is correct" in errors


@pytest.fixture(scope="module")
def several(files, tmp_path_factory):
    """The folder of a run of two models."""
    folder = tmp_path_factory.mktemp("runs") / "several"
    options = [*OPTIONS, "--models", "2", "--epochs", "1", "--output", folder]
    with start("train", *files, *options, stdout=subprocess.PIPE) as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return folder


@pytest.mark.slow
def test_several_models_have_their_own_seeds_and_become_an_ensemble(several):
    best = keras_s2s.load(several / "best.keras")
    assert isinstance(best.model, keras_s2s.Ensemble)
    members = [keras_s2s.load(several / f"model-{number}" / "best.keras") for number in (1, 2)]
    for ours, theirs in zip(best.model.members(), members, strict=True):
        for here, there in zip(ours.get_weights(), theirs.model.get_weights(), strict=True):
            np.testing.assert_array_equal(here, there)
    first, second = (member.model.get_weights()[0] for member in members)
    assert abs(first - second).max() > 0.01
    assert best.search == members[0].search
    seeds = [
        read_config(several / f"model-{number}" / "settings.yaml")["seed"] for number in (1, 2)
    ]
    assert seeds == [0, 1]
    assert {"figures.json", "samples.txt", "settings.yaml"} <= {it.name for it in several.iterdir()}


@pytest.mark.slow
def test_several_models_resume_without_training_finished_ones(several, files, run):
    curves = [(several / f"model-{number}" / "learning_curve.csv") for number in (1, 2)]
    before = [curve.read_bytes() for curve in curves]
    (several / "best.keras").unlink()
    options = [*OPTIONS, "--models", "2", "--epochs", "1", "--output", several]
    code, output, errors = run("train", *files, *options)
    assert code == 0, errors
    assert output.count("Nothing left to train: ") == 2
    assert [curve.read_bytes() for curve in curves] == before
    assert (several / "best.keras").exists()
    code, _, errors = run("train", *files, *options, "--models", "3")
    assert code == 2
    assert "models is 2 in the run, 3 in this command" in errors


@pytest.mark.slow
def test_a_student_learns_the_predictions_of_an_ensemble(several, files, run, tmp_path):
    options = ["--teacher", several, "--epochs", "1", "--output", tmp_path / "student"]
    code, _, errors = run("train", *files, *OPTIONS, *options)
    assert code == 0, errors
    student = keras_s2s.load(tmp_path / "student" / "best.keras")
    assert isinstance(student.model, keras_s2s.Seq2Seq)
    assert student.target.vocabulary == keras_s2s.load(several / "best.keras").target.vocabulary


def test_a_student_is_trained_on_the_predictions_of_its_teacher(run, files, tmp_path, monkeypatch):
    source = keras_s2s.CharTokenizer.train(WORDS)
    target = keras_s2s.WordTokenizer.train(target for _, target in PAIRS)
    model = keras_s2s.Seq2Seq(keras_s2s.LSTMEncoder(7, 4), keras_s2s.LSTMDecoder(7, 4))
    keras_s2s.Translator(model, source, target).save(tmp_path / "teacher.keras")
    found = []

    def fit(model, batches, **options):
        found.extend(labels.numpy() for _, labels in batches.take(1))
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_s2s.Seq2Seq.fit", fit)
    options = ["--teacher", tmp_path / "teacher.keras", "--output", tmp_path / "run"]
    assert run("train", *files, *OPTIONS, *options)[0] == 130
    (labels,) = found
    assert labels.shape == (4, 4, 7)  # 3 phones and an end
    np.testing.assert_allclose(labels.sum(axis=2), 1, atol=1e-2)
    assert 0 < labels.min() < labels.max() < 1


def test_a_teacher_with_other_tokenizers_is_an_error(finished, files, run, tmp_path):
    options = ["--teacher", finished, "--output", tmp_path / "run", "--target-tokenizer", "char"]
    code, _, errors = run("train", *files, *OPTIONS, *options)
    assert code == 2
    assert "its target tokenizer is a WordTokenizer. Expected: a " in errors


@pytest.mark.filterwarnings("ignore:The confidences are not calibrated")
@pytest.mark.slow
def test_a_model_with_confidences_is_calibrated_on_the_validation_pairs(run, files, tmp_path):
    options = [*OPTIONS, "--confidence", "--epochs", "1", "--output", tmp_path / "run"]
    code, output, errors = run("train", *files, *options)
    assert code == 0, errors
    assert "Confidences: temperature " in output
    best = keras_s2s.load(tmp_path / "run" / "best.keras")
    assert best.temperature == pytest.approx(best.calibrate(PAIRS[-4:]).temperature)
