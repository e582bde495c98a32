"""Runs the searches of one environment, when and as often as the benchmark asks.

    python -m benchmarks.search_server benchmarks.search_torch 1

It reads requests from its standard input, one JSON object a line, and answers each with a line
"@ seconds". So systems that cannot share a process still take turns.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.search_sizes import Sizes


def main() -> None:
    """Serve until the input ends."""
    module = importlib.import_module(sys.argv[1])
    module.use_threads(int(sys.argv[2]))
    prepared: dict[str, Callable[[], Any]] = {}
    at_work: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        work = (*request["sizes"], request["batch"])
        if work != at_work:  # what was asked for before keeps its weights no longer
            prepared, at_work = {}, work
        key = request["system"]
        if key not in prepared:
            make = module.SYSTEMS[request["system"]]
            prepared[key] = make(Sizes(*request["sizes"]), request["batch"])
            prepared[key]()
        began = time.perf_counter()
        prepared[key]()
        sys.stdout.write(f"@ {time.perf_counter() - began}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
