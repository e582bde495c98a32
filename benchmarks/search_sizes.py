"""Sizes shared by all systems of the search benchmark. Has no dependencies."""

from __future__ import annotations

from typing import NamedTuple

PAD_ID, BOS_ID, EOS_ID = 0, 2, 3
NEVER = -100.0  # the bias of eos: every search runs to its last step


class Sizes(NamedTuple):
    """Sizes of a decoder and of a search."""

    vocabulary_size: int
    embedding_dim: int
    units: int
    num_layers: int
    steps: int
    beam_width: int


WORKLOADS = {"G": Sizes(72, 256, 512, 2, 30, 5), "T": Sizes(8000, 512, 512, 2, 50, 5)}
BATCHES = {"G": (1, 8, 32, 128), "T": (1, 8, 32)}
