"""A damaged `.keras` file loads, or raises a `ValueError` with its path and the reason."""

from __future__ import annotations

import json
import zipfile

import pytest
from helpers.translators import make_translator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import keras_s2s
from keras_s2s.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")  # of Keras, about what it finds in the file

FEW, MANY = (
    settings(
        max_examples=cases,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    for cases in (15, 2000)
)

ODD_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.integers(-3, 300),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([10**400, [], {}, [[]], {"class_name": "x"}, "keras_s2s>Translator"]),
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The parts of a good file."""
    path = tmp_path_factory.mktemp("good") / "t.keras"
    make_translator().save(path)
    with zipfile.ZipFile(path) as archive:
        return path.read_bytes(), {name: archive.read(name) for name in archive.namelist()}


def places(value):
    """Every place in a configuration, as the containers and keys that lead to it."""
    found, waiting = [], [value]
    while waiting:
        container = waiting.pop()
        keys = container if isinstance(container, dict) else range(len(container))
        for key in keys:
            found.append((container, key))
            if isinstance(container[key], dict | list):
                waiting.append(container[key])
    return found


def damage(data, content: bytes) -> bytes:
    """Remove, change or insert bytes."""
    start = data.draw(st.integers(0, len(content)))
    length = data.draw(st.sampled_from([0, 1, 2, 50, len(content)]))
    new = data.draw(st.sampled_from([b"", b"\0", b"\xff\xfe", b"[" * 5000, b"9" * 5000]))
    return content[:start] + new + content[start + length :]


def damaged_file(data, raw, parts):
    """Damage the file, a part of it, or a value of its configuration."""
    kind = data.draw(st.sampled_from(["file", "part", "missing", "config", "config", "config"]))
    if kind == "file":
        return damage(data, raw)
    parts = dict(parts)
    name = data.draw(st.sampled_from(sorted(parts)))
    if kind == "part":
        parts[name] = damage(data, parts[name])
    elif kind == "missing":
        del parts[name]
    else:
        config = json.loads(parts["config.json"])
        container, key = data.draw(st.sampled_from(places(config)))
        container[key] = data.draw(ODD_VALUES)
        parts["config.json"] = json.dumps(config).encode()
    return parts


def check(data, parts, folder):
    path = folder / "t.keras"
    content = damaged_file(data, *parts)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, part in content.items():
                archive.writestr(name, part)
    refused = ""
    try:
        keras_s2s.load(path)
    except InputError as error:
        refused = str(error)
    assert not refused or refused.startswith(f"Cannot load {str(path)!r}: ")
    assert "\n" not in refused


@FEW
@given(data=st.data())
def test_a_damaged_model_is_rejected_or_loads(parts, tmp_path, data):
    check(data, parts, tmp_path)


@pytest.mark.slow
@MANY
@given(data=st.data())
def test_2000_damaged_models_are_rejected_or_load(parts, tmp_path, data):
    check(data, parts, tmp_path)
