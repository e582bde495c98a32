"""Damage exports in many ways, run each with the command line, and print the results.

    python damaged_exports.py EXPORT CASES SEED

Runs in a separate process because a C++ runtime may crash on corrupt bytes.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from keras_s2s.cli.main import main


def damage(draw: random.Random, path: Path) -> str:
    """Damage a file. Return a description of the damage."""
    content = path.read_bytes()
    start = draw.randrange(len(content) + 1)
    kind = draw.choice(["cut", "empty", "flip", "hole", "noise", "missing", "text"])
    if kind == "missing":
        path.unlink()
        return f"{path.name}: missing"
    changed = {
        "cut": content[:start],
        "empty": b"",
        "flip": content[:start] + bytes(255 - byte for byte in content[start : start + 1])
        + content[start + 1 :],
        "hole": content[:start] + bytes(len(content[start : start + 64])) + content[start + 64 :],
        "noise": content[:start] + draw.randbytes(16) + content[start:],
        "text": b"version https://git-lfs.github.com/spec/v1\n",
    }  # fmt: skip
    path.write_bytes(changed[kind])
    return f"{path.name}: {kind} at {start} of {len(content)}"


def ask(path: Path, text: Path) -> tuple[int, str]:
    """Translate a text. Return the exit code and standard error."""
    errors = io.StringIO()
    before = sys.stdin
    with text.open() as sys.stdin, contextlib.redirect_stderr(errors):
        code = main(["translate", str(path)])
    sys.stdin = before
    return code, errors.getvalue()


def run(export: Path, cases: int, seed: int) -> None:
    """Damage copies of an export, and print a line of JSON for each."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        text = Path(name) / "text"
        text.write_text("abcd\n")
        for number in range(cases):
            copy = Path(name) / f"{number}{export.suffix}"
            if export.is_dir():
                shutil.copytree(export, copy)
                victim = draw.choice(sorted(it for it in copy.rglob("*") if it.is_file()))
            else:
                victim = Path(shutil.copy(export, copy))
            done = damage(draw, victim)
            started = time.process_time()
            print(json.dumps({"damage": done, "begun": True}), file=sys.stderr, flush=True)
            code, errors = ask(copy, text)
            seconds = time.process_time() - started
            print(json.dumps({"damage": done, "code": code, "errors": errors, "s": seconds}))


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
