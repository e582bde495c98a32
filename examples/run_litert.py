"""Run an exported LiteRT file: python examples/run_litert.py runs/g2p/g2p.tflite hello world.

Does not need keras_s2s, only ai-edge-litert, and tensorflow_text for the text operations.
"""

from __future__ import annotations

import argparse
import os

parser = argparse.ArgumentParser(description="Run an exported LiteRT file.")
parser.add_argument("file", help="file written by `s2s.export.litert`: g2p.tflite")
parser.add_argument("texts", nargs="+", metavar="text")
options = parser.parse_args()
if not os.path.isfile(options.file):
    parser.error(f"there is no file {options.file}. Expected a .tflite file")

import numpy as np  # noqa: E402  after parsing the arguments: loading is slow
from ai_edge_litert.interpreter import InterpreterWithCustomOps  # noqa: E402
from tensorflow_text import tflite_registrar  # noqa: E402

interpreter = InterpreterWithCustomOps(
    model_path=options.file, custom_op_registerers=tflite_registrar.SELECT_TFTEXT_OPS
)
translate = interpreter.get_signature_runner("serving_default")
answer = translate(source=np.array([text.encode() for text in options.texts]))
for text, targets, scores in zip(options.texts, answer["target"], answer["scores"], strict=True):
    print(f"  {text:16s} {targets[0].decode():40s} {float(scores[0]):.3f}")
