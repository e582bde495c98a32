from __future__ import annotations

import pytest

from keras_s2s.export.templates import fill_template


def test_a_name_without_a_value_is_an_error():
    with pytest.raises(KeyError, match="max_batch_size"):
        fill_template("batching_params.pbtxt", batch_timeout_micros=1, max_enqueued_batches=1)
