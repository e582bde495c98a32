"""A damaged export answers or is reported in one line; the process never crashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from helpers import damaged_exports
from helpers.running import ROOT

from keras_s2s.export.saved_model_session import SavedModelSession

pytestmark = pytest.mark.slow


@pytest.fixture
def exports(litert_file, served_folder):
    return {"litert": litert_file, "saved_model": served_folder}


def ask(export, cases, seed):
    program = [sys.executable, damaged_exports.__file__, export, str(cases), str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr.splitlines()[-1]  # what was damaged last
    found = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    assert len(found) == cases
    assert {it["code"] for it in found} <= {0, 2}, found
    for it in found:
        assert it["errors"].count("\n") == (it["code"] == 2), it
        assert len(it["errors"]) < 1000, it
        assert it["s"] < 30, it


@pytest.mark.parametrize(("kind", "cases"), [("litert", 20), ("saved_model", 5)])
def test_a_damaged_export_is_refused_or_still_works(exports, kind, cases):
    ask(exports[kind], cases, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "cases"), [("litert", 2000), ("saved_model", 500)])
def test_thousands_of_damaged_exports_are_refused_or_still_work(exports, kind, cases):
    ask(exports[kind], cases, seed=2)


def test_an_empty_graph_is_reported_with_its_path(exports, tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ValueError, match=r"or damaged: 0 graphs in saved_model\.pb\. Expected: 1"):
        SavedModelSession(str(tmp_path))


def test_a_signature_that_does_not_exist_is_reported(exports):
    with (
        SavedModelSession(str(exports["saved_model"])) as session,
        pytest.raises(ValueError, match=r"no signature 'classify' .*one of greedy, ids, "),
    ):
        session("classify", {})
