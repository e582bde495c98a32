"""The program in the README runs as printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_s_program_runs_as_printed(tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    assert len([line for line in program.splitlines() if line]) == 20
    expected = re.search(r"# (\['.*'\])", program).group(1)
    (tmp_path / "dates.py").write_text(program, "utf-8")
    done = subprocess.run(
        [sys.executable, "dates.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert expected in done.stdout
    made = {path.name for path in tmp_path.iterdir()}
    assert {"dates.keras", "dates.tflite", "serving"} <= made
    assert (tmp_path / "serving" / "dates" / "1" / "saved_model.pb").is_file()
