"""Searches compiled by XLA or in bfloat16 give correct answers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers.small import KINDS, SOURCE_IDS, make_model

from keras_s2s.models import Ensemble, searchable, xla
from keras_s2s.models.xla import choose_jit_compile, pad_to_buckets
from keras_s2s.search import (
    BeamSearch,
    DiverseBeamSearch,
    ExactSearch,
    ExhaustiveSearch,
    GreedySearch,
    Sampling,
)

SEARCH = BeamSearch(beam_width=3, num_hypotheses=3, max_length=4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_by_xla_it_gives_the_same(kind):
    model = make_model(kind)
    wanted = {"return_attention": model.has_attention}
    expected = model.search(SOURCE_IDS, SEARCH, **wanted)
    found = model.search(SOURCE_IDS, SEARCH, jit_compile=True, **wanted)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.finished, expected.finished)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    if model.has_attention:
        np.testing.assert_allclose(found.attention, expected.attention, atol=1e-5)


@pytest.mark.slow
def test_compiled_by_xla_it_draws_the_same():
    model, search = make_model("luong"), Sampling(max_length=4, num_hypotheses=2)
    expected = model.search(SOURCE_IDS, search, seed=3)
    found = model.search(SOURCE_IDS, search, seed=3, jit_compile=True)
    np.testing.assert_array_equal(found.ids, expected.ids)


def test_samples_with_another_seed_need_no_other_graph(monkeypatch):
    model, graphs = make_model("luong"), []
    begin_search = model.begin_search

    def count(*arguments, **settings):
        graphs.append(arguments)
        return begin_search(*arguments, **settings)

    monkeypatch.setattr(model, "begin_search", count)
    drawn = [
        model.search(SOURCE_IDS, Sampling(max_length=4, num_hypotheses=9, seed=seed)).ids.numpy()
        for seed in (1, 2, 1)
    ]
    assert len(graphs) == 1
    assert drawn[0].tolist() == drawn[2].tolist() != drawn[1].tolist()
    by_argument = model.search(SOURCE_IDS, Sampling(max_length=4, num_hypotheses=9), seed=2)
    np.testing.assert_array_equal(by_argument.ids, drawn[1])


@pytest.fixture
def pretend_gpu(monkeypatch):
    """Let a search choose XLA, as on a GPU."""
    monkeypatch.setattr(xla, "runs_on_gpu", lambda: True)


@pytest.mark.usefixtures("pretend_gpu")
@pytest.mark.parametrize(
    ("search", "row_options", "compiles"),
    [
        (SEARCH, (), True),
        (SEARCH, ("prefix", "min_length"), True),
        (GreedySearch(), (), True),
        (Sampling(), ("seed",), True),
        (DiverseBeamSearch(lexicon=[(4, 5)]), (), True),
        (SEARCH, ("max_length",), False),
        (BeamSearch(max_length=None, max_length_ratio=2.0), (), False),
        (ExactSearch(), (), False),
        (ExhaustiveSearch(max_length=2), (), False),
    ],
)
def test_on_a_gpu_xla_is_chosen_for_what_it_compiles_once_per_shape(search, row_options, compiles):
    assert choose_jit_compile("auto", search, row_options) == compiles
    assert not choose_jit_compile(False, search, row_options)

    @tf.function(autograph=False)
    def serve():
        assert not choose_jit_compile("auto", search, row_options)

    serve()


def test_on_a_cpu_xla_is_not_chosen(monkeypatch):
    assert not choose_jit_compile("auto", SEARCH)
    assert choose_jit_compile(True, SEARCH)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [kind])
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_cuda_build": True})
    with tf.device("CPU:0"):
        assert not choose_jit_compile("auto", SEARCH)
    with pytest.raises(ValueError, match=r"`jit_compile` must be .*Received: jit_compile='yes'"):
        choose_jit_compile("yes", SEARCH)


@pytest.mark.slow
@pytest.mark.usefixtures("pretend_gpu")
def test_padding_for_xla_changes_no_output(monkeypatch):
    model, shapes = make_model("luong"), []
    wanted = {"return_attention": True, "prefix": [[4, 5, 6], [0, 0, 0], [6, 0, 0]]}
    expected = model.search(SOURCE_IDS, SEARCH, jit_compile=False, **wanted)
    run = model._run

    def keep_shapes(key, function, source_ids, options, **settings):
        assert settings["jit_compile"]
        shapes.append((*source_ids.shape, *options["prefix"].shape))
        return run(key, function, source_ids, options, **settings)

    monkeypatch.setattr(model, "_run", keep_shapes)
    found = model.search(SOURCE_IDS, SEARCH, **wanted)
    assert shapes == [(4, 16, 4, 4)]
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.finished, expected.finished)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(found.attention, expected.attention, atol=1e-5)


def test_few_shapes_are_compiled():
    def padded_shape(rows, length):
        return tuple(pad_to_buckets(tf.ones([rows, length], tf.int32), {})[0].shape)

    assert {padded_shape(rows, 5)[0] for rows in range(1, 65)} == {1, 2, 4, 8, 16, 32, 64}
    lengths = {padded_shape(1, length)[1] for length in (1, 16, 17, 33, 64, 65, 129, 257, 513)}
    assert lengths | {padded_shape(1, 1000)[1]} == {16, 32, 64, 128, 256, 512, 1024}
    assert padded_shape(0, 2) == (0, 16)


def test_a_padded_batch_repeats_its_first_row():
    options = {
        "seed": tf.constant([7, 8, 9]),
        "prefix": tf.constant([[4, 5, 6], [5, 0, 0], [0] * 3]),
    }
    ids, options = pad_to_buckets(tf.constant([[4, 3], [5, 3], [6, 3]]), options)
    assert ids[:, :3].numpy().tolist() == [[4, 3, 0], [5, 3, 0], [6, 3, 0], [4, 3, 0]]
    assert not ids[:, 3:].numpy().any()
    assert options["seed"].numpy().tolist() == [7, 8, 9, 7]
    assert options["prefix"].numpy().tolist() == [
        [4, 5, 6, 0],
        [5, 0, 0, 0],
        [0, 0, 0, 0],
        [4, 5, 6, 0],
    ]


def test_xla_is_rejected_where_it_cannot_run():
    model = make_model("luong")
    with pytest.raises(ValueError, match="must be False for an `ExactSearch`"):
        model.search(SOURCE_IDS, ExactSearch(max_length=3), jit_compile=True)
    ratio_only = BeamSearch(max_length=None, max_length_ratio=2.0)
    with pytest.raises(ValueError, match="must be False for a search without `max_length`"):
        model.search(SOURCE_IDS, ratio_only, jit_compile=True)

    @tf.function(autograph=False)
    def serve(source_ids):
        return model.search(source_ids, SEARCH, jit_compile=True)

    with pytest.raises(ValueError, match="`jit_compile` must be False inside a graph"):
        serve(SOURCE_IDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.sampled(1)
@pytest.mark.slow
def test_in_bfloat16_log_probs_come_close(kind):
    model = make_model(kind)
    members = Ensemble([model])
    found = model.search(SOURCE_IDS, SEARCH, weights_dtype="bfloat16")
    exact = [model.log_prob(SOURCE_IDS, found.ids[:, place]) for place in range(3)]
    # bfloat16 has 8 bits, and there are up to 4 tokens
    np.testing.assert_allclose(found.log_probs, np.stack(exact, axis=1), atol=0.1)
    assert not np.allclose(found.log_probs, np.stack(exact, axis=1), atol=1e-5)
    together = members.search(SOURCE_IDS, SEARCH, weights_dtype="bfloat16")
    np.testing.assert_array_equal(together.ids, found.ids)
    np.testing.assert_allclose(together.log_probs, found.log_probs, atol=1e-5)


def test_other_precisions_are_rejected():
    with pytest.raises(ValueError, match=r"`weights_dtype` must be .*Received: .*'float64'"):
        make_model("luong").search(SOURCE_IDS, SEARCH, weights_dtype="float64")


def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch):
    model = make_model("luong")
    for has_it, dtype in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(searchable, "has_bfloat16", lambda has_it=has_it: has_it)
        expected = model.search(SOURCE_IDS, SEARCH, weights_dtype=dtype)
        found = model.search(SOURCE_IDS, SEARCH, weights_dtype="auto")
        np.testing.assert_array_equal(found.log_probs, expected.log_probs)


@pytest.mark.usefixtures("onednn")
def test_many_rows_match_few_rows(monkeypatch):
    model = make_model("luong")
    expected = model.search(SOURCE_IDS, SEARCH)
    monkeypatch.setattr(searchable, "MANY_ROWS", range(1, 100))
    found = model.search(SOURCE_IDS, SEARCH)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)


def test_no_sources_need_no_xla(pretend_gpu, monkeypatch):
    monkeypatch.setattr(xla, "_failures", [])
    nothing = np.zeros((0, 3), np.int32)
    for jit_compile in (True, "auto"):
        found = make_model("luong").search(nothing, SEARCH, jit_compile=jit_compile)
        assert found.ids.shape[:2] == (0, 3)
    assert xla._failures == []


@pytest.fixture
def without_libdevice(pretend_gpu, monkeypatch):
    """A model that XLA cannot compile, and whether each of its runs asked for XLA."""
    model, asked = make_model("luong"), []
    run = model._run

    def fail_to_compile(*arguments, jit_compile=False, **settings):
        asked.append(jit_compile)
        if jit_compile:
            raise tf.errors.InternalError(None, None, "libdevice not found")
        return run(*arguments, **settings)

    monkeypatch.setattr(xla, "_failures", [])
    monkeypatch.setattr(model, "_run", fail_to_compile)
    return model, asked


def test_a_search_that_xla_cannot_compile_runs_without_it(without_libdevice):
    model, asked = without_libdevice
    expected = model.search(SOURCE_IDS, SEARCH, jit_compile=False)
    with pytest.raises(tf.errors.InternalError, match="libdevice"):
        model.search(SOURCE_IDS, SEARCH, jit_compile=True)
    with pytest.warns(UserWarning, match="XLA could not compile a search.*libdevice not found"):
        found = model.search(SOURCE_IDS, SEARCH)
    np.testing.assert_array_equal(found.ids, expected.ids)
    again = model.search(SOURCE_IDS, SEARCH)
    np.testing.assert_array_equal(again.ids, expected.ids)
    assert asked == [False, True, True, False, False]


def test_a_search_without_xla_is_compiled_separately_from_a_fallback(without_libdevice):
    model, _ = without_libdevice
    search = GreedySearch(max_length=50)
    with pytest.warns(UserWarning, match="XLA could not compile a search"):
        first = model.search(SOURCE_IDS, search)
    again = model.search(SOURCE_IDS, search, jit_compile=False)
    np.testing.assert_array_equal(again.ids, first.ids)
    assert again.ids.shape[2] == again.lengths.numpy().max() < 50
