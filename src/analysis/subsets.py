"""Rankings among the good: a prediction that tells bad from good may still not order the good."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from src.analysis.ranking import summary

FEWEST = 3
"""Of two architectures every ranking is perfect or reversed."""


def truth_subsets(truth: ArrayLike, at_least: float | None = None) -> dict[str, NDArray[np.bool_]]:
    """Masks (n,) of the known truths: all, the best ceil(10 %) with all that ties with the last of them, and, if given,
    those that reach `at_least`, a fraction as the truth is. A truth of nan is in none.
    """
    values = np.asarray(truth, dtype=float)
    known = ~np.isnan(values)
    ascending = np.sort(values[known])
    tenth = ascending[-math.ceil(len(ascending) / 10)] if len(ascending) else np.inf
    subsets = {"all": known, "top 10 %": values >= tenth}
    return subsets if at_least is None else {**subsets, f"accuracy >= {100 * at_least:g} %": values >= at_least}


def assess(
    table: pd.DataFrame,
    subsets: Mapping[str, NDArray[np.bool_]],
    score: str,
    baselines: Sequence[str],
    seed: int = 0,
) -> dict[str, Any]:
    """`ranking.summary` of the rows of each subset; of fewer than 3 known truths their number n alone.

    `table` has the columns truth, `score` (higher is better, but for "loss", which is negated here) and `baselines`.
    """
    return {name: _assess(table.loc[rows], score, baselines, seed) for name, rows in subsets.items()}


def _assess(rows: pd.DataFrame, score: str, baselines: Sequence[str], seed: int) -> dict[str, Any]:
    """The summary of one subset."""
    n = int(rows["truth"].notna().sum())
    if n < FEWEST:
        return {"n": n}
    predicted = rows[score].to_numpy(float)
    counts = {name: rows[name].to_numpy(float) for name in baselines}
    return summary(-predicted if score == "loss" else predicted, rows["truth"].to_numpy(float), counts, seed)
