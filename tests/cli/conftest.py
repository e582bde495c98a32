"""Fixtures: a small model in a file, and a function that runs commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.running import Runner
from helpers.translators import make_translator

import keras_s2s as s2s


@pytest.fixture
def run(monkeypatch, capsysbinary, tmp_path):
    return Runner(monkeypatch, capsysbinary, tmp_path)


@pytest.fixture(scope="session")
def translator():
    return make_translator()


@pytest.fixture(scope="session")
def model(translator, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    translator.save(path)
    return path


@pytest.fixture(scope="session")
def litert_file(translator, tmp_path_factory):
    return Path(s2s.export.litert(translator, tmp_path_factory.mktemp("litert") / "tiny.tflite"))


@pytest.fixture(scope="session")
def served_folder(translator, tmp_path_factory):
    return Path(s2s.export.saved_model(translator, tmp_path_factory.mktemp("serving")))
