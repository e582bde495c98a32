from __future__ import annotations

import keras
import numpy as np
import pytest
from helpers.pictures import check_files

from keras_s2s import plots

HISTORY = {"loss": [3.0, 2.0, 1.0, 0.5], "val_loss": [3.0, 1.5, 2.0, 2.5], "val_wer": [0.9, 0.8]}


def lines(axes):
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines}


def check_panels(figure):
    loss, wer = figure.axes
    assert (loss.get_title(), wer.get_title()) == ("loss", "wer")
    assert lines(loss) == {
        "training": [[1, 3.0], [2, 2.0], [3, 1.0], [4, 0.5]],
        "validation": [[1, 3.0], [2, 1.5], [3, 2.0], [4, 2.5]],
        "best: 1.5, epoch 2": [[2, 1.5]],
    }
    assert lines(wer) == {"validation": [[2, 0.9], [4, 0.8]], "best: 0.8, epoch 4": [[4, 0.8]]}
    assert loss.get_xlabel() == "epoch"


def test_training_and_validation_stand_in_one_panel():
    check_panels(plots.learning_curves(HISTORY))


def test_one_epoch_is_written_as_a_whole_number():
    (axes,) = plots.learning_curves({"loss": [1.0]}).axes
    axes.figure.canvas.draw()
    low, high = axes.get_xlim()
    shown = [it for it in axes.xaxis.get_ticklocs() if low <= it <= high]
    assert shown == [1.0]


def test_a_history_of_fit_is_drawn():
    history = keras.callbacks.History()
    history.history = HISTORY
    check_panels(plots.learning_curves(history))


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_file_of_csvlogger_is_drawn(separator, tmp_path):
    logger = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"), separator=separator)
    logger.set_model(keras.Sequential())
    logger.on_train_begin()
    for epoch, loss in enumerate(HISTORY["loss"]):
        logs = {"loss": loss, "val_loss": HISTORY["val_loss"][epoch]}
        wer = HISTORY["val_wer"][epoch // 2] if epoch % 2 else float("nan")
        logger.on_epoch_end(epoch, {**logs, "val_wer": wer})
    logger.on_train_end()
    check_panels(plots.learning_curves(tmp_path / "log.csv"))


@pytest.mark.parametrize(
    ("metric", "best"),
    [("wer", (3, 0.2)), ("ter", (3, 0.2)), ("bleu", (2, 0.9)), ("chrf", (2, 0.9))],
)
def test_the_best_of_a_metric_is_marked(metric, best):
    (axes,) = plots.learning_curves({f"val_{metric}": [0.5, 0.9, 0.2]}).axes
    epoch, value = best
    assert lines(axes)[f"best: {value}, epoch {epoch}"] == [[epoch, value]]


def test_the_best_of_what_rises_is_the_highest_and_unknown_figures_have_none():
    figure = plots.learning_curves({"val_token_accuracy": [0.1, 0.9, 0.8], "val_x": [1, 2, np.nan]})
    accuracy, unknown = figure.axes
    assert "best: 0.9, epoch 2" in lines(accuracy)
    assert lines(unknown) == {"validation": [[1, 1.0], [2, 2.0]]}


def test_the_curves_are_written(tmp_path):
    check_files(lambda path: plots.learning_curves(HISTORY, title="$t$", path=path), tmp_path)


@pytest.mark.parametrize(
    ("history", "error", "expected"),
    [
        (3, TypeError, "`history` must be the result of `fit`"),
        ({}, ValueError, "must contain at least one epoch"),
        ({"loss": []}, ValueError, r"must contain at least one epoch. Received: \['loss'\]"),
        ({"loss": [1.0, "x"]}, ValueError, "must contain lists of numbers. Received: 'loss'"),
        ({"loss": [1, 2, 3], "val_loss": [1, 2]}, ValueError, "2 values of 'val_loss', 3 epochs"),
        ("no.csv", FileNotFoundError, "There is no file 'no.csv' to read a history from"),
    ],
)
def test_bad_histories_are_rejected(history, error, expected):
    with pytest.raises(error, match=expected):
        plots.learning_curves(history)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "must contain at least one epoch"),
        ("epoch,loss\n0,1.0\n1\n", "line 3: expected 2 columns. Received: 1"),
        ("epoch,loss\n0,one\n", "line 2: 'loss' must be a number. Received: 'one'"),
        ("walk\tW AO K\n", "not a learning curve: no column `epoch`. Expected: a file of"),
        ("PK\udcff", "not a learning curve: .* Expected: a file of `keras.callbacks.CSVLogger`"),
    ],
)
def test_a_malformed_file_is_rejected_by_its_line(text, expected, tmp_path):
    (tmp_path / "log.csv").write_text(text, "utf-8", "surrogateescape")
    with pytest.raises(ValueError, match=expected):
        plots.learning_curves(tmp_path / "log.csv")
