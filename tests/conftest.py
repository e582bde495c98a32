"""Fixtures for all tests: quiet, on the CPU, with the same seed."""

from __future__ import annotations

import collections
import gc
import os
import sys
from collections.abc import Iterator

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


@pytest.fixture(autouse=True, scope="module")
def quick_garbage_collection() -> Iterator[None]:
    """Exempt what a module leaves from garbage collection.

    TensorFlow keeps traced graphs: after some modules, millions of objects. One full collection
    then takes seconds, and conversions to LiteRT run many.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture
def onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Multiply with oneDNN, also on a processor on which TensorFlow's own product is faster."""
    import tensorflow as tf

    from keras_s2s import keras_private
    from keras_s2s.layers import products

    ones = tf.ones([2, 2])
    try:
        tf.function(keras_private.onednn_product, autograph=False)(ones, ones)
    except (tf.errors.OpError, AttributeError, RuntimeError, ValueError):
        pytest.skip("this TensorFlow has no oneDNN")
    monkeypatch.setattr(products, "uses_onednn", lambda: True)


@pytest.hookimpl(tryfirst=True)  # before `-m 'not slow'` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the parameter sets of a `sampled(n)` test slow, except `n` of them."""
    tests = collections.defaultdict(list)
    for item in items:
        if item.get_closest_marker("sampled"):
            tests[item.nodeid.partition("[")[0]].append(item)
    for sets in tests.values():
        mark = sets[0].get_closest_marker("sampled")
        assert mark is not None
        for item in _without_sample(sets, *mark.args):
            item.add_marker(pytest.mark.slow)


def _without_sample(sets: list[pytest.Item], size: int) -> list[pytest.Item]:
    """Return the parameter sets that are not in the sample.

    The sample is chosen one set at a time: the first with the most values that no chosen set has,
    then the most pairs of values. A sample that is large enough has every value.
    """
    left, seen = list(sets), set[object]()
    for _ in range(min(size, len(sets))):
        chosen = max(left, key=lambda item: [len(new - seen) for new in _values_and_pairs(item)])
        seen = seen.union(*_values_and_pairs(chosen))
        left.remove(chosen)
    return left


def _values_and_pairs(item: pytest.Item) -> tuple[set[object], set[object]]:
    """Return the parameters with their values, and all pairs of these."""
    values = sorted(item.callspec.indices.items())  # type: ignore[attr-defined]
    return set(values), {(a, b) for i, a in enumerate(values) for b in values[:i]}
