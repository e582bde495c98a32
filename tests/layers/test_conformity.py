"""Layers pass the test that Keras has for its own: config, building, symbols, dtypes, training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.small import SOURCE_IDS, TARGET_LABELS, inputs, make_model
from keras.src.testing import TestCase

import keras_s2s as s2s
from keras_s2s import layers
from keras_s2s.keras_private import all_layers
from keras_s2s.layers import EncoderOutput, GRUState, LSTMState

BATCH, LENGTH, UNITS, SIZE = 2, 3, 4, 7
VALUES = {"input_shape": (BATCH, LENGTH, UNITS)}
IDS = {"input_shape": (BATCH, LENGTH), "input_dtype": "int32"}
STATE = (BATCH, UNITS)
OUTPUTS = (BATCH, LENGTH, UNITS)

ATTENDED: dict[str, Any] = {
    "input_shape": {
        "queries_shape": (BATCH, 5, UNITS),
        "keys_shape": (BATCH, LENGTH, UNITS),
        "memory_shape": (BATCH, LENGTH, UNITS),
    },
    "input_dtype": dict.fromkeys(("queries_shape", "keys_shape", "memory_shape"), "float32"),
    "expected_output_shape": ((BATCH, 5, UNITS), (BATCH, 5, LENGTH)),
    "run_training_check": False,  # it trains layers of one input
}
DECODED: dict[str, Any] = {
    "input_shape": {
        "target_inputs_shape": (BATCH, 5),
        "context_shape": (BATCH, UNITS),
        "memory_shape": (BATCH, LENGTH, UNITS),
        "memory_mask_shape": (BATCH, LENGTH),
    },
    "input_dtype": {
        "target_inputs_shape": "int32",
        "context_shape": "float32",
        "memory_shape": "float32",
        "memory_mask_shape": "int32",
    },
    "expected_output_shape": (BATCH, 5, SIZE),
    "expected_output_dtype": "float32",
    "run_training_check": False,
}
ENCODED: dict[str, Any] = {
    **IDS,
    "expected_output_shape": EncoderOutput((BATCH, 2 * UNITS), (BATCH, LENGTH, 2 * UNITS), (2, 3)),
    "expected_output_dtype": EncoderOutput("float32", "float32", "bool"),
    "run_training_check": False,  # it trains layers of one output
}

CASES: dict[str, tuple[type[keras.layers.Layer], dict[str, Any], dict[str, Any]]] = {
    "TokenEmbedding": (
        layers.TokenEmbedding,
        {"vocabulary_size": 9, "embedding_dim": UNITS},
        {**IDS, "expected_output_shape": OUTPUTS, "expected_num_trainable_weights": 1},
    ),
    "AttentionPool": (
        layers.AttentionPool,
        {},
        {**VALUES, "expected_output_shape": STATE, "supports_masking": True},
    ),
    "MaskedLSTM": (
        layers.MaskedLSTM,
        {"units": UNITS},
        {
            **VALUES,
            "expected_output_shape": (OUTPUTS, LSTMState(STATE, STATE)),
            "expected_num_trainable_weights": 3,
            "supports_masking": True,
            "run_training_check": False,
        },
    ),
    "MaskedGRU": (
        layers.MaskedGRU,
        {"units": UNITS, "go_backwards": True},
        {
            **VALUES,
            "expected_output_shape": (OUTPUTS, GRUState(STATE)),
            "expected_num_trainable_weights": 3,
            "supports_masking": True,
            "run_training_check": False,
        },
    ),
    "LuongAttention": (layers.LuongAttention, {"units": UNITS}, ATTENDED),
    "LuongAttention, dot": (layers.LuongAttention, {"units": UNITS, "score": "dot"}, ATTENDED),
    "LuongAttention, concat": (
        layers.LuongAttention,
        {"units": UNITS, "score": "concat"},
        ATTENDED,
    ),
    "BahdanauAttention": (layers.BahdanauAttention, {"units": UNITS}, ATTENDED),
    "LSTMEncoder": (
        s2s.LSTMEncoder,
        {"vocabulary_size": 9, "units": UNITS, "bidirectional": True, "dropout": 0.1},
        {**ENCODED, "expected_num_seed_generators": 1},
    ),
    "GRUEncoder": (
        s2s.GRUEncoder,
        {
            "vocabulary_size": 9,
            "units": UNITS,
            "bidirectional": True,
            "context": "attention_pool",
            "layer_normalization": True,
        },
        ENCODED,
    ),
    "LSTMDecoder": (
        s2s.LSTMDecoder,
        {"vocabulary_size": SIZE, "units": UNITS, "attention": "luong", "input_feeding": True},
        DECODED,
    ),
    "GRUDecoder": (
        s2s.GRUDecoder,
        {"vocabulary_size": SIZE, "units": UNITS, "attention": "bahdanau", "context_to": "both"},
        DECODED,
    ),
    "LSTMDecoder, monotonic": (
        s2s.LSTMDecoder,
        {"vocabulary_size": SIZE, "units": UNITS, "attention": "monotonic"},
        DECODED,
    ),
    "GRUDecoder, copy": (
        s2s.GRUDecoder,
        {"vocabulary_size": SIZE, "units": UNITS, "attention": "luong", "copy": True},
        {
            **DECODED,
            "input_shape": {**DECODED["input_shape"], "copy_ids_shape": (BATCH, LENGTH)},
            "input_dtype": {**DECODED["input_dtype"], "copy_ids_shape": "int32"},
        },
    ),
}


# Keras's test shuffles a generator
@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed:UserWarning")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.sampled(8)
def test_a_layer_passes_keras_s_own_test(case):
    kind, arguments, expected = CASES[case]
    TestCase("run_layer_test").run_layer_test(kind, arguments, **expected)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_shapes_and_dtypes_are_known_before_the_layer_runs(case, dtype):
    kind, arguments, expected = CASES[case]
    shapes, dtypes = expected["input_shape"], expected.get("input_dtype", "float32")
    layer = kind(**arguments, dtype=dtype)
    if isinstance(shapes, dict):
        named = {name.removesuffix("_shape"): name for name in shapes}
        inputs = {
            name: tf.ones(shapes[key], _cast(dtypes[key], layer)) for name, key in named.items()
        }
        specs = {name: keras.KerasTensor(it.shape, it.dtype.name) for name, it in inputs.items()}
        found, spec = layer(**inputs), layer.compute_output_spec(**specs)
        shape = layer.compute_output_shape(**shapes)
    else:
        inputs = tf.ones(shapes, _cast(dtypes, layer))
        found = layer(inputs)
        spec = layer.compute_output_spec(keras.KerasTensor(inputs.shape, inputs.dtype.name))
        shape = layer.compute_output_shape(shapes)
    keras.tree.map_structure(_assert_alike, found, spec)
    keras.tree.map_structure_up_to(found, _assert_shape, found, shape)


def _cast(dtype: str, layer: keras.layers.Layer) -> str:
    return layer.compute_dtype if dtype == "float32" else dtype


def _assert_alike(tensor: Any, spec: Any) -> None:
    assert keras.backend.standardize_dtype(tensor.dtype) == spec.dtype
    _assert_shape(tensor, spec.shape)


def _assert_shape(tensor: Any, shape: Any) -> None:
    assert tuple(tensor.shape) == tuple(shape)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_model_within_a_model_knows_its_logits(dtype):
    parts = s2s.LSTMEncoder(9, 3, dtype=dtype), s2s.LSTMDecoder(SIZE, 3, dtype=dtype)
    model = s2s.Seq2Seq(*parts, dtype=dtype)
    given = {name: keras.Input([None], dtype="int32", name=name) for name in inputs()}
    logits = model(given)
    assert (logits.shape, logits.dtype) == ((None, None, SIZE), "float32")
    assert model.compute_output_shape(dict.fromkeys(given, (2, 5))) == (2, 5, SIZE)
    outer = keras.Model(given, keras.layers.Softmax()(logits))
    expected = tf.nn.softmax(model(inputs()))
    np.testing.assert_array_equal(outer(inputs()), expected)


def test_a_summary_knows_every_shape():
    lines: list[str] = []
    make_model("luong").summary(print_fn=lines.append, expand_nested=True)
    assert "?" not in "\n".join(lines)


IDS_WITH_PADDING = tf.constant([[1, 2, 0], [2, 0, 0]])


@pytest.mark.parametrize("given", ["inputs", "argument", "functional"])
def test_a_pool_takes_the_mask_as_keras_gives_it(given):
    keras.utils.set_random_seed(0)
    embedding, pool = keras.layers.Embedding(3, 4, mask_zero=True), layers.AttentionPool()
    values = embedding(IDS_WITH_PADDING)
    mask = embedding.compute_mask(IDS_WITH_PADDING)
    expected = pool(tf.identity(values), mask=mask)
    if given == "inputs":
        found = pool(values)
    elif given == "argument":
        found = pool(values, mask=mask)
    else:
        ids = keras.Input([None], dtype="int32")
        found = keras.Model(ids, pool(embedding(ids)))(IDS_WITH_PADDING)
    np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(found, pool(tf.identity(values)))


def test_without_a_mask_all_positions_are_real():
    values = tf.random.stateless_normal([2, 3, 4], seed=[0, 1])
    everything = tf.ones([2, 3], tf.bool)
    pool = layers.AttentionPool()
    np.testing.assert_array_equal(pool(values), pool(values, mask=everything))
    attention = layers.LuongAttention(4)
    attention.build((2, 3, 4), (2, 3, 4), (2, 3, 4))
    for found, expected in zip(
        attention(values, values, values),
        attention(values, values, values, everything),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (layers.TokenEmbedding(9, 3), "`ids` must be integers. Received: ids of"),
        (s2s.LSTMEncoder(9, 3), "`source_ids` must be integers"),
        (lambda ids: s2s.GRUDecoder(9, 3)(ids, tf.zeros([1, 3])), "`target_inputs` must be"),
    ],
)
def test_ids_that_are_not_integers_are_rejected(call, message):
    with pytest.raises(TypeError, match=message):
        call(tf.constant([[1.0, 2.0]]))


@pytest.mark.parametrize("kind", [layers.MaskedLSTM, layers.MaskedGRU])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_new_weights_of_16_bits_are_orthogonal(kind, dtype):
    layer = kind(4, dtype=dtype)
    layer.build((None, None, 2))
    kernel = tf.cast(layer.recurrent_kernel, tf.float32)
    np.testing.assert_allclose(tf.matmul(kernel, kernel, transpose_b=True), np.eye(4), atol=0.02)


def test_a_model_of_16_bits_trains_and_scores():
    dtype = {"dtype": "bfloat16"}
    model = s2s.Seq2Seq(s2s.LSTMEncoder(9, 3, **dtype), s2s.LSTMDecoder(7, 3, **dtype), **dtype)
    model.compile("sgd", loss=s2s.SequenceLoss(), run_eagerly=True)
    history = model.fit(inputs(), TARGET_LABELS, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    assert np.isfinite(model.log_prob(SOURCE_IDS, TARGET_LABELS)).all()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint32", "int64"])
def test_ids_of_every_integer_dtype_are_read_and_trained(dtype):
    embedding = layers.TokenEmbedding(9, 3)
    with tf.GradientTape() as tape:
        vectors = embedding(tf.cast([[1, 2, 1]], dtype))
        total = tf.reduce_sum(vectors)
    np.testing.assert_array_equal(vectors, embedding(tf.constant([[1, 2, 1]])))
    (gradient,) = tape.gradient(total, embedding.trainable_weights)
    np.testing.assert_array_equal(gradient[:3], [[0] * 3, [2] * 3, [1] * 3])


def test_a_context_by_name_has_the_dtype_of_its_encoder():
    encoder = s2s.LSTMEncoder(9, 3, context="attention_pool", dtype="mixed_bfloat16")
    assert encoder.context.dtype_policy.name == "mixed_bfloat16"
    encoded = encoder(IDS_WITH_PADDING)
    assert encoded.context.dtype == tf.bfloat16


def test_every_layer_passes_keras_s_own_test():
    """Each public layer has a case; each layer of the package is one, or a part of one."""
    public = {getattr(module, name) for module in (s2s, layers) for name in module.__all__}
    public = {it for it in public if isinstance(it, type) and issubclass(it, keras.layers.Layer)}
    others = (keras.Model, s2s.Tokenizer)  # models; what takes strings
    abstract = {layers.Encoder, layers.Decoder}
    cases = [kind(**arguments) for kind, arguments, _ in CASES.values()]
    missing = {it for it in public if not issubclass(it, others)} - abstract - set(map(type, cases))
    assert not missing
    registered = {
        it
        for it in keras.saving.get_custom_objects().values()
        if it.__module__.startswith("keras_s2s.layers.")
        and isinstance(it, type)
        and issubclass(it, keras.layers.Layer)
    }
    parts = {type(layer) for case in cases for layer in all_layers(case)}
    assert layers.LuongAttention in registered
    assert not registered - parts
