"""Ask an exported LiteRT file: python examples/run_litert.py runs/g2p/g2p.tflite hello world.

Nothing of keras_s2s is needed: ai-edge-litert, and tensorflow_text for the operations on text.
"""

from __future__ import annotations

import sys

import numpy as np
from ai_edge_litert.interpreter import InterpreterWithCustomOps
from tensorflow_text import tflite_registrar

file, *texts = sys.argv[1:]
interpreter = InterpreterWithCustomOps(
    model_path=file, custom_op_registerers=tflite_registrar.SELECT_TFTEXT_OPS
)
translate = interpreter.get_signature_runner("serving_default")
answer = translate(source=np.array([text.encode() for text in texts]))
for text, targets, scores in zip(texts, answer["target"], answer["scores"], strict=True):
    print(f"  {text:16s} {targets[0].decode():40s} {float(scores[0]):.3f}")
