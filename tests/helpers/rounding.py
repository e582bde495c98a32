"""Tolerances for comparing two float32 computations of the same number, for the whole suite.

Ids, texts, lengths and masks are compared exactly. Numbers that are computed twice are compared
relative to their size. Summing n products in another order, or with fused multiply-add, changes the
result by at most about n rounding units of the sum of magnitudes (Higham, Accuracy and Stability of
Numerical Algorithms, 2002, section 3.1), and processors choose the order by their vector width. The
test models sum some tens of products per logit and some tens of logits per score. A number may
therefore differ by some tens of units on one path, and by more in another runtime with different
kernels for exp, tanh and matrix products.
"""

from __future__ import annotations

from typing import Any

import numpy as np

UNIT = 2.0**-24  # half the distance from 1 to the next float32

ONE_PATH = 32 * UNIT  # 1.9e-6: the same operations in another order
TWO_RUNTIMES = 160 * UNIT  # 9.5e-6: different kernels


def assert_close(actual: Any, expected: Any, limit: float = ONE_PATH, *, message: str = "") -> None:
    """Check that |actual - expected| <= limit * (1 + |expected|).

    Args:
        actual: Array of any shape.
        expected: Array of the same shape.
        limit: `ONE_PATH` or `TWO_RUNTIMES`. Defaults to `ONE_PATH`.
        message: Text for the error message. Defaults to "".
    """
    np.testing.assert_allclose(actual, expected, rtol=limit, atol=limit, err_msg=message)
