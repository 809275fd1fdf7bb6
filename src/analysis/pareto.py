"""Pareto fronts and their hypervolume, of minimised values.

n paths, K objectives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pymoo.indicators.hv import HV
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting


def between(values: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (n, K) with `low` at 0 and `high` at 1; an objective of one value only counts as its best."""
    return (values - low) / np.where(high > low, high - low, 1.0)


REFERENCE = 1.1
"""Reference point of hypervolumes on objectives scaled to [0, 1]: a little beyond the worst, or the extremes of a
front, such as the most accurate network where that is the dearest, would count for nothing."""


def front(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows of minimised values (n, K) that no other row dominates, in order; of equal rows all."""
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    return np.sort(NonDominatedSorting().do(values, only_non_dominated_front=True))


def hypervolume(scaled: NDArray[np.float64]) -> float:
    """Share of the cube [0, REFERENCE]^K that rows (n, K) dominate; rows beyond it count for nothing."""
    inside = scaled[(scaled < REFERENCE).all(1)]
    if not len(inside):
        return 0.0
    reference = np.full(scaled.shape[1], REFERENCE)
    return float(HV(ref_point=reference)(inside)) / REFERENCE ** scaled.shape[1]
