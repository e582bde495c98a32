from __future__ import annotations

import pytest
from helpers.served_messages import read_message

from keras_s2s.export.batching import Batching, check_batching


def test_the_file_is_what_a_server_reads():
    batching = Batching(max_batch_size=8, batch_timeout_micros=0, max_enqueued_batches=3)
    found = read_message("BatchingParameters", batching.to_file())
    assert found.max_batch_size.value == 8
    assert found.batch_timeout_micros.value == 0
    assert found.HasField("batch_timeout_micros")
    assert found.max_enqueued_batches.value == 3


def test_ids_of_different_lengths_may_be_merged():
    found = read_message("BatchingParameters", Batching().to_file())
    assert found.pad_variable_length_inputs
    # `target_ids` of the parts of a request could have different lengths
    assert not found.enable_large_batch_splitting.value
    assert not found.allowed_batch_sizes


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_batch_size", 0), ("batch_timeout_micros", -1), ("max_enqueued_batches", 0.5)],
)
def test_numbers_must_be_possible(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}={value}"):
        Batching(**{name: value})


def test_other_settings_are_refused():
    with pytest.raises(TypeError, match=r"`batching` must be a `Batching`. Received: batching=64"):
        check_batching(64)
