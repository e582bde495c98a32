"""Settings of the command line that follow from the training pairs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from keras_s2s import LSTMDecoder, LSTMEncoder, Seq2Seq
from keras_s2s.cli.fitted_settings import fit_to_pairs
from keras_s2s.cli.settings import complete
from keras_s2s.pair_statistics import PairStatistics


def fitted(*, number=800, vocabulary=40, initial=None, **given):
    settings = complete({"train": ["a"], "valid": "b", **given})
    data = SimpleNamespace(
        statistics=PairStatistics(number, 12.0, 0.04),
        target=SimpleNamespace(vocabulary_size=vocabulary),
    )
    fit_to_pairs(settings, data, initial)
    return settings


def line_of(name, output):
    return next(line for line in output.splitlines() if line.split()[0] == name)


@pytest.mark.parametrize(
    ("given", "attention", "reason"),
    [
        (
            {},
            "monotonic",
            "few pairs; targets follow the order of their sources (order kept 96% of the time)",
        ),
        ({"number": 100_000}, "luong", "at least 2,000 pairs"),
        ({"input_feeding": True}, "luong", "for input feeding"),
        ({"vocabulary": 8000}, "luong", "8,000 target tokens: monotonic attention is for"),
    ],
)
def test_the_attention_follows_the_pairs_and_the_other_settings(given, attention, reason, capsys):
    assert fitted(**given).attention == attention
    line = line_of("attention", capsys.readouterr().out)
    assert line.split()[1] == attention
    assert reason in line


@pytest.mark.parametrize("attention", ["none", "luong", "monotonic"])
def test_a_given_attention_stays(attention, capsys):
    assert fitted(attention=attention).attention == attention
    assert "attention " not in capsys.readouterr().out


@pytest.mark.parametrize("attention", [None, "bahdanau"])
def test_sizes_and_attention_are_those_of_the_initial_model(attention, capsys):
    model = Seq2Seq(LSTMEncoder(9, 3), LSTMDecoder(7, 3, num_layers=2, attention=attention))
    settings = fitted(initial=SimpleNamespace(model=model), init_from="first.keras")
    assert settings.attention == (attention or "none")
    assert (settings.units, settings.decoder_layers) == (3, 2)
    assert "that of first.keras" in line_of("attention", capsys.readouterr().out)
