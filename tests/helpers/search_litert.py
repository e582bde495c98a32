"""Run a table search as a LiteRT file in LiteRT's own runtime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from helpers.table_model import table_step
from keras_s2s.search import Search, SearchResult


def converted(
    search: Search, vocabulary_size: int, folder: str, **row_options: tuple[tf.DType, int]
) -> Callable[..., SearchResult]:
    """Convert a search with builtin ops only, for any batch size and any number of table lines.

    The row options are given by dtype and rank.
    """

    def run(
        logits: tf.Tensor, attention: tf.Tensor | None = None, **options: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        step, state = table_step(logits, attention)
        found = search(
            step,
            state,
            tf.shape(logits)[0],
            vocabulary_size,
            return_attention=attention is not None,
            **options,
        )
        return {name: value for name, value in found._asdict().items() if value is not None}

    module = tf.Module()
    specs = {
        name: tf.TensorSpec([None] * rank, dtype, name=name)
        for name, (dtype, rank) in row_options.items()
    }
    tables = tf.TensorSpec([None, None, vocabulary_size], name="logits")
    module.run = tf.function(run).get_concrete_function(tables, **specs)
    tf.saved_model.save(module, folder, signatures={"run": module.run})
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["run"])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    runner = Interpreter(model_content=converter.convert()).get_signature_runner("run")

    def call(logits: np.ndarray, **options: np.ndarray) -> SearchResult:
        return SearchResult(**runner(logits=logits, **options))

    return call
