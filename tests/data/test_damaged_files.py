"""A damaged file of pairs is refused with its path and the position, or its pairs are unchanged.

Plain text has no checksum, so other pairs may be read from it, but no other error is raised.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_s2s.data import write_records
from keras_s2s.data.pair_files import iterate_file

PAIRS = [(f"süß {number}", f"s y: s {number}") for number in range(12)]
FEW, MANY = (
    settings(
        max_examples=cases,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    for cases in (25, 500)  # of each kind
)
every_kind = pytest.mark.parametrize("kind", ["lines", "lines.gz", "tfrecord", "tfrecord.gz"])
PLACE = re.compile(r"[,:] .*?(line \d+|record \d+)|: the file is empty\.|but the content is not gz")


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    """The bytes of a good file of each kind."""
    (path,) = write_records(PAIRS, tmp_path_factory.mktemp("good") / "train", shards=1)
    plain = {
        "lines": "".join("\t".join(pair) + "\n" for pair in PAIRS).encode(),
        "tfrecord": Path(path).read_bytes(),
    }
    return plain | {f"{kind}.gz": gzip.compress(it, mtime=0) for kind, it in plain.items()}


@st.composite
def damages(draw):
    """Functions that damage bytes: truncate, pad, change, insert or remove some."""
    kind = draw(st.sampled_from(["cut", "pad", "change", "insert", "leave out", "repeat", "noise"]))
    at, length = draw(st.floats(0, 1, exclude_max=True)), draw(st.integers(1, 40))
    noise = draw(st.binary(min_size=1, max_size=40))

    def damage(content):
        start = int(at * len(content))
        end = start + length
        return {
            "cut": content[:start],
            "pad": content + noise,
            "change": content[:start] + noise + content[start + len(noise) :],
            "insert": content[:start] + noise + content[start:],
            "leave out": content[:start] + content[end:],
            "repeat": content[:end] + content[start:],
            "noise": noise,
        }[kind]

    return damage


def check(kind, contents, damage, folder):
    path = folder / f"pairs.{kind}"
    damaged = damage(contents[kind])
    path.write_bytes(damaged)
    message = None
    try:
        found = list(iterate_file(str(path)))
    except ValueError as error:
        message = str(error)
    if message is None:
        assert found == PAIRS or kind == "lines"
    else:
        assert message.startswith(str(path))
        assert PLACE.search(message.removeprefix(str(path))), message


@every_kind
@FEW
@given(damage=damages())
@pytest.mark.sampled(2)
def test_a_damaged_file_is_refused_with_path_and_position(kind, damage, contents, tmp_path):
    check(kind, contents, damage, tmp_path)


@pytest.mark.slow
@every_kind
@MANY
@given(damage=damages())
def test_2000_damaged_files_are_refused(kind, damage, contents, tmp_path):
    check(kind, contents, damage, tmp_path)
