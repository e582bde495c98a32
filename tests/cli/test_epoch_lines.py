"""Output of training: metrics, why it ended, and the best epoch."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from keras_s2s.callbacks.epoch_metrics import KeepBest, StopEarly
from keras_s2s.callbacks.pace import Pace
from keras_s2s.cli.epoch_lines import (
    EpochLines,
    describe_ending,
    describe_figures,
    describe_limit,
    describe_metrics,
)
from keras_s2s.cli.report import Figure, Report

LOGS = {"loss": 1.5, "val_loss": 1.25, "val_wer": 0.61, "val_ter": 0.125, "val_bleu": 31.5}


@pytest.mark.parametrize(("tokens", "name"), [("words", "TER"), ("phones", "PER")])
def test_error_rates_are_named_and_in_percent(tokens, name):
    expected = f"loss 1.5000, validation loss 1.2500, WER 61.00%, {name} 12.50%, BLEU 31.50"
    assert describe_figures(LOGS, tokens) == expected
    figures = {"wer": Figure(0.61, 0.6, 0.62), "ter": Figure(0.125, 0.1, 0.2)}
    lines = Report(9, figures, {}, [], tokens).to_text().splitlines()
    assert lines[1] == "WER    61.00%  [60.00, 62.00]  share of outputs with at least one error"
    errors = f"wrong, missing and extra {tokens} per reference {tokens[:-1]}"
    assert lines[2] == f"{name}    12.50%  [10.00, 20.00]  {errors}"
    assert errors in describe_metrics(tokens)


def test_a_limit_of_the_sources_of_an_epoch_is_named():
    assert "on the first 1,000 of 1,001 validation sources" in describe_limit(1000, 1001)
    assert [describe_limit(1000, 1000), describe_limit(0, 1001)] == [None, None]


def test_each_epoch_prints_one_line(capsys):
    keep = KeepBest(None, "best.keras", "wer")
    keep.best_epoch = 2
    lines = EpochLines(keep, "phones")
    lines.set_params({"epochs": 20, "steps": 7})
    for epoch in (2, 3):
        lines.on_epoch_begin(epoch)
        lines.on_train_batch_end(0, {"loss": 1.0})
        lines.on_epoch_end(epoch, LOGS)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("Epoch 3 of 20: loss 1.5000, validation loss 1.2500, WER 61.00%, PER ")
    assert first.endswith("s, best so far")
    assert second.startswith("Epoch 4 of 20: ")
    assert second.endswith("0 s")


@pytest.mark.parametrize(
    ("wait", "seconds", "reason"),
    [
        (3, 0, ", because no metric improved for 3 epochs (--patience)"),
        (2, 60, ", because the time limit of 1 minute was reached (--minutes)"),
        (2, 0, ""),
    ],
)
def test_the_reason_for_the_end_and_the_best_epoch_are_printed(wait, seconds, reason):
    keep, early = KeepBest(None, "best.keras", "wer"), StopEarly(3, 0, "wer")
    pace = Pace(0.1, "constant", 0, epochs=9, minutes=1.0)
    keep.best_epoch, early.wait, pace.seconds = 1, wait, seconds
    rows = [{"epoch": epoch, **LOGS, "val_wer": 0.7 - epoch / 10} for epoch in range(3)]
    callbacks = SimpleNamespace(
        curve=SimpleNamespace(rows=rows),
        pace=pace,
        keep=keep,
        early=early,
        lines=EpochLines(keep, "words"),
    )
    settings = SimpleNamespace(epochs=9, minutes=1.0)
    ended, kept = describe_ending(settings, callbacks).splitlines()
    assert ended == f"Training ended after epoch 3 of 9{reason}"
    assert kept.startswith(
        "Best epoch: 2 (loss 1.5000, validation loss 1.2500, WER 60.00%, TER 12.50"
    )
    callbacks.early = None
    assert "Training ended after epoch 3 of 9" in describe_ending(settings, callbacks)
