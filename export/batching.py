"""How a model server merges requests: `batching_params.pbtxt` in the folder of a version."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras_s2s.checks import check_int, check_positive_int
from keras_s2s.export.templates import fill_template

BATCHING_FILE = "batching_params.pbtxt"


@dataclasses.dataclass(frozen=True)
class Batching:
    """Says how a model server may merge requests that come at the same time into one batch.

    The answer to a row does not depend on what else is in its batch. A server merges requests
    where it runs with `--enable_batching`, and reads these settings from the version's folder with
    `--enable_per_model_batching_parameters`.

    Args:
        max_batch_size: The most rows in a batch, and in one request: a longer one is refused.
        batch_timeout_micros: How many microseconds a request may wait for others.
        max_enqueued_batches: How many batches may wait; beyond that the server answers at once
            that it is unavailable.

    Raises:
        ValueError: If a number is out of range.
    """

    max_batch_size: int = 64
    batch_timeout_micros: int = 2000
    max_enqueued_batches: int = 100

    def __post_init__(self) -> None:
        check_positive_int("max_batch_size", self.max_batch_size)
        check_int("batch_timeout_micros", self.batch_timeout_micros, minimum=0)
        check_positive_int("max_enqueued_batches", self.max_enqueued_batches)

    def to_file(self) -> bytes:
        """Give the content of the file: a `BatchingParameters` message as text, explained."""
        return fill_template(BATCHING_FILE, **dataclasses.asdict(self)).encode()


def check_batching(batching: Any) -> Batching:
    """Give the settings back where they are a `Batching`.

    Args:
        batching: What came.

    Raises:
        TypeError: If it is something else.
    """
    if not isinstance(batching, Batching):
        raise TypeError(f"`batching` must be a `Batching`. Received: batching={batching!r}")
    return batching
