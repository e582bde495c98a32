"""How far two float32 computations of one number may lie apart: one rule for the suite.

What must be equal is compared to the bit: ids, texts, lengths, masks. A figure that is computed
twice is compared relative to its size. A sum of n products in another order, or with fused
multiply-add, moves by at most about n units of rounding of the sum of magnitudes (Higham, Accuracy
and Stability of Numerical Algorithms, 2002, section 3.1), and processors choose the order by their
vector width. The models of the suite sum some tens of products for each logit and some tens of
logits for each score, so a figure may move by some tens of units on one path, and by more where
another runtime computes it with other kernels for exp, tanh and the matrix products.
"""

from __future__ import annotations

from typing import Any

import numpy as np

UNIT = 2.0**-24  # half the distance from 1 to the next float32

ONE_PATH = 32 * UNIT  # 1.9e-6: the same operations in another order
TWO_RUNTIMES = 160 * UNIT  # 9.5e-6: other kernels


def assert_close(actual: Any, expected: Any, limit: float = ONE_PATH, *, message: str = "") -> None:
    """Compare figures but for rounding: |actual - expected| <= limit * (1 + |expected|).

    Args:
        actual: figures of any shape.
        expected: figures of the same shape.
        limit: `ONE_PATH` or `TWO_RUNTIMES`.
        message: what is compared.
    """
    np.testing.assert_allclose(actual, expected, rtol=limit, atol=limit, err_msg=message)
