from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import oracle
from helpers.search_litert import converted
from helpers.table_model import TableModel, assert_same_outputs, assert_same_results, outputs

from keras_s2s.search import BeamSearch, DiverseBeamSearch


@pytest.mark.parametrize("stopping", ["finished", "bound", "length"])
@pytest.mark.parametrize("penalty", [0.3, 2.0])
@pytest.mark.parametrize(("beam_width", "num_groups"), [(3, 3), (4, 2), (6, 3)])
@pytest.mark.sampled(3)
def test_diverse_beam_search_equals_the_oracle(beam_width, num_groups, penalty, stopping):
    model = TableModel.random(0, batch_size=20)
    search = DiverseBeamSearch(
        beam_width=beam_width,
        num_groups=num_groups,
        num_hypotheses=beam_width,
        diversity_penalty=penalty,
        stopping=stopping,
    )
    limits = np.arange(20, dtype=np.int32) % 6 + 1
    found = model.search(search, max_length=limits)
    for row in range(20):
        expected = oracle.diverse_beam_search(
            model.row(row),
            oracle.Rules(int(limits[row])),
            beam_width // num_groups,
            num_groups,
            penalty,
            stopping,
        )
        assert_same_outputs(outputs(found, row), expected)


def test_a_single_group_equals_beam_search():
    model = TableModel.random(1, batch_size=20)
    settings: dict[str, Any] = {"beam_width": 4, "num_hypotheses": 4, "max_length": 6}
    assert_same_results(
        model.search(DiverseBeamSearch(num_groups=1, **settings)),
        model.search(BeamSearch(**settings)),
        atol=1e-6,
    )


def test_without_a_penalty_all_groups_find_the_same_outputs():
    model = TableModel.random(2, batch_size=10)
    diverse = model.search(
        DiverseBeamSearch(
            beam_width=6, num_groups=3, num_hypotheses=6, diversity_penalty=0.0, max_length=6
        )
    )
    plain = model.search(BeamSearch(beam_width=2, num_hypotheses=2, max_length=6))
    for row in range(10):
        assert_same_outputs(outputs(diverse, row), outputs(plain, row))


def test_a_row_does_not_depend_on_the_rest_of_the_batch():
    model = TableModel.random(3, batch_size=6)
    search = DiverseBeamSearch(beam_width=4, num_groups=2, num_hypotheses=4)
    limits = np.array([3, 9, 1, 5, 7, 2], np.int32)
    together = model.search(search, max_length=limits)
    for row in range(6):
        alone = TableModel(model.logits[row : row + 1]).search(
            search, max_length=limits[row : row + 1]
        )
        assert_same_outputs(outputs(together, row), outputs(alone, 0))


def test_every_group_obeys_the_rules():
    model = TableModel.random(4, batch_size=6)
    search = DiverseBeamSearch(
        beam_width=4, num_groups=2, num_hypotheses=4, max_length=6, no_repeat_ngram_size=1
    )
    found = model.search(search, prefix=np.full((6, 1), 5, np.int32))
    for row in range(6):
        rules = oracle.Rules(6, ngram=1, prefix=(5,))
        expected = oracle.diverse_beam_search(model.row(row), rules, 2, 2, 0.5, "bound")
        assert_same_outputs(outputs(found, row), expected)
        assert expected[0].log_prob == pytest.approx(
            oracle.log_prob(model.row(row), expected[0].ids)
        )


@pytest.mark.slow
def test_litert_returns_the_same_results(tmp_path):
    search = DiverseBeamSearch(beam_width=6, num_groups=3, num_hypotheses=6, max_length=6)
    run = converted(search, 7, str(tmp_path))
    for batch_size in (1, 5):
        model = TableModel.random(batch_size, batch_size)
        assert_same_results(run(model.logits), model.search(search), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_groups": 0}, "`num_groups` must be a positive integer"),
        ({"num_groups": 4}, "`num_groups` must divide `beam_width`. Received: num_groups=4, beam"),
        ({"diversity_penalty": -1}, "`diversity_penalty` must be a number between 0 and 1000"),
    ],
)
def test_bad_settings_are_rejected(settings, message):
    with pytest.raises(ValueError, match=message):
        DiverseBeamSearch(**settings)
