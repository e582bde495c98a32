"""Rules that restrict the next token, in all searches that accept them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from helpers import oracle
from helpers.search_litert import converted
from helpers.table_model import (
    TableModel,
    assert_same_outputs,
    assert_same_results,
    outputs,
    table_step,
)

from keras_s2s.search import BeamSearch, ExactSearch, ExhaustiveSearch, GreedySearch, Lexicon

LEXICON = ((4,), (4, 5), (4, 5, 1), (5, 4, 4, 6), (6, 6), (6, 5, 4), (1,))


def assert_found_as_the_oracle_does(model, search, rules, **row_options):
    """Compare a beam search, or a greedy one, with the oracle's, row by row."""
    found = model.search(search, **row_options)
    for row in range(model.batch_size):
        row_rules = rules(row) if callable(rules) else rules
        if isinstance(search, GreedySearch):
            expected = oracle.greedy_search(model.row(row), row_rules)
        else:
            width, number = search.beam_width, search.num_hypotheses
            expected = oracle.beam_search(model.row(row), row_rules, width, number, search.stopping)
        assert_same_outputs(outputs(found, row), expected)


@pytest.mark.parametrize("suppressed", [(1,), (5, 6), (0, 2, 4)])
def test_suppressed_ids_are_never_emitted(suppressed):
    model = TableModel.random(0, batch_size=10)
    rules = oracle.Rules(6, suppress=suppressed)
    search = BeamSearch(beam_width=4, num_hypotheses=4, max_length=6, suppress_ids=suppressed)
    assert_found_as_the_oracle_does(model, search, rules)
    greedy = GreedySearch(max_length=6, suppress_ids=suppressed)
    assert_found_as_the_oracle_does(model, greedy, rules)


def test_many_ids_can_be_suppressed():
    model = TableModel.random(1, batch_size=5, vocabulary_size=60)
    suppressed = tuple(range(4, 50))
    search = BeamSearch(beam_width=4, num_hypotheses=4, max_length=5, suppress_ids=suppressed)
    assert_found_as_the_oracle_does(model, search, oracle.Rules(5, suppress=suppressed))


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("search", [GreedySearch, BeamSearch])
def test_no_ngram_occurs_twice(search, size):
    model = TableModel.random(2, batch_size=10)
    model.logits[:, :, oracle.EOS] -= 4.0
    rules = oracle.Rules(9, ngram=size)
    assert_found_as_the_oracle_does(model, search(max_length=9, no_repeat_ngram_size=size), rules)


@pytest.mark.parametrize("search", [GreedySearch, BeamSearch])
def test_only_outputs_in_the_lexicon_are_returned(search):
    model = TableModel.random(3, batch_size=20)
    rules = oracle.Rules(4, lexicon=LEXICON)
    assert_found_as_the_oracle_does(model, search(max_length=4, lexicon=LEXICON), rules)


@pytest.mark.parametrize("search", [GreedySearch, BeamSearch, ExactSearch, ExhaustiveSearch])
def test_outputs_of_the_lexicon_that_are_too_long_are_not_returned(search):
    model = TableModel.random(3, batch_size=3)
    lexicon = ((4, 4, 4, 4), (5, 6), (6,))
    limits = tf.constant([2, 3, 1])
    found = model.search(search(max_length=4, lexicon=lexicon), max_length=limits)
    for row, allowed in enumerate([{(6,)}, {(5, 6), (6,)}, set()]):
        shown = outputs(found, row)
        assert {output.ids[:-1] for output in shown} <= allowed
        assert bool(shown) == bool(allowed)


def test_a_wide_beam_returns_the_whole_lexicon_best_first():
    model = TableModel.random(4, batch_size=10)
    search = BeamSearch(
        beam_width=16, num_hypotheses=16, max_length=5, stopping="length", lexicon=LEXICON
    )
    found = model.search(search)
    for row in range(10):
        log_probs = [oracle.log_prob(model.row(row), (*output, oracle.EOS)) for output in LEXICON]
        assert found.lengths[row].astype(bool).sum() == len(LEXICON)
        np.testing.assert_allclose(
            sorted(found.log_probs[row, : len(LEXICON)]), sorted(log_probs), atol=1e-5
        )
    assert found.finished[:, : len(LEXICON)].all()


@pytest.mark.parametrize("search", [GreedySearch, BeamSearch])
def test_outputs_begin_with_the_prefix_of_their_row(search):
    prefixes = [(), (4,), (5, 5), (6, 1, 4), (5,)]
    prefix = np.zeros((len(prefixes), 3), np.int32)
    for row, ids in enumerate(prefixes):
        prefix[row, : len(ids)] = ids
    model = TableModel.random(5, batch_size=len(prefixes))
    assert_found_as_the_oracle_does(
        model,
        search(max_length=6),
        lambda row: oracle.Rules(6, prefix=prefixes[row]),
        prefix=prefix,
    )


@pytest.mark.parametrize("kind", [GreedySearch, BeamSearch])
def test_a_prefix_ends_at_its_first_pad_or_eos(kind):
    """The rows that `tokenize` returns end in eos, and may be prefixes."""
    search = kind(max_length=5)
    model = TableModel.random(6, batch_size=4)
    given = np.array([[4, 5, 3, 0], [4, 3, 5, 2], [3, 0, 0, 0], [6, 0, 0, 0]], np.int32)
    found = model.search(search, prefix=given)
    plain = np.array([[4, 5], [4, 0], [0, 0], [6, 0]], np.int32)
    assert_same_results(found, model.search(search, prefix=plain), atol=0)
    assert found.lengths[0].min() > 2
    with_holes = np.array([[4, 5, 0, 6], [4, 3, 0, 6], [0, 5, 0, 0], [6, 0, 3, 0]], np.int32)
    assert_same_results(model.search(search, prefix=with_holes), found, atol=0)


def test_an_empty_prefix_has_no_effect():
    model = TableModel.random(7, batch_size=2)
    empty = model.search(BeamSearch(max_length=5), prefix=np.zeros((2, 0), np.int32))
    assert_same_results(empty, model.search(BeamSearch(max_length=5)), atol=1e-6)


def test_contradictory_rules_leave_no_hypothesis():
    found = TableModel.random(8, batch_size=2).search(
        BeamSearch(max_length=5, suppress_ids=(4,)), prefix=np.array([[4], [5]], np.int32)
    )
    assert outputs(found, 0) == []
    assert outputs(found, 1)[0].ids[0] == 5


RULES = {
    "suppress_ids": ((), (1, 5)),
    "no_repeat_ngram_size": (None, 2),
    "lexicon": (None, ((4, 5, 4), (6,), (4, 6, 4, 6), (5, 1))),
}


@pytest.mark.parametrize("with_prefix", [False, True])
@pytest.mark.parametrize("chosen", list(itertools.product(*RULES.values())))
@pytest.mark.sampled(6)
def test_any_combination_of_rules_is_obeyed(chosen, with_prefix):
    settings = dict(zip(RULES, chosen, strict=True))
    model = TableModel.random(9, batch_size=6)
    options = {"min_length": np.array([0, 1, 2, 3, 3, 2], np.int32)}
    if with_prefix:
        options["prefix"] = np.array([[4], [0], [5], [6], [0], [4]], np.int32)
    search = BeamSearch(beam_width=3, num_hypotheses=3, max_length=6, **settings)

    def rules(row):
        prefix = options["prefix"][row].tolist() if with_prefix else []
        return oracle.Rules(
            6,
            min_length=int(options["min_length"][row]),
            suppress=settings["suppress_ids"],
            ngram=settings["no_repeat_ngram_size"],
            lexicon=settings["lexicon"],
            prefix=tuple(id_ for id_ in prefix if id_),
        )

    assert_found_as_the_oracle_does(model, search, rules, **options)


def test_rules_are_obeyed_in_litert(tmp_path):
    search = BeamSearch(
        beam_width=3,
        num_hypotheses=3,
        max_length=6,
        suppress_ids=(1,),
        no_repeat_ngram_size=2,
        lexicon=((4, 5, 4), (6,), (4, 6, 4, 6), (5,)),
    )
    run = converted(search, 7, str(tmp_path), prefix=(tf.int32, 2))
    for batch_size in (1, 4):
        model = TableModel.random(batch_size, batch_size)
        prefix = np.array([[4], [5], [0], [6]], np.int32)[:batch_size]
        expected = model.search(search, prefix=prefix)
        assert_same_results(run(model.logits, prefix=prefix), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"suppress_ids": (3,)}, r"`suppress_ids` must not contain eos \(3\), because no output"),
        ({"suppress_ids": (-1,)}, r"`suppress_ids\[0\]` must be an integer of at least 0"),
        ({"no_repeat_ngram_size": 0}, "`no_repeat_ngram_size` must be a positive integer"),
        ({"lexicon": ()}, "`outputs` of a lexicon must not be empty. Received: no output"),
        ({"lexicon": ((2, 4),)}, r"must consist of ids above 0 other than bos.* \(2, 4\)"),
        ({"lexicon": ((4, -1),)}, r"must consist of ids above 0 other than bos.* \(4, -1\)"),
    ],
)
def test_bad_settings_are_rejected(settings, message):
    with pytest.raises(ValueError, match=message):
        BeamSearch(**settings)


@pytest.mark.parametrize("name", ["suppress_ids", "lexicon"])
@pytest.mark.parametrize("value", [5, "abc", [[[4]]], [["a"]]], ids=repr)
def test_settings_that_are_not_lists_of_ids_are_rejected(name, value):
    expected = "`outputs` of a lexicon must be sequences of ids" if name == "lexicon" else name
    with pytest.raises((TypeError, ValueError), match=expected):
        BeamSearch(**{name: value})


@pytest.mark.parametrize(
    ("settings", "options", "error", "message"),
    [
        ({"suppress_ids": (6,)}, {}, ValueError, "Every id in `suppress_ids` must be below voc"),
        ({"lexicon": ((6,),)}, {}, ValueError, "Every id of a lexicon must be below the vocabul"),
        ({}, {"prefix": [[1.0]] * 2}, TypeError, "`prefix` must contain integers. Received: dtype"),
        ({}, {"prefix": [4, 5]}, ValueError, r"`prefix` must have the shape \(2, prefix_length"),
        ({}, {"prefix": [[4]]}, ValueError, r"`prefix` must have the shape .* shape \(1, 1\)"),
        ({}, {"prefix": [[6], [4]]}, ValueError, "Every id in `prefix` must be at least 0 and b"),
        ({}, {"prefix": [[-1], [4]]}, ValueError, "Received: ids from -1 to 4"),
        ({}, {"prefix": [[4], [2]]}, ValueError, r"`prefix` must not contain bos \(2\).* in row 1"),
        ({}, {"prefix": [[0, 4], [5, 0]]}, ValueError, "`prefix` must be padded on the right"),
        ({}, {"seed": 3}, ValueError, "`seed` must be None for a search without randomness"),
    ],
)
def test_options_that_do_not_match_the_vocabulary_or_the_batch_are_rejected(
    settings, options, error, message
):
    step, state = table_step(tf.zeros([2, 3, 6]))
    with pytest.raises(error, match=message):
        BeamSearch(**settings)(step, state, 2, 6, **options)


def test_a_lexicon_ends_each_output_at_its_first_eos():
    lexicon = Lexicon(np.array([[4, 5, 3, 0], [6, 3, 0, 0], [3, 0, 0, 0], [4, 5, 4, 3]]))
    assert lexicon.outputs == ((), (4, 5), (4, 5, 4), (6,))
    assert lexicon == Lexicon([(6,), (), (4, 5, 4), (4, 5), (4, 5)])
    assert lexicon != Lexicon([(6,)])
    assert repr(lexicon) == "Lexicon(4 outputs)"


def test_the_trie_of_a_lexicon_equals_one_made_by_hand():
    # 0 nowhere, 1 before bos, 2 root; 3: 4; 4: 4 5; 5: 6.
    expected = [(1, 2, 2), (2, 4, 3), (2, 6, 5), (3, 3, 0), (3, 5, 4), (4, 3, 0), (5, 3, 0)]
    assert Lexicon([(4, 5), (4,), (6,)]).edges().tolist() == [list(edge) for edge in expected]
