"""Improvement curves: true accuracy of the architectures that a prediction keeps [paper: inter-choice weights, 3.4].

n architectures. Ties in a prediction count as the expectation over random orders of what is tied, never as file order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Vector = NDArray[np.float64]


def improvement_curve(prediction: ArrayLike, truth: ArrayLike) -> pd.DataFrame:
    """Columns left (n, ..., 1), mean: mean truth of those left when the predicted worst are pruned one by one, and
    improvement: that mean scaled so that 0 is the mean truth of all and 1 the best truth; nan if the truth is constant.
    """
    x, y = known(prediction, truth)
    _, group, sizes = np.unique(x, return_inverse=True, return_counts=True)
    expected = (np.bincount(group, weights=y) / sizes)[np.sort(group)[::-1]]  # from the best predicted on
    left = np.arange(1, len(y) + 1)
    mean = np.cumsum(expected) / left
    improvement = np.full(len(y), np.nan) if constant(y) else (mean - y.mean()) / (y.max() - y.mean())
    return pd.DataFrame({"left": left, "mean": mean, "improvement": improvement})[::-1].reset_index(drop=True)


def improvement_at(prediction: ArrayLike, truth: ArrayLike, left: int = 10) -> float:
    """The improvement with `left` >= 1 architectures left, in (-inf, 1]; 0, that of all n, if there are not so many."""
    if left < 1:
        raise ValueError(f"an improvement is that of at least one architecture left, not {left}")
    curve = improvement_curve(prediction, truth)
    return float(curve["improvement"].iloc[max(len(curve) - left, 0)]) if len(curve) else math.nan


def tau_of_best(prediction: ArrayLike, truth: ArrayLike, points: int = 200) -> pd.DataFrame:
    """Columns left (n, ..., 3 at the least) and tau: tau-b over the `left` truly best; nan if either is constant there.

    Up to `points` values of left. What is equally true stays or goes together, so left skips values that split ties.
    """
    x, y = known(prediction, truth)
    order = np.argsort(-y, kind="stable")
    x, y = x[order], y[order]
    cuts = np.linspace(len(y), 3, points).round().astype(int) if len(y) >= 3 else np.empty(0, dtype=int)
    left = np.unique(np.searchsorted(-y, -y[cuts - 1], side="right"))[::-1]  # each cut moves to the end of its ties
    return pd.DataFrame({"left": left, "tau": [float(stats.kendalltau(x[:k], y[:k]).statistic) for k in left]})


def top(prediction: ArrayLike, truth: ArrayLike) -> list[dict[str, Any]]:
    """Precision and best rank of the k predicted best, k = 1, 10, ceil(5 % of n) as far as k <= n, as JSON values.

    precision: the share of them whose truth reaches the k-th best truth. best_rank: the rank in the truth (1 = best,
    what is tied shares the best rank) of the best of them; a fraction if it depends on ties in the prediction. A
    constant prediction gives what chance gives; a constant truth has nothing to find, so both are None.
    """
    x, y = known(prediction, truth)
    names = [("1", 1), ("10", 10), ("5 %", math.ceil(len(y) / 20))]
    return [{"k": k, "name": name, **_best(x, y, k)} for name, k in names if 1 <= k <= len(y)]


def _best(x: Vector, y: Vector, k: int) -> dict[str, float | None]:
    """Precision and best rank of the k largest of x; those tied for the last places are drawn from at random."""
    if constant(y):
        return {"precision": None, "best_rank": None}
    # k places: all above the last predicted value have one, those equal to it share the rest
    last = np.sort(x)[-k]
    sure, tied = x > last, x == last
    places = k - int(sure.sum())
    # in expectation over the draws among the tied
    hit = y >= np.sort(y)[-k]
    ranks = stats.rankdata(-y, method="min")
    candidates = np.minimum(ranks[tied], ranks[sure].min(initial=len(y)))
    return {
        "precision": float((hit[sure].sum() + places * hit[tied].mean()) / k),
        "best_rank": _expected_smallest(candidates, places),
    }


def _expected_smallest(values: Vector, drawn: int) -> float:
    """Mean of the smallest of `drawn` of the g values, drawn without replacement: E = v_1 + sum (v_j+1 - v_j) P_j.

    P_j, the chance to draw none of the j smallest, is the product over i < j of (g - drawn - i) / (g - i).
    """
    ascending, g = np.sort(values), len(values)
    i = np.arange(g - 1)
    missed = np.cumprod(np.maximum(g - drawn - i, 0) / (g - i))
    return float(ascending[0] + np.diff(ascending) @ missed)


def known(prediction: ArrayLike, truth: ArrayLike) -> tuple[Vector, Vector]:
    """Both as float vectors (n,), without what has no truth; a prediction of nan becomes -inf, the worst."""
    x, y = np.asarray(prediction, dtype=float), np.asarray(truth, dtype=float)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"a ranking needs two vectors of equal length, not shapes {x.shape} and {y.shape}")
    kept = ~np.isnan(y)
    return np.where(np.isnan(x), -np.inf, x)[kept], y[kept]


def constant(values: NDArray[Any]) -> bool:
    """Whether there is no pair to order."""
    return len(values) < 2 or bool((values == values[0]).all())
