"""Run an exported SavedModel: python examples/run_saved_model.py runs/g2p/serving/1 hello world.

Does not need keras_s2s, only tensorflow, and tensorflow_text for the text operations.
"""

from __future__ import annotations

import argparse
import os

parser = argparse.ArgumentParser(description="Run an exported SavedModel.")
parser.add_argument("folder", help="numbered folder of a version: serving/g2p/1")
parser.add_argument("texts", nargs="+", metavar="text")
options = parser.parse_args()
if not os.path.isfile(os.path.join(options.folder, "saved_model.pb")):
    parser.error(
        f"there is no saved_model.pb in {options.folder}. Expected the folder of a version, "
        f"such as {os.path.join(options.folder, '1')}"
    )

import tensorflow as tf  # noqa: E402  after parsing the arguments: it takes seconds
import tensorflow_text  # noqa: E402, F401  registers the text operations

served = tf.saved_model.load(options.folder)
answer = served.signatures["serving_default"](source=tf.constant(options.texts))
for text, targets, scores in zip(options.texts, answer["target"], answer["scores"], strict=True):
    print(f"  {text:16s} {targets[0].numpy().decode():40s} {float(scores[0]):.3f}")
