"""Epochs are ranked by the watched metric, TER and the loss."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from keras_s2s.callbacks.epoch_metrics import KeepBest, StopEarly


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
    ("watch", "better"), [("wer", (0.5, 0.9, 2.0)), ("bleu", (90.0, 0.9, 2.0))]
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
