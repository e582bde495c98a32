"""The configuration in a `.keras` file."""

from __future__ import annotations

import zipfile

import pytest

from keras_s2s import saved_config
from keras_s2s.errors import InputError
from keras_s2s.saved_config import CONFIG, read_config


@pytest.fixture
def archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.keras", "w") as archive:
        archive.writestr(CONFIG, '{"config": 3}')
    with zipfile.ZipFile(tmp_path / "t.keras") as archive:
        yield archive


def test_a_configuration_is_read(archive):
    assert read_config(archive) == {"config": 3}


def test_a_configuration_that_is_too_large_is_refused(archive, monkeypatch):
    monkeypatch.setattr(saved_config, "_MAX_BYTES", 12)
    with pytest.raises(InputError, match=r"'config\.json' has 13 bytes"):
        read_config(archive)
