"""Saving a trained model without the state of its training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import keras


@contextlib.contextmanager
def without_optimizers(models: Iterable[keras.Model]) -> Iterator[None]:
    """Take the optimizers away meanwhile: what answers needs no state of training in its file.

    Args:
        models: trained models.

    Yields:
        Once, while they have no optimizer.
    """
    taken = []
    for model in models:
        optimizer = getattr(model, "optimizer", None)
        if optimizer is not None:
            taken.append((model, optimizer))
            model.optimizer = None
    try:
        yield
    finally:
        for model, optimizer in taken:
            model.optimizer = optimizer
