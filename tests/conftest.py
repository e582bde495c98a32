"""Fixtures for all tests: quiet, on the CPU, with the same seed."""

from __future__ import annotations

import os
import sys

# Before TensorFlow is imported. On the CPU, because a GPU rounds products of float32 to 10 bits,
# and promises to 1e-6 are about the mathematics.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import hypothesis
import pytest

# Repeatable: the same examples on every run, and no time limit, since a first call traces a graph.
hypothesis.settings.register_profile(
    "repeatable", derandomize=True, deadline=None, database=None, print_blob=False
)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def same_seed() -> None:
    """Seed Python, NumPy and TensorFlow before each test that has imported Keras."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)
