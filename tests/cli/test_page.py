"""The commands on the command line page run as printed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from helpers.running import ROOT

from keras_s2s.cli.main import commands

PAGE = (ROOT / "docs" / "how-to" / "command-line.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.slow
def test_the_page_runs_as_printed(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for program in blocks("python"):
        exec(compile(program, "page", "exec"), {})  # noqa: S102
    outputs = {}
    lines = "".join(blocks("bash")).replace("\\\n", " ").splitlines()
    for line in lines:
        name, *arguments = shlex.split(line)
        assert name == "keras-s2s"
        files = {}
        while len(arguments) > 2 and arguments[-2] in ("<", ">"):
            *arguments, sign, path = arguments
            files[sign] = path
        stdin = Path(files["<"]).read_bytes() if "<" in files else b""
        code, outputs[line], errors = run(*arguments, stdin=stdin)
        assert code == 0, (line, errors)
        if ">" in files:
            Path(files[">"]).write_text(outputs[line], "utf-8")
    tested = [line.split("\t") for line in Path("test.tsv").read_text("utf-8").splitlines()]
    dates = Path("targets.txt").read_text("utf-8").splitlines()
    assert dates == [date for _, date in tested[:3]]
    assert json.loads(Path("figures.json").read_text("utf-8"))["wer"]["value"] < 0.1
    drawn = {shlex.split(line)[4] for line in lines if re.match("keras-s2s draw (att|sea)", line)}
    assert drawn == {"Friday, 20 July 1990"}  # of the form that the model was trained on
    _, answer, _ = run("translate", "runs/dates", stdin=b"Friday, 20 July 1990\n")
    assert answer == "1990-07-20\n"
    assert {shlex.split(line)[1] for line in lines} == set(commands.commands)


def test_the_page_lists_every_file_of_a_run():
    from keras_s2s.cli import run_folder

    for name in re.findall(r"^([\w.]+/?) {2,}", run_folder._EXPLANATION, flags=re.MULTILINE):
        assert f"`{name}`" in PAGE, name
