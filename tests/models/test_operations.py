"""Number of operations of a training step on a GPU, which determines its time."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A few more than there are, so that what doubles them fails.
MOST = {
    ("plain", "float32"): 360,
    ("plain", "mixed_bfloat16"): 395,
    ("plain", "mixed_float16"): 475,
    ("Luong", "float32"): 465,
    ("Luong, dropout", "float32"): 640,
}


@pytest.fixture
def count(monkeypatch):
    """Count the operations of a configuration, as the benchmark does."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import operations

    return lambda name, **kwargs: operations.count_operations(
        operations.make_model(**operations.CONFIGURATIONS[name], **kwargs)
    )


@pytest.mark.parametrize(("name", "policy"), MOST)
@pytest.mark.sampled(3)
def test_a_step_on_a_gpu_has_few_operations(name, policy, count):
    counted = count(name, policy=policy)
    assert counted["CudnnRNNV3"] == counted["CudnnRNNBackpropV3"] >= 2
    assert 200 < counted.total() <= MOST[name, policy]


def test_more_layers_add_few_operations(count):
    """Adjacent layers are computed by one operation."""
    two, four = (count("plain", num_layers=layers) for layers in (2, 4))
    assert four["CudnnRNNV3"] == two["CudnnRNNV3"] == 2
    assert four.total() - two.total() <= 120
