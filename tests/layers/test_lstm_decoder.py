"""The decoder is its formula, and a whole target is its steps."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.decoder_formula import DecoderFormula

from keras_s2s.layers import DecoderState, LSTMDecoder

SIZE, UNITS, DIM, CONTEXT, MEMORY = 7, 3, 2, 4, 5
IDS = np.array([[2, 5, 6, 4], [2, 4, 0, 0]], np.int32)
MASK = np.array([[1, 1, 1], [1, 1, 0]], bool)
random = np.random.default_rng(0)
C = random.normal(size=(2, CONTEXT)).astype(np.float32)
STATES = random.normal(size=(2, 3, MEMORY)).astype(np.float32)
SOURCE = (C, STATES, MASK)

KINDS = list(
    itertools.product([None, "luong", "bahdanau"], ["initial_state", "every_step", "both"])
)
every_kind = pytest.mark.parametrize(("attention", "context_to"), KINDS)
every_attention = pytest.mark.parametrize("attention", [None, "luong", "bahdanau"])


def make(**kwargs) -> LSTMDecoder:
    decoder = LSTMDecoder(SIZE, UNITS, embedding_dim=DIM, **kwargs)
    decoder.build((None, None), (None, CONTEXT), (None, None, MEMORY), (None, None))
    random = np.random.default_rng(1)
    decoder.set_weights([random.normal(size=weight.shape) for weight in decoder.get_weights()])
    return decoder


def whole_target(decoder, ids, source, *, packed, training=None):
    """The logits of `ids` `(rows, length)` all at once."""
    logits = decoder(ids, *source, packed=packed, training=training)
    return logits.unpack() if packed else logits


def steps(decoder, ids, source, state=None):
    """The logits of `ids` `(rows, length)` one step at a time."""
    memory = decoder.read(*source)
    state = decoder.initial_state(tf.constant(source[0])) if state is None else state
    logits = []
    for token_ids in ids.T:
        step_logits, state = decoder.step(tf.constant(token_ids), state, memory)
        logits.append(step_logits)
    return tf.stack(logits, axis=1)


@every_kind
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.sampled(10)
def test_logits_of_a_whole_target_match_the_formula(attention, context_to, packed, num_layers):
    decoder = make(attention=attention, context_to=context_to, num_layers=num_layers)
    logits = whole_target(decoder, IDS, SOURCE, packed=packed)
    assert logits.dtype == tf.float32
    formula = DecoderFormula(decoder)
    for row in range(2):
        real = IDS[row] != 0
        expected = formula.logits(IDS[row][real], C[row], STATES[row][MASK[row]])
        np.testing.assert_allclose(logits[row][real], expected, atol=1e-5)


@every_kind
def test_a_whole_target_matches_its_steps(attention, context_to):
    decoder = make(attention=attention, context_to=context_to, num_layers=2)
    whole, by_steps = decoder(IDS, *SOURCE), steps(decoder, IDS, SOURCE)
    np.testing.assert_allclose(whole[0], by_steps[0], atol=1e-6)
    np.testing.assert_allclose(whole[1, :2], by_steps[1, :2], atol=1e-6)


@pytest.mark.parametrize("attention", ["luong", "bahdanau"])
def test_the_attention_of_a_step_matches_the_formula(attention):
    decoder = make(attention=attention)
    memory, state = decoder.read(*SOURCE), decoder.initial_state(tf.constant(C))
    formulas = [DecoderFormula(decoder), DecoderFormula(decoder)]
    for row, formula in enumerate(formulas):
        formula.logits(IDS[0], C[row], STATES[row][MASK[row]])
    for position, token in enumerate(IDS[0]):
        ids = tf.constant([token, token])
        logits, state, weights = decoder.step(ids, state, memory, return_attention=True)
        assert logits.shape == (2, SIZE)
        for row, formula in enumerate(formulas):
            expected = np.zeros(3)
            expected[MASK[row]] = formula.attended[position]
            np.testing.assert_allclose(weights[row], expected, atol=1e-6)


def test_a_decoder_without_attention_returns_none():
    decoder = make()
    state = decoder.initial_state(tf.constant(C))
    with pytest.raises(ValueError, match=r"must be False for a decoder without attention\. Recei"):
        decoder.step(tf.constant([2, 2]), state, decoder.read(*SOURCE), return_attention=True)


@every_kind
def test_the_hypotheses_of_a_source_are_as_rows_of_their_own(attention, context_to):
    decoder = make(attention=attention, context_to=context_to, num_layers=2)
    hypotheses = np.array([[2, 5], [2, 6], [2, 4], [2, 6], [2, 5], [2, 3]], np.int32)
    state = tf.nest.map_structure(
        lambda part: tf.repeat(part, 3, axis=0), decoder.initial_state(tf.constant(C))
    )
    assert isinstance(state, DecoderState)
    together = steps(decoder, hypotheses, SOURCE, state)
    apart = steps(decoder, hypotheses, [np.repeat(part, 3, axis=0) for part in SOURCE])
    np.testing.assert_allclose(together, apart, atol=1e-6)


@every_attention
@pytest.mark.parametrize("packed", [False, True])
def test_padding_in_a_target_keeps_the_state(attention, packed):
    decoder = make(attention=attention)
    padded = np.array([[2, 0, 5, 6, 0, 4], [2, 0, 4, 0, 0, 0]], np.int32)
    whole = whole_target(decoder, IDS, SOURCE, packed=packed)
    with_padding = whole_target(decoder, padded, SOURCE, packed=packed)
    np.testing.assert_allclose(with_padding[padded != 0], whole[IDS != 0], atol=1e-6)


@every_attention
def test_masked_memory_has_no_influence(attention):
    decoder = make(attention=attention)
    other = STATES.copy()
    other[~MASK] = 1e4
    np.testing.assert_array_equal(decoder(IDS, C, other, MASK), decoder(IDS, *SOURCE))


def test_memory_without_a_mask_has_that_which_keras_attached_to_it():
    decoder = make(attention="luong")
    embedding = keras.layers.Embedding(5, MEMORY, mask_zero=True)
    memory = embedding(tf.constant([[1, 2, 0], [3, 0, 0]]))
    expected = decoder(IDS, C, tf.identity(memory), embedding.compute_mask([[1, 2, 0], [3, 0, 0]]))
    np.testing.assert_array_equal(decoder(IDS, C, memory), expected)
    unmasked = decoder(IDS, C, tf.identity(memory), tf.ones([2, 3], tf.bool))
    assert np.any(unmasked != expected)


@every_attention
@pytest.mark.parametrize("packed", [False, True])
def test_a_batch_of_no_rows_gives_no_rows(attention, packed):
    decoder = make(attention=attention, context_to="both")
    none = tf.zeros([0, 2], tf.int32)
    source = [part[:0] for part in SOURCE]
    assert whole_target(decoder, none, source, packed=packed).shape == (0, 2, SIZE)
    assert steps(decoder, none.numpy(), source).shape == (0, 2, SIZE)


@every_attention
@pytest.mark.parametrize("packed", [False, True])
def test_dropout_works_in_training_only(attention, packed):
    decoder = make(attention=attention, dropout=0.5)
    plain = whole_target(decoder, IDS, SOURCE, packed=packed, training=False)
    without = whole_target(make(attention=attention), IDS, SOURCE, packed=packed)
    dropped = whole_target(decoder, IDS, SOURCE, packed=packed, training=True)
    np.testing.assert_array_equal(plain, without)
    assert np.all(np.any(dropped.numpy() != plain.numpy(), axis=2)[IDS != 0])


def test_logits_are_computed_in_float32_in_mixed_precision():
    decoder = make(dtype="mixed_bfloat16")
    decoder.logits.set_weights([np.zeros([UNITS, SIZE]), np.full(SIZE, 1 + 2**-12)])
    logits = decoder(IDS, C)
    assert logits.dtype == tf.float32
    # bfloat16 would make 1 of it
    np.testing.assert_array_equal(logits, np.full([2, 4, SIZE], 1 + 2**-12, np.float32))


def test_in_training_the_product_of_the_logits_has_operands_of_16_bits():
    decoder = make(dtype="mixed_bfloat16")
    exact = decoder(IDS, C)
    trained = decoder(IDS, C, training=True)
    assert trained.dtype == tf.float32
    assert np.any(trained != exact)
    np.testing.assert_allclose(trained, exact, atol=0.02)


@pytest.mark.parametrize("attention", ["luong", "bahdanau"])
@pytest.mark.parametrize("source", [(C,), (C, STATES), (C, None, MASK)], ids=range(3))
def test_attention_without_a_memory_is_rejected(attention, source):
    message = f"attention='{attention}' needs `memory` and `memory_mask`"
    with pytest.raises(ValueError, match=message):
        make(attention=attention)(IDS, *source)
    if len(source) != 2:
        with pytest.raises(ValueError, match=f"{message}. Received: memory=None"):
            LSTMDecoder(SIZE, UNITS, attention=attention)(IDS, *source)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocabulary_size": 0}, "`vocabulary_size` must be a positive integer. Received: vocab"),
        ({"units": 0}, "`units` must be a positive integer. Received: units=0"),
        ({"embedding_dim": 0}, "`embedding_dim` must be a positive integer. Received: embedding"),
        ({"num_layers": 0}, "`num_layers` must be a positive integer. Received: num_layers=0"),
        ({"dropout": -0.1}, "`dropout` must be a number between 0 and 1. Received: dropout=-0.1"),
        ({"context_to": "start"}, "`context_to` must be one of 'initial_state', 'every_step',"),
        ({"input_feeding": "no"}, "`input_feeding` must be True or False. Received: input_fee"),
        ({"residual": 2}, "`residual` must be True or False. Received: residual=2"),
        ({"attention": "dot"}, "`attention` must be one of None, 'luong', 'luong_dot', 'lu"),
    ],
)
def test_bad_arguments_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        LSTMDecoder(**{"vocabulary_size": SIZE, "units": UNITS, **arguments})


def test_a_dot_product_needs_a_memory_of_the_same_size():
    decoder = LSTMDecoder(SIZE, UNITS, attention="luong_dot")
    message = rf"needs a decoder of {2 * UNITS} units, .* Received: units={UNITS}"
    with pytest.raises(ValueError, match=message):
        decoder.build((None, None), (None, 2 * UNITS), (None, None, 2 * UNITS))
