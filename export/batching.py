"""Server-side batching of requests: `batching_params.pbtxt` in the folder of a version."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras_s2s.checks import check_int, check_positive_int
from keras_s2s.export.templates import fill_template

BATCHING_FILE = "batching_params.pbtxt"


@dataclasses.dataclass(frozen=True)
class Batching:
    """Settings for how a model server merges concurrent requests into one batch.

    The answer to a row does not depend on the other rows of its batch. A server merges requests if
    it runs with `--enable_batching`, and reads these settings from the version's folder with
    `--enable_per_model_batching_parameters`.

    Args:
        max_batch_size: Maximum number of rows in a batch and in a request; larger requests are
            refused.
        batch_timeout_micros: Maximum time that a request waits for others, in microseconds.
        max_enqueued_batches: Maximum number of waiting batches. Beyond it, the server immediately
            returns the error "unavailable".

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
        """Return the content of the file: a `BatchingParameters` text message with comments."""
        return fill_template(BATCHING_FILE, **dataclasses.asdict(self)).encode()


def check_batching(batching: Any) -> Batching:
    """Check that `batching` is a `Batching`, and return it.

    Args:
        batching: The value to check.

    Raises:
        TypeError: If it is anything else.
    """
    if not isinstance(batching, Batching):
        raise TypeError(f"`batching` must be a `Batching`. Received: batching={batching!r}")
    return batching
