"""`keras-s2s draw`."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from keras_s2s import plots
from keras_s2s.cli import draw

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("suffix", ["png", "svg"])
@pytest.mark.parametrize("what", ["attention", "search"])
@pytest.mark.sampled(2)
def test_attention_and_search_are_drawn(what, suffix, run, model, tmp_path):
    picture = tmp_path / f"picture.{suffix}"
    assert run("draw", what, model, "abcd", picture) == (0, "", "")
    begins = picture.read_bytes()[:100]
    assert begins.startswith(b"\x89PNG" if suffix == "png" else b"<?xml")


def test_characters_missing_in_all_fonts_are_reported_in_one_line(
    run, model, tmp_path, monkeypatch
):
    monkeypatch.setattr("keras_s2s.plots.canvas._installed", list)
    code, _, errors = run("draw", "search", model, "ab猫", tmp_path / "picture.png")
    assert code == 0
    assert errors.startswith("keras-s2s: warning: no installed font has 1 of the characters")
    assert errors.count("\n") == 1


def test_a_wider_beam_is_drawn_wider(run, model, tmp_path):
    sizes = []
    for width in (3, 6):
        picture = tmp_path / f"{width}.svg"
        options = ["--beam-width", width, "--max-length", 3]
        assert run("draw", "search", model, "abcd", picture, *options)[0] == 0
        sizes.append(picture.stat().st_size)
    assert sizes[1] > sizes[0]


def test_learning_curves_are_drawn_from_a_run_or_a_file(run, tmp_path):
    curve = tmp_path / "learning_curve.csv"
    curve.write_text("epoch,loss,val_loss\n0,2.0,2.5\n1,1.0,2.0\n", "utf-8")
    for given in (tmp_path, curve):
        picture = tmp_path / "picture.png"
        assert run("draw", "curves", given, picture) == (0, "", "")
        assert picture.stat().st_size > 1000


def test_a_folder_without_a_curve_is_refused(run, tmp_path):
    code, _, errors = run("draw", "curves", tmp_path, tmp_path / "picture.png")
    assert code == 2
    assert "there is no learning_curve.csv in this folder" in errors


def test_errors_by_length_are_drawn(run, model, tmp_path):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("a\tone\nabcd\ttwo\nabcd\tthree\n", "utf-8")
    picture = tmp_path / "errors.svg"
    assert run("draw", "errors", model, pairs, picture)[0] == 0
    assert picture.read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize(
    ("options", "units"),
    [
        ([], ["characters", "phones"]),
        (["--source-tokens", "words", "--target-tokens", "characters"], ["words", "characters"]),
    ],
)
def test_errors_are_counted_in_the_units_of_the_options(
    run, model, tmp_path, monkeypatch, options, units
):
    asked = []
    answering = SimpleNamespace(
        translate=lambda sources, batch_size: sources[::-1], target_unit=lambda: "phones"
    )
    monkeypatch.setattr(draw, "load_model", lambda path, **options: answering)
    monkeypatch.setattr(
        plots, "errors_by_length", lambda *given, **named: asked.append((given, named))
    )
    (tmp_path / "pairs.tsv").write_text("ab\tV\tone\nc\tN\ttwo\nab\tV\tthree\n", "utf-8")
    picture = str(tmp_path / "errors.svg")
    command = ["draw", "errors", model, tmp_path / "pairs.tsv", picture, "--features-column", 2]
    assert run(*command, *options) == (0, "", "")
    sources = ["ab V", "c N"]
    ((given, named),) = asked
    assert given == (sources, sources[::-1], [["one", "three"], ["two"]])
    assert named == {"source_tokens": units[0], "target_tokens": units[1], "path": picture}


@pytest.mark.parametrize(("what", "name"), [("attention", "attention"), ("search", "beam_search")])
def test_the_search_of_a_picture_has_the_given_options(
    run, model, tmp_path, monkeypatch, what, name
):
    asked = []
    monkeypatch.setattr(plots, name, lambda _, text, **named: asked.append((text, named)))
    picture = str(tmp_path / "picture.svg")
    options = ["--beam-width", 4, "--length-penalty", 0.5]
    assert run("draw", what, model, "abcd", picture, *options) == (0, "", "")
    ((text, named),) = asked
    assert (text, named["path"]) == ("abcd", picture)
    assert (named["search"].beam_width, named["search"].length_penalty) == (4, 0.5)


@pytest.mark.parametrize("name", ["picture.jpeg", "no/such/folder/picture.png"])
def test_an_invalid_image_path_is_refused(name, run, model, tmp_path):
    code, _, errors = run("draw", "attention", model, "abcd", tmp_path / name)
    assert code == 2
    assert name.rpartition("/")[2] in errors


def test_an_invalid_image_path_is_reported_before_the_model_is_loaded(run, tmp_path, monkeypatch):
    monkeypatch.delattr(draw, "load_model")
    (tmp_path / "pairs.tsv").write_text("a\tone\n", "utf-8")
    files = tmp_path, tmp_path / "pairs.tsv", tmp_path / "picture.jpeg"
    code, _, errors = run("draw", "errors", *files)
    assert code == 2
    assert "must end in .png or .svg. Received: " in errors


def test_an_export_cannot_be_plotted(run, tmp_path):
    served = tmp_path / "m.tflite"
    served.touch()
    code, _, errors = run("draw", "search", served, "abcd", tmp_path / "picture.png")
    assert code == 2
    assert "m.tflite: an export. Expected: a .keras file" in errors
