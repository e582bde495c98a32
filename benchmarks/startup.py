"""CPU time from the start of a process to its first answer, compared with importing TensorFlow.

    python -m benchmarks.startup g2p.keras WORD --exports serving/g2p g2p.tflite

The processes take turns, round by round, each on one core. The result is the median over the
rounds of the CPU seconds, and of the ratio to `import tensorflow` in the same round.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys

IMPORT = "import tensorflow"
COMMAND = "from keras_s2s.cli.main import run; run()"


def main() -> None:
    """Measure all processes and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="a .keras file")
    parser.add_argument("text", help="a source text to translate")
    parser.add_argument("--exports", nargs="*", default=[], help="exports of the same model")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    programs = {
        IMPORT: ["-c", IMPORT],
        "import keras_s2s": ["-c", "import keras_s2s"],
        "keras-s2s --help": ["-c", COMMAND, "--help"],
    }
    for path in (arguments.model, *arguments.exports):
        programs[f"keras-s2s translate {os.path.basename(path)}"] = [
            *("-c", COMMAND, "translate"),
            path,
        ]
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for round_number in range(arguments.rounds + 1):
        for name, program in programs.items():
            took = time_process(program, arguments.text)
            if round_number:  # the first round fills the cache of the file system
                seconds[name].append(took)
    from benchmarks.machine import describe_machine

    print(describe_machine([1]), "", sep="\n")
    print("| process | CPU s | relative to `import tensorflow` |", "|---|---|---|", sep="\n")
    for name, times in seconds.items():
        ratios = (own / base for own, base in zip(times, seconds[IMPORT], strict=True))
        print(f"| `{name}` | {statistics.median(times):.2f} | {statistics.median(ratios):.2f} |")


def time_process(program: list[str], text: str) -> float:
    """Return the CPU seconds of a Python process that gets a text on standard input."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *program],
        input=f"{text}\n",
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
