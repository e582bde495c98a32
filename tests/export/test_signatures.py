from __future__ import annotations

import tensorflow as tf

from keras_s2s.export.signatures import LITERT_SIGNATURES, SIGNATURES

# Written out a second time, since clients rely on every word of it.
TEXT = {"source": (tf.string, 1)}
TRANSLATION = {
    "target": (tf.string, 2),
    "scores": (tf.float32, 2),
    "log_probs": (tf.float32, 2),
}
PROMISED = {
    "serving_default": (TEXT, TRANSLATION),
    "greedy": (TEXT, TRANSLATION),
    "ids": (
        {"source_ids": (tf.int32, 2)},
        {
            "target_ids": (tf.int32, 3),
            "lengths": (tf.int32, 2),
            "scores": (tf.float32, 2),
            "log_probs": (tf.float32, 2),
        },
    ),
    "score": (
        {"source": (tf.string, 1), "target": (tf.string, 1)},
        {"log_probs": (tf.float32, 1), "scores": (tf.float32, 1)},
    ),
    "options": (
        {
            "source": (tf.string, 1),
            "max_length": (tf.int32, 1),
            "min_length": (tf.int32, 1),
            "length_penalty": (tf.float32, 1),
        },
        TRANSLATION,
    ),
}


def test_served_names_are_the_documented_ones():
    table = {
        name: tuple(
            {spec.name: (spec.dtype, spec.shape.rank) for spec in side} for side in signature
        )
        for name, signature in SIGNATURES.items()
    }
    assert table == PROMISED


def test_a_litert_file_has_all_but_the_options():
    assert set(LITERT_SIGNATURES) == set(PROMISED) - {"options"}
