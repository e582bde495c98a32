"""A damaged settings file is read, or reported with its path and line."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_s2s.cli.settings_file import complete, read_config, to_yaml
from keras_s2s.errors import InputError

GOOD = to_yaml({"train": ["train.tsv"], "valid": "valid.tsv"})
FEW, MANY = (
    settings(
        max_examples=cases,
        deadline=5000,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    for cases in (100, 2000)
)
PIECES = st.one_of(
    st.text(max_size=10),
    st.sampled_from([
        "&a ", "*a", "!!int ", "!!binary ", "!!set ", "!x ", "[" * 3000, "{a: " * 3000, "- " * 500,
        "? ", ": ", "\0", "\x1b", "\ufeff", "\u2028", "---\n", "...\n",
        "%YAML 1.2\n", "<<: *a\n", "|\n",
        "2020-13-45", "1:99:99", ".inf", ".nan", "-.inf", "0o777", "0x" + "f" * 300, "9" * 400,
        "9" * 5000, "1e999", "\t", "'", '"', "#" * 1000, "\n" * 100, "units: 3\n",
    ]),
)  # fmt: skip


def check(data, folder):
    text = GOOD
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.sampled_from([0, 1, 3, 30, 1000]))
        text = text[:start] + data.draw(PIECES) + text[start + length :]
    path = folder / "run.yaml"
    content = text.encode("utf-8", "surrogatepass")
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    path.write_bytes(content)
    refused = ""
    try:
        read = read_config(str(path))
    except InputError as error:
        refused = str(error)
    else:
        complete({"train": ["a"], "valid": "b", **read})
    assert not refused or refused.startswith(str(path))
    assert len(refused) < 600 + len(str(path))


@FEW
@given(data=st.data())
def test_a_damaged_settings_file_is_refused_or_read(tmp_path, data):
    check(data, tmp_path)


@pytest.mark.slow
@MANY
@given(data=st.data())
def test_2000_damaged_settings_files_are_refused_or_read(tmp_path, data):
    check(data, tmp_path)
