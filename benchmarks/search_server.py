"""Run the searches of one environment on request.

    python -m benchmarks.search_server benchmarks.search_torch 1

Reads requests from standard input, one JSON object per line, and answers each with a line "@
seconds". This lets systems that cannot share a process take turns.
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
    """Answer requests until the input ends."""
    module = importlib.import_module(sys.argv[1])
    module.use_threads(int(sys.argv[2]))
    prepared: dict[str, Callable[[], Any]] = {}
    at_work: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        work = (*request["sizes"], request["batch"])
        if work != at_work:  # free the weights of the previous workload
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
