"""Self-consistency: supernets that differ in their seed alone predict alike [paper: inter-choice weights, 4.3].

S seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from src.analysis.ranking import Vector, pearson_r, spearman_rho, tau_b

MEASURES = {"tau": tau_b, "pearson": pearson_r, "spearman": spearman_rho}


def self_consistency(predictions: pd.DataFrame) -> dict[str, Any]:
    """Correlations of all S(S-1)/2 pairs of columns (seeds), over the n rows (architectures) known in all of them.

    Plain JSON values; mean, low and high, the smallest and largest pair, are over the pairs that have the figure. A
    seed that predicts the same for all has none: None.
    """
    rows = predictions.dropna()
    pairs = [
        {"seeds": [a, b], **_measures(rows[a].to_numpy(float), rows[b].to_numpy(float))}
        for a, b in combinations(rows.columns.tolist(), 2)
    ]
    spans = {name: _span([pair[name] for pair in pairs]) for name in MEASURES}
    return {"seeds": rows.shape[1], "n": len(rows), "pairs": pairs, **spans}


def _measures(x: Vector, y: Vector) -> dict[str, Any]:
    """Tau-b, Pearson's r and Spearman's rho, each in [-1, 1] or None."""
    measures = {name: measure(x, y) for name, measure in MEASURES.items()}
    return {name: None if math.isnan(value) else value for name, value in measures.items()}


def _span(values: Sequence[float | None]) -> dict[str, float | None]:
    """Mean, smallest and largest of the known values."""
    defined = [value for value in values if value is not None]
    if not defined:
        return dict.fromkeys(("mean", "low", "high"))
    return {"mean": float(np.mean(defined)), "low": min(defined), "high": max(defined)}
