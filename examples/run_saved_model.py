"""Ask an exported SavedModel: python examples/run_saved_model.py runs/g2p/serving/1 hello world.

Nothing of keras_s2s is needed: tensorflow, and tensorflow_text for the operations on text.
"""

from __future__ import annotations

import sys

import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the operations on text

folder, *texts = sys.argv[1:]
served = tf.saved_model.load(folder)
answer = served.signatures["serving_default"](source=tf.constant(texts))
for text, targets, scores in zip(texts, answer["target"], answer["scores"], strict=True):
    print(f"  {text:16s} {targets[0].numpy().decode():40s} {float(scores[0]):.3f}")
