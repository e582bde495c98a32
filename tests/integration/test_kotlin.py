"""The Kotlin code of the page on Android compiles and prepares ids as the graph expects them.

It is compiled with stand-ins for LiteRT and Android (`helpers/kotlin`), because no registry of
packages for Python has these libraries. `npm install --ignore-scripts kotlin-compiler` has kotlinc.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAIN = """
import org.tensorflow.lite.Interpreter

const val NUM_HYPOTHESES = 2
const val MAX_LENGTH = 4

fun ask(interpreter: Interpreter, sourceIds: IntArray): List<Int> {
  %s
  return targetIds[0][0].toList() + lengths[0][1]
}

fun main() {
  val found = G2p(android.content.Context()).use { it.pronounce("a\U0001f600\u00fc") }
  println(found.codePoints().toArray().joinToString(" "))
  println(ask(Interpreter(), intArrayOf(5, 4, 3)).joinToString(" "))
}
"""


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("kotlinc") is None or shutil.which("java") is None, reason="no kotlinc or java"
)
def test_the_code_for_android_compiles_and_runs(tmp_path):
    page = (ROOT / "docs/how-to/mobile.md").read_text(encoding="utf-8")
    compiled_model, interpreter = re.findall(r"```kotlin\n(.*?)```", page, re.DOTALL)
    (tmp_path / "G2p.kt").write_text(compiled_model, encoding="utf-8")
    (tmp_path / "Main.kt").write_text(MAIN % interpreter, encoding="utf-8")
    stand_ins = sorted((ROOT / "tests/helpers/kotlin").glob("*.kt"))
    files = [*stand_ins, tmp_path / "G2p.kt", tmp_path / "Main.kt"]
    jar = tmp_path / "app.jar"
    done = subprocess.run(
        ["kotlinc", *files, "-include-runtime", "-d", jar],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tokens = ["[PAD]", "[UNK]", "[BOS]", "[EOS]", "a", "\U0001f600"]
    vocabulary = json.dumps(tokens, ensure_ascii=False)
    for side in ("source", "target"):
        (tmp_path / f"{side}_vocabulary.json").write_text(vocabulary, encoding="utf-8")
    asked = subprocess.run(
        ["java", "-cp", jar, "MainKt"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stderr
    source_ids, target, other_ids = asked.stdout.splitlines()
    assert source_ids.split() == ["4", "5", "1", "3"] + 60 * ["0"]  # eos, and padding to 64
    assert "".join(chr(int(point)) for point in target.split()) == "a \U0001f600"
    assert other_ids == "5 4 3 0 0"
