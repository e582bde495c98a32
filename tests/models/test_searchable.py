"""Search options for each row, and the returned attention."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.small import SOURCE_IDS, make_model

from keras_s2s.models import Searchable, Seq2Seq
from keras_s2s.models.searchable import sum_log_probs
from keras_s2s.search import BeamSearch, GreedySearch, Sampling
from keras_s2s.special_ids import BOS_ID, EOS_ID

SEARCH = BeamSearch(beam_width=3, num_hypotheses=3, max_length=5, stopping="length")
LENGTHS = np.count_nonzero(SOURCE_IDS, axis=1)


@pytest.fixture(scope="module", params=["luong", "bahdanau"])
def looking(request) -> Seq2Seq:
    """A model with attention."""
    return make_model(request.param)


@pytest.fixture(scope="module")
def luong() -> Seq2Seq:
    return make_model("luong")


def looks(model, source_ids, target_ids):
    """Return the attention for each token of one target, step by step."""
    source_ids = tf.constant(source_ids[np.newaxis])
    encoded = model.encoder(source_ids)
    memory, state = model.decoder.read(*encoded), model.decoder.initial_state(encoded.context)
    rows = []
    for last_id in [BOS_ID, *target_ids[:-1]]:
        _, state, weights = model.decoder.step(
            tf.constant([last_id], tf.int32), state, memory, return_attention=True
        )
        rows.append(weights[0])
    return np.stack(rows)


@pytest.mark.parametrize("search", [SEARCH, GreedySearch(max_length=4)])
@pytest.mark.sampled(1)
def test_the_attention_is_that_of_each_reported_token(looking, search):
    found = looking.search(SOURCE_IDS, search, return_attention=True)
    assert found.attention is not None
    assert found.attention.shape == (*found.ids.shape, SOURCE_IDS.shape[1])
    assert found.ids.shape[2] == np.max(found.lengths)
    for row, source_ids in enumerate(SOURCE_IDS):
        for place, length in enumerate(found.lengths[row].numpy()):
            attention = found.attention[row, place].numpy()
            expected = looks(looking, source_ids, found.ids[row, place, :length].numpy())
            np.testing.assert_allclose(attention[:length], expected, atol=1e-6)
            np.testing.assert_array_equal(attention[length:], 0)
            np.testing.assert_array_equal(attention[:, LENGTHS[row] :], 0)


def test_attention_costs_the_answer_nothing(looking):
    plain, with_attention = (
        looking.search(SOURCE_IDS, SEARCH, return_attention=wanted) for wanted in (False, True)
    )
    assert plain.attention is None
    np.testing.assert_array_equal(plain.ids, with_attention.ids)
    np.testing.assert_allclose(plain.scores, with_attention.scores, atol=1e-6)


@pytest.mark.sampled(1)
def test_the_coverage_penalty_is_part_of_the_score(looking):
    search = BeamSearch(**{**SEARCH.get_config(), "coverage_penalty": 0.7})
    found = looking.search(SOURCE_IDS, search, return_attention=True)
    assert found.attention is not None
    plain = found.log_probs / tf.cast(found.lengths, tf.float32) ** 0.75
    covered = np.clip(np.sum(found.attention, axis=2), 1e-10, 1.0)
    for row, length in enumerate(LENGTHS):
        penalty = 0.7 * np.log(covered[row, :, :length]).sum(axis=1)
        ended = found.finished[row].numpy()
        np.testing.assert_allclose(found.scores[row][ended], (plain[row] + penalty)[ended], 1e-5)
    assert np.any(found.finished)


@pytest.mark.parametrize(
    ("options", "search", "asks"),
    [
        ({"return_attention": True}, SEARCH, "return_attention"),
        ({}, BeamSearch(coverage_penalty=0.1), "coverage_penalty"),
    ],
)
def test_a_model_without_attention_cannot_be_asked_for_it(options, search, asks):
    model = make_model("no attention")
    with pytest.raises(ValueError, match=rf"`{asks}` needs a decoder with attention, such as"):
        model.search(SOURCE_IDS, search, **options)


@pytest.mark.parametrize(
    "prefix",
    [
        np.array([[5, 6], [4, 0], [0, 0]]),
        [[5, 6], [4, 0], [0, 0]],
        tf.ragged.constant([[5, 6], [4], []], dtype=tf.int32),
    ],
    ids=["array", "list", "ragged"],
)
@pytest.mark.sampled(2)
def test_each_row_begins_with_its_prefix(luong, prefix):
    found = luong.search(SOURCE_IDS, SEARCH, prefix=prefix)
    np.testing.assert_array_equal(found.ids[0, :, :2], [[5, 6]] * 3)
    np.testing.assert_array_equal(found.ids[1, :, 0], [4] * 3)
    free = luong.search(SOURCE_IDS[2:], SEARCH)
    np.testing.assert_array_equal(found.ids[2, :, : free.ids.shape[2]], free.ids[0])
    rows = np.repeat(SOURCE_IDS, 3, axis=0)
    log_probs = luong.log_prob(rows, tf.reshape(found.ids, [9, -1]))
    np.testing.assert_allclose(tf.reshape(log_probs, [3, 3]), found.log_probs, atol=1e-4)


@pytest.mark.parametrize("exponents", [[0.0, 0.5, 2.0], 1.5])
def test_each_row_may_have_its_own_length_penalty(luong, exponents):
    found = luong.search(SOURCE_IDS, SEARCH, length_penalty=exponents)
    lengths = tf.cast(found.lengths, tf.float32)
    divisor = lengths ** tf.reshape(exponents, [-1, 1])
    np.testing.assert_allclose(found.scores, found.log_probs / divisor, atol=1e-6)


def test_each_row_draws_by_its_own_seed(luong):
    search = Sampling(num_hypotheses=3, max_length=5)
    sources = np.repeat(SOURCE_IDS[:1], 4, axis=0)
    found = luong.search(sources, search, seed=[1, 2, 1, 3]).ids.numpy()
    np.testing.assert_array_equal(found[0], found[2])
    assert np.any(found[0] != found[1])
    alone = luong.search(sources[1:2], search, seed=2).ids.numpy()
    np.testing.assert_array_equal(found[1, :, : alone.shape[2]], alone[0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_length": 0}, ValueError, "`max_length` must be at least 1 in every row. Received"),
        ({"max_length": [1, 2]}, ValueError, r"one for each row: \(3,\). Received: shape \(2,\)"),
        (
            {"max_length": 2.5},
            TypeError,
            "`max_length` must contain integers. Received: dtype=float",
        ),
        ({"min_length": [1, -1, 0]}, ValueError, "`min_length` must be at least 0 in every row"),
        ({"length_penalty": -0.1}, ValueError, "`length_penalty` must be at least 0 in every row"),
        ({"length_penalty": np.nan}, ValueError, "`length_penalty` must be at least 0"),
        ({"seed": 1}, ValueError, "`seed` must be None for a search without randomness"),
        ({"min_length": 99}, ValueError, "`min_length` must not exceed `max_length` in any row"),
        ({"prefix": [[7]] * 3}, ValueError, "Every id in `prefix` must .* below vocabulary_size=7"),
        ({"prefix": [[4], [4, 5], [4]]}, ValueError, "Every row of `prefix` must have the same"),
        ({"prefix": [[-1]] * 3}, ValueError, "Every id in `prefix` must be at least 0"),
        ({"prefix": [[4]]}, ValueError, r"`prefix` must have the shape \(3, prefix_length\)"),
        ({"prefix": [4, 4, 4]}, ValueError, r"`prefix` must have the shape .* shape \(3,\)"),
        (
            {"prefix": [[4.0]] * 3},
            TypeError,
            "`prefix` must contain integers. Received: dtype=float",
        ),
        ({"beam_width": 3}, TypeError, "unexpected keyword argument 'beam_width'"),
    ],
)
def test_invalid_row_options_are_rejected(luong, options, error, message):
    with pytest.raises(error, match=message):
        luong.search(SOURCE_IDS, SEARCH, **options)


def test_in_a_graph_rows_have_their_own_settings_too(luong):
    prefix, limits = tf.constant([[5], [0], [4]]), tf.constant([2, 3, 4])

    @tf.function
    def run(prefix, limits):
        return luong.search(
            SOURCE_IDS, SEARCH, prefix=prefix, max_length=limits, return_attention=True
        )

    found = run(prefix, limits)
    expected = luong.search(
        SOURCE_IDS, SEARCH, prefix=prefix, max_length=limits, return_attention=True
    )
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_allclose(found.attention, expected.attention, atol=1e-6)
    assert np.all(expected.lengths <= limits.numpy()[:, np.newaxis])


def test_a_subclass_must_define_its_members():
    model = Searchable()
    for name, call in {
        "members": model.members,
        "begin_search": lambda: model.begin_search(None, return_attention=False),
        "target_logits": lambda: model.target_logits(None, None),
    }.items():
        with pytest.raises(NotImplementedError, match=f"Searchable must define `{name}`"):
            call()


@pytest.mark.parametrize("attention", ["no attention", "luong"])
@pytest.mark.sampled(1)
def test_a_model_that_has_diverged_is_an_error(attention):
    model = make_model(attention)
    model.decoder.logits.bias.assign(tf.fill(model.decoder.logits.bias.shape, np.nan))
    for search in (SEARCH, GreedySearch(max_length=4)):
        with pytest.raises(ValueError, match=r"The model has diverged: its logits are .* row 0"):
            model.search(SOURCE_IDS, search)
    graph = tf.function(lambda ids: model.search(ids, SEARCH), autograph=False)
    found = graph(tf.constant(SOURCE_IDS))
    assert np.isnan(found.scores).all()
    assert not found.ids.numpy().any()
    target_ids = np.full([len(SOURCE_IDS), 1], EOS_ID)
    with pytest.raises(ValueError, match=r"The model has diverged: its logits are .* row 0"):
        model.log_prob(SOURCE_IDS, target_ids)
    graph = tf.function(lambda ids: model.log_prob(ids, target_ids), autograph=False)
    assert np.isnan(graph(tf.constant(SOURCE_IDS))).all()


def test_an_offset_of_the_logits_changes_no_log_prob():
    model = make_model("no attention")
    target_ids = np.array([[4, 5, 3], [6, 3, 0], [3, 0, 0], [4, 4, 3]][: len(SOURCE_IDS)])
    target_ids = target_ids.astype(np.int32)
    source_ids = SOURCE_IDS[: len(target_ids)]
    before = model.log_prob(source_ids, target_ids)
    logits = model.target_logits(tf.constant(source_ids), tf.constant(target_ids))
    exact = keras.ops.log_softmax(tf.cast(logits, tf.float64))
    for offset in (1e3, 1e5, -1e5):
        shifted = sum_log_probs(logits + offset, tf.constant(target_ids)).numpy()
        rounded = keras.ops.log_softmax(tf.cast(logits + offset, tf.float64))
        expected = tf.gather(rounded, target_ids[..., None], axis=2, batch_dims=2)[..., 0]
        expected = tf.reduce_sum(tf.where(target_ids == 0, 0.0, expected), axis=1)
        np.testing.assert_allclose(shifted, expected, rtol=1e-6)
    expected = tf.gather(exact, target_ids[..., None], axis=2, batch_dims=2)[..., 0]
    expected = tf.reduce_sum(tf.where(target_ids == 0, 0.0, expected), axis=1)
    np.testing.assert_allclose(before, expected, rtol=1e-5)


def test_log_probs_of_real_tokens_are_summed():
    target_ids = tf.constant([[4, 5, 3], [3, 0, 0], [0, 0, 0]])
    random = np.random.default_rng(0)
    logits = random.normal(size=(3, 3, 6)).astype(np.float32)
    logits[1, 1:] = 1e4  # padding
    log_probs = logits - np.log(np.exp(np.minimum(logits, 80)).sum(axis=-1, keepdims=True))
    expected = [log_probs[0, 0, 4] + log_probs[0, 1, 5] + log_probs[0, 2, 3], log_probs[1, 0, 3], 0]
    np.testing.assert_allclose(sum_log_probs(logits, target_ids), expected, atol=1e-5)
