"""A few rows out of many, at equal distance over one of their columns (FairNAS sections 4.3.2 and B.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment


def evenly_spaced(values: Sequence[float], count: int) -> list[int]:
    """Indices of `count` distinct rows, in order of value, nearest to equally spaced targets from min to max.

    The rows of the smallest and of the largest value are among them; one row alone lies in the middle of the range. Of
    all sets of rows it is the one with the least sum of distances to the targets. Rows of no finite value are passed
    over; fewer than `count` rows are all taken.
    """
    table = np.asarray(values, dtype=float)
    known = np.flatnonzero(np.isfinite(table))
    if not len(known) or count < 1:
        return []
    low, high = table[known].min(), table[known].max()
    targets = np.linspace(low, high, count) if count > 1 else np.array([(low + high) / 2])
    _, columns = linear_sum_assignment(np.abs(targets[:, None] - table[known]))
    return sorted(known[columns].tolist(), key=lambda row: (table[row], row))
