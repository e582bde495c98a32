"""Epochs are ranked by the watched metric, TER and the loss."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from keras_s2s.callbacks.epoch_metrics import KeepBest, LearningCurve, StopEarly
from keras_s2s.callbacks.pace import Pace
from keras_s2s.callbacks.training_state import read_callbacks, restore_callbacks


def test_of_equal_figures_the_lower_loss_is_the_better():
    saved = []
    keep = KeepBest(SimpleNamespace(save=saved.append), "best.keras", "bleu")
    for epoch, (bleu, loss) in enumerate([(10, 2.0), (10, 2.5), (10, 1.5), (9, 1.0), (11, 3.0)]):
        keep.on_epoch_end(epoch, {"val_bleu": bleu, "val_loss": loss})
    assert len(saved) == 3
    assert keep.best_epoch == 4


def test_ties_of_the_watched_figure_are_broken_by_ter_and_then_by_the_loss():
    saved = []
    keep = KeepBest(SimpleNamespace(save=saved.append), "best.keras", "wer")
    for epoch, (ter, loss) in enumerate([(0.9, 2.0), (0.5, 3.0), (0.5, 2.5), (0.6, 1.0)]):
        keep.on_epoch_end(epoch, {"val_wer": 1.0, "val_ter": ter, "val_loss": loss})
    assert (len(saved), keep.best_epoch) == (3, 2)


def stopping_epoch(rows, *, patience=2, warmup_steps=0, watch="wer"):
    """Return the epoch after which training stops, or None."""
    steps = SimpleNamespace(numpy=lambda: 0)
    model = SimpleNamespace(stop_training=False, optimizer=SimpleNamespace(iterations=steps))
    stop = StopEarly(patience, warmup_steps, watch)
    stop.set_model(model)
    for epoch, (figure, ter, loss) in enumerate(rows):
        steps.numpy = lambda epoch=epoch: 10 * (epoch + 1)
        stop.on_epoch_end(epoch, {f"val_{watch}": figure, "val_ter": ter, "val_loss": loss})
        if model.stop_training:
            return epoch
    return None


def test_training_stops_when_nothing_has_improved_for_its_patience():
    assert stopping_epoch([(1.0, 0.9, 2.0)] * 5) == 2


@pytest.mark.parametrize(
    ("watch", "better"),
    [("wer", (0.5, 0.9, 2.0)), ("bleu", (90.0, 0.9, 2.0)), ("chrf", (90.0, 0.9, 2.0))],
)
def test_a_better_watched_figure_keeps_training_alive(watch, better):
    rows = [(1.0, 0.9, 2.0), (1.0, 0.9, 2.0), better, better, better]
    assert stopping_epoch(rows, watch=watch) == 4


@pytest.mark.parametrize("place", [1, 2])
def test_training_continues_while_ter_or_the_loss_still_falls(place):
    rows = [[1.0, 0.9, 0.9] for _ in range(6)]
    for epoch, row in enumerate(rows):
        row[place] -= 0.1 * epoch
    assert stopping_epoch(rows) is None


def test_warm_up_never_counts_towards_patience():
    assert stopping_epoch([(1.0, 0.9, 2.0)] * 9, warmup_steps=50) == 6


def figures(wer):
    return {"val_wer": wer, "val_ter": wer, "val_loss": wer}


def test_a_resumed_run_remembers_its_best_epoch_its_patience_and_its_curve(tmp_path):
    optimizer = SimpleNamespace(
        iterations=SimpleNamespace(numpy=lambda: 9), learning_rate=SimpleNamespace(numpy=lambda: 1)
    )
    model = SimpleNamespace(stop_training=False, optimizer=optimizer)

    def make(saved):
        keep = KeepBest(SimpleNamespace(save=saved.append), "best.keras", "wer")
        made = [keep, StopEarly(2, 0, "wer"), LearningCurve(str(tmp_path / "curve.csv"))]
        for callback in made:
            callback.set_model(model)
        return made

    before = make([])
    for epoch, wer in enumerate([0.1, 0.5]):
        for callback in before:
            callback.on_epoch_end(epoch, figures(wer))
    assert not model.stop_training

    saved = []
    after = make(saved)  # as in a new process
    restore_callbacks(after, json.loads(json.dumps(read_callbacks(before))))
    for callback in after:
        callback.on_epoch_end(2, figures(0.3))  # worse than the first epoch
    keep, _, curve = after
    assert (saved, keep.best_epoch) == ([], 0)
    assert model.stop_training
    assert [row["epoch"] for row in curve.rows] == [0, 1, 2]


def test_a_resumed_run_counts_the_time_before_the_interruption():
    before, after = (Pace(1.0, "linear", 0, epochs=9, minutes=1.0) for _ in range(2))
    before.seconds = 45.0
    restore_callbacks([after], read_callbacks([before]))
    assert after.factor(0) == pytest.approx(0.25, abs=0.01)
