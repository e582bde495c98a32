"""Weights that are prepared for many steps change nothing but the time."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from layers.test_decoder import IDS, OPTIONS, SIZE, SOURCE, C, make

from keras_s2s.layers import GRUDecoder, LSTMDecoder
from keras_s2s.layers import stack as stacks

every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def logits_of_steps(decoder, source):
    state, found = decoder.initial_state(tf.constant(C)), []
    for token_ids in IDS.T:
        logits, state = decoder.step(tf.constant(token_ids), state, source)
        found.append(logits)
    assert all(part.dtype == tf.float32 for part in tf.nest.flatten(state))
    return np.stack(found)


@pytest.mark.parametrize("kind", [LSTMDecoder, GRUDecoder])
@every_option
@pytest.mark.parametrize("most", [SIZE, SIZE - 1], ids=["few tokens", "many tokens"])
@pytest.mark.sampled(11)
def test_prepared_steps_match_steps(kind, options, most, monkeypatch):
    monkeypatch.setattr(stacks, "MOST_PROJECTED_TOKENS", most)
    decoder = make(kind, **options)
    source = decoder.read(*SOURCE)
    prepared = decoder.prepare_steps(source)
    assert (prepared.weights.stack.token_inputs is not None) == (most == SIZE)
    expected = logits_of_steps(decoder, source)
    np.testing.assert_allclose(logits_of_steps(decoder, prepared), expected, atol=1e-5)


@pytest.mark.parametrize("kind", [LSTMDecoder, GRUDecoder])
@every_option
@pytest.mark.sampled(10)
def test_products_in_bfloat16_come_close(kind, options):
    decoder = make(kind, **options)
    source = decoder.read(*SOURCE)
    expected = logits_of_steps(decoder, source)
    found = logits_of_steps(decoder, decoder.prepare_steps(source, "bfloat16"))
    # bfloat16 has 8 bits, and layer normalisation enlarges what differs
    np.testing.assert_allclose(found, expected, atol=0.15)
    assert not np.array_equal(found, expected)
