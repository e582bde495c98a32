"""Rows are independent, and training, scoring and search agree."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.small import (
    KINDS,
    SOURCE_IDS,
    SOURCE_SIZE,
    TARGET_INPUTS,
    TARGET_LABELS,
    TARGET_SIZE,
    inputs,
    make_model,
)

from keras_s2s.layers import LSTMDecoder, LSTMEncoder
from keras_s2s.losses import SequenceLoss
from keras_s2s.models import Seq2Seq
from keras_s2s.search import BeamSearch, GreedySearch

SEARCH = BeamSearch(beam_width=4, num_hypotheses=4, max_length=5, stopping="length")


@pytest.fixture(scope="module", params=KINDS)
def model(request) -> Seq2Seq:
    return make_model(request.param)


def loss_and_gradients(model, batch, labels, sample_weight=None, **kwargs):
    variables = [variable.value for variable in model.trainable_variables]
    with tf.GradientTape() as tape:
        loss = SequenceLoss()(labels, model(batch, **kwargs), sample_weight=sample_weight)
    return loss, tape.gradient(loss, variables)


def assert_close(ours, theirs, **kwargs):
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, **kwargs)


def test_training_on_real_tokens_only_has_the_gradients_of_the_padded_batch(model):
    packed, packed_gradients = loss_and_gradients(model, inputs(), TARGET_LABELS, training=True)
    padded, padded_gradients = loss_and_gradients(model, inputs(), TARGET_LABELS, training=False)
    np.testing.assert_allclose(packed, padded, atol=1e-6)
    assert all(np.any(gradient) for gradient in packed_gradients)
    assert_close(packed_gradients, padded_gradients, atol=1e-5)


@pytest.mark.sampled(2)
def test_what_follows_eos_is_discarded(model):
    source_ids, target_ids = SOURCE_IDS.copy(), TARGET_LABELS.copy()
    source_ids[1, 2:], target_ids[1, 2:], target_ids[2, 1:] = [5, 3], [4, 1], [5, 3, 6]
    np.testing.assert_allclose(
        model.log_prob(source_ids, target_ids), model.log_prob(SOURCE_IDS, TARGET_LABELS), atol=1e-6
    )
    found, expected = (model.search(ids, SEARCH) for ids in (source_ids, SOURCE_IDS))
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.sampled(4)
def test_padding_and_batch_mates_do_not_change_a_rows_loss_and_gradients(model, training):
    alone = inputs(SOURCE_IDS[1:2, :2], TARGET_INPUTS[1:2, :2])
    wide = inputs(np.pad(SOURCE_IDS, [(0, 0), (0, 3)]), np.pad(TARGET_INPUTS, [(0, 0), (0, 2)]))
    labels = np.pad(TARGET_LABELS, [(0, 0), (0, 2)])
    logits, wide_logits = (model(batch, training=training) for batch in (alone, wide))
    np.testing.assert_allclose(wide_logits[1, :2], logits[0], atol=1e-6)
    loss, gradients = loss_and_gradients(model, alone, TARGET_LABELS[1:2, :2], training=training)
    wide_loss, wide_gradients = loss_and_gradients(
        model, wide, labels, sample_weight=np.array([0.0, 1.0, 0.0]), training=training
    )
    np.testing.assert_allclose(wide_loss, loss, atol=1e-6)
    assert_close(wide_gradients, gradients, atol=1e-6)


def test_what_the_padding_is_embedded_as_has_no_influence(model):
    found = model(inputs())[TARGET_INPUTS != 0], model.log_prob(SOURCE_IDS, TARGET_LABELS)
    tables = [part.embedding.embeddings for part in (model.encoder, model.decoder)]
    before = [table.numpy() for table in tables]
    for table in tables:
        table.assign(tf.tensor_scatter_nd_update(table, [[0]], [[1e3, -1e3]]))
    try:
        again = model(inputs())[TARGET_INPUTS != 0], model.log_prob(SOURCE_IDS, TARGET_LABELS)
    finally:
        for table, value in zip(tables, before, strict=True):
            table.assign(value)
    assert_close(again, found, atol=0)


def test_padding_and_batch_mates_do_not_change_a_rows_search_and_log_prob(model):
    together = model.search(np.pad(SOURCE_IDS, [(0, 0), (0, 3)]), SEARCH)
    log_probs = model.log_prob(
        np.pad(SOURCE_IDS, [(0, 0), (0, 3)]), np.pad(TARGET_LABELS, [(0, 0), (0, 2)])
    )
    for row in range(3):
        source = SOURCE_IDS[row : row + 1, : np.count_nonzero(SOURCE_IDS[row])]
        target = TARGET_LABELS[row : row + 1, : np.count_nonzero(TARGET_LABELS[row])]
        alone = model.search(source, SEARCH)
        np.testing.assert_array_equal(together.ids[row, :, : alone.ids.shape[2]], alone.ids[0])
        np.testing.assert_allclose(together.log_probs[row], alone.log_probs[0], atol=1e-6)
        np.testing.assert_allclose(together.scores[row], alone.scores[0], atol=1e-6)
        np.testing.assert_allclose(log_probs[row], model.log_prob(source, target)[0], atol=1e-6)


def test_log_prob_gives_the_log_prob_of_every_hypothesis(model):
    found = model.search(SOURCE_IDS, SEARCH)
    assert np.all(found.lengths.numpy() > 0)
    assert np.any(found.finished)
    log_probs = model.log_prob(np.repeat(SOURCE_IDS, 4, axis=0), tf.reshape(found.ids, [12, -1]))
    np.testing.assert_allclose(tf.reshape(log_probs, [3, 4]), found.log_probs, atol=1e-4)
    lengths = tf.cast(found.lengths, tf.float32)
    np.testing.assert_allclose(found.scores, found.log_probs / lengths**0.75, atol=1e-6)


def test_log_prob_is_minus_the_loss_of_each_sequence(model):
    log_probs = model.log_prob(SOURCE_IDS, TARGET_LABELS)
    for row in range(3):
        weights = np.eye(3)[row]
        loss = SequenceLoss()(TARGET_LABELS, model(inputs()), sample_weight=weights)
        np.testing.assert_allclose(log_probs[row], -loss, atol=1e-5)


def test_a_batch_of_no_rows_gives_no_rows(model):
    found = model.search(SOURCE_IDS[:0], SEARCH)
    assert found.ids.shape[:2] == (0, 4)
    assert found.scores.shape == (0, 4)
    assert model.log_prob(SOURCE_IDS[:0], TARGET_LABELS[:0]).shape == (0,)


@pytest.fixture(scope="module")
def luong() -> Seq2Seq:
    return make_model("luong")


def test_one_graph_searches_every_batch_size_and_length(luong, monkeypatch):
    traces = []
    search = GreedySearch(max_length=3)
    begin = luong.begin_search

    def counted(*args, **options):
        traces.append(1)
        return begin(*args, **options)

    monkeypatch.setattr(luong, "begin_search", counted)
    for batch in (SOURCE_IDS, SOURCE_IDS[:1], SOURCE_IDS[:, :3], SOURCE_IDS[:0]):
        luong.search(batch, search)
    assert len(traces) == 1


def test_each_row_may_have_its_own_limit(luong):
    search = GreedySearch(max_length=5)
    for limit in ([1, 2, 3], np.array([1, 2, 3])):  # int32 and int64
        found = luong.search(SOURCE_IDS, search, max_length=limit, min_length=limit)
        np.testing.assert_array_equal(found.lengths[:, 0], limit)


def test_it_searches_inside_a_graph_too(luong):
    search = GreedySearch(max_length=4)
    in_graph = tf.function(lambda ids: luong.search(ids, search))(tf.constant(SOURCE_IDS))
    outside = luong.search(SOURCE_IDS, search)
    np.testing.assert_array_equal(in_graph.ids, outside.ids)
    np.testing.assert_allclose(in_graph.log_probs, outside.log_probs, atol=1e-6)


def test_lists_and_ragged_ids_are_taken(luong):
    expected = luong.log_prob(SOURCE_IDS, TARGET_LABELS)
    np.testing.assert_array_equal(
        luong.log_prob(SOURCE_IDS.tolist(), TARGET_LABELS.tolist()), expected
    )
    ragged = tf.ragged.constant([[5, 6, 7, 3], [8, 3], [4, 4, 3]])
    np.testing.assert_array_equal(
        luong.log_prob(ragged, tf.constant(TARGET_LABELS, tf.int64)), expected
    )


@pytest.mark.parametrize(
    ("source_ids", "error", "message"),
    [
        ([[5.0, 3.0]], TypeError, "`source_ids` must contain integers. Received: dtype=float32"),
        ([["a"]], TypeError, "`source_ids` must contain integers. Received: dtype=string"),
        ([5, 3], ValueError, r"must have the shape \(batch, length\). Received: shape \(2,\)"),
        (np.zeros([2, 0], int), ValueError, r"length of at least 1.*Received: shape \(2, 0\)"),
        ([[5, 3], [5, 9]], ValueError, r"in \[0, 9\).*Received: id 9 in row 1 at position 1"),
        ([[-1, 3]], ValueError, r"in \[0, 9\).*Received: id -1 in row 0 at position 0"),
    ],
)
def test_ids_that_the_model_cannot_read_are_rejected(luong, source_ids, error, message):
    with pytest.raises(error, match=message):
        luong.search(source_ids, GreedySearch(max_length=3))
    with pytest.raises(error, match=message):
        luong.log_prob(source_ids, TARGET_LABELS)


def test_targets_that_the_model_cannot_read_are_rejected(luong):
    with pytest.raises(ValueError, match=r"`target_ids` must lie in \[0, 7\)"):
        luong.log_prob(SOURCE_IDS, TARGET_LABELS + 4)
    with pytest.raises(
        ValueError, match=r"the same number of rows.*Received: 3 sources and 2 targets"
    ):
        luong.log_prob(SOURCE_IDS, TARGET_LABELS[:2])


@pytest.mark.parametrize(
    ("target_ids", "message"),
    [
        ([0, 4, 5, 3], r"`target_ids` must be padded on the right\. Received: id 4 .* position 1"),
        ([4, 0, 5, 3], r"`target_ids` must be padded .*: id 5 in row 1 at position 2, after pad"),
        ([4, 5, 0, 3], r"`target_ids` must be padded .*: id 3 in row 1 at position 3, after pad"),
        ([2, 4, 5, 3], r"`target_ids` must not contain bos \(2\).*: id 2 in row 1 at position 0"),
    ],
)
def test_targets_with_padding_between_tokens_or_with_bos_are_rejected(luong, target_ids, message):
    with pytest.raises(ValueError, match=message):
        luong.log_prob([[5, 6, 3]] * 2, [[4, 5, 6, 3], target_ids])


def test_sources_with_padding_before_a_token_are_rejected(luong):
    message = r"`source_ids` must be padded on the right\. Received: id 5 in row 1 at position 2"
    for run in (lambda ids: luong.search(ids, SEARCH), lambda ids: luong.log_prob(ids, [[4], [4]])):
        with pytest.raises(ValueError, match=message):
            run([[5, 6, 3, 0], [0, 0, 5, 3]])
    luong.log_prob([[5, 3, 0, 7], [0, 0, 0, 0]], [[4, 3], [4, 3]])  # not read after eos


def test_what_follows_eos_in_a_target_may_be_anything(luong):
    given = luong.log_prob([[5, 6, 3]] * 2, [[4, 3, 0, 5], [3, 2, 0, 4]])
    plain = luong.log_prob([[5, 6, 3]] * 2, [[4, 3], [3, 0]])
    np.testing.assert_allclose(given, plain, atol=1e-6)
    assert luong.log_prob([[5, 6, 3]], [[0, 0]]).numpy() == [0.0]


def test_only_a_search_searches(luong):
    with pytest.raises(TypeError, match=r"`search` must be a search.*Received: search='beam'"):
        luong.search(SOURCE_IDS, "beam")


def test_only_an_encoder_and_a_decoder_make_a_model():
    encoder, decoder = LSTMEncoder(SOURCE_SIZE, 2), LSTMDecoder(TARGET_SIZE, 2)
    with pytest.raises(
        TypeError,
        match=r"`encoder` must be an `LSTMEncoder` or a `GRUEncoder`\. Received: encoder=",
    ):
        Seq2Seq(decoder, encoder)
    with pytest.raises(ValueError, match=r"must both compute in float64, .* float64 and float32"):
        Seq2Seq(LSTMEncoder(9, 4, dtype="float64"), LSTMDecoder(7, 4))
    with pytest.raises(ValueError, match=r"`dtype` must be a float dtype\. Received: dtype=int32"):
        LSTMDecoder(7, 4, dtype="int32")
    with pytest.raises(TypeError, match=r"`decoder` must be an `LSTMDecoder` or.*\(of type None"):
        Seq2Seq(encoder, None)


def test_a_model_has_its_weights_from_the_beginning():
    model = make_model("luong")
    assert model.built
    names = {weight.path for weight in model.weights}
    assert len(names) == len(model.weights) == 14
    assert isinstance(model, keras.Model)
