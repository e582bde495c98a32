"""Answer words in one runtime, for export.py. Each runtime has its own process.

    python benchmarks/export_worker.py KIND PATH [ROOT]

Reads lines of JSON, each a list of texts to answer as one batch. Writes the answers to each batch
with the seconds and the CPU seconds that they took. The first line is the CPU time of the start in
seconds, and the last line the peak memory in MB. Imports only what the runtime needs.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Answer = Callable[[list[str]], list[str]]


def load_model(path: str) -> Answer:
    """Load the model in Python, with `Translator`."""
    answer: Answer = importlib.import_module("keras_s2s").load(path).translate
    return answer


def load_litert(path: str) -> Answer:
    """Load a LiteRT file in `LiteRTRunner`, without the model, with one thread."""
    sys.path.insert(0, os.path.join(sys.argv[3], "export"))
    runner = importlib.import_module("litert_runner").LiteRTRunner(path, num_threads=1)
    answer: Answer = runner.translate
    return answer


def load_onnx(path: str) -> Answer:
    """Load an ONNX file in ONNX Runtime, with one thread."""
    runtime: Any = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return answer_ids(
        lambda ids: session.run(["target_ids"], {"source_ids": ids})[0],
        session.get_modelmeta().custom_metadata_map,
    )


def load_openvino(path: str) -> Answer:
    """Load a SavedModel of ids in OpenVINO, with one thread."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # it forks while we measure
    openvino: Any = importlib.import_module("openvino")
    settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    model = openvino.compile_model(openvino.convert_model(path), "CPU", settings)
    extra = Path(path) / "assets.extra"
    files = {file.name: file.read_text("utf-8") for file in extra.glob("*.json")}
    return answer_ids(lambda ids: model({"source_ids": ids})["target_ids"], files)


def answer_ids(search: Callable[[Any], Any], files: Mapping[str, str]) -> Answer:
    """Tokenize in Python around a runtime that takes ids."""
    numpy: Any = importlib.import_module("numpy")
    sys.path.insert(0, os.path.join(sys.argv[3], "export"))
    tokenizer: Any = importlib.import_module("text_tokenizer").TextTokenizer
    rules = json.loads(files["tokenizers.json"])
    source, target = (
        tokenizer(json.loads(files[f"{side}_vocabulary.json"]), rules[side])
        for side in ("source", "target")
    )

    def answer(texts: list[str]) -> list[str]:
        rows = [source.tokenize(text) for text in texts]
        ids = numpy.zeros((len(rows), max(map(len, rows))), numpy.int32)
        for row, values in enumerate(rows):
            ids[row, : len(values)] = values
        return [target.detokenize(row) for row in search(ids)[:, 0].tolist()]

    return answer


def load_g2p_en(path: str) -> Answer:
    """Load the g2p_en network (greedy, one word at a time), without its dictionary and tagger."""
    nltk: Any = importlib.import_module("nltk")
    nltk.download = lambda *_: False
    module: Any = importlib.import_module("g2p_en.g2p")
    module.cmudict = types.SimpleNamespace(dict=dict)
    network = module.G2p()
    return lambda texts: [" ".join(network.predict(text)).translate(_NO_STRESS) for text in texts]


def load_phonetisaurus(path: str) -> Answer:
    """Use the command of Phonetisaurus, which loads its model for each list of words."""
    environment = importlib.import_module("phonetisaurus").guess_environment()

    def answer(texts: list[str]) -> list[str]:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("\n".join(texts) + "\n")
            file.flush()
            command = ["phonetisaurus-apply", "--model", path, "--word_list", file.name]
            found = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True
            ).stdout
        lines = (line.split() for line in found.splitlines() if line.strip())
        answers = {word: " ".join(phones) for word, *phones in lines}
        return [answers.get(text, "") for text in texts]

    return answer


_NO_STRESS = str.maketrans("", "", "012")
KINDS = {
    "model": load_model,
    "litert": load_litert,
    "onnx": load_onnx,
    "openvino": load_openvino,
    "g2p_en": load_g2p_en,
    "phonetisaurus": load_phonetisaurus,
}


def main() -> None:
    """Answer batches until the input ends."""
    answers = os.dup(1)
    os.dup2(2, 1)  # libraries print to standard output
    with os.fdopen(answers, "w") as out:
        answer = KINDS[sys.argv[1]](sys.argv[2])
        print(json.dumps(cpu_seconds()), file=out, flush=True)
        for line in sys.stdin:
            texts = json.loads(line)
            start, work = time.perf_counter(), cpu_seconds()
            found = answer(texts)
            taken = [time.perf_counter() - start, cpu_seconds() - work]
            print(json.dumps([found, *taken]), file=out, flush=True)
        print(json.dumps(most_memory()), file=out)


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its child processes that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def most_memory() -> float:
    """Return the peak memory of this process, or of a child process, in MB."""
    with open("/proc/self/status") as file:  # getrusage would include the parent's memory
        own = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024 / 1e6


if __name__ == "__main__":
    main()
