"""Rankings among the good: a prediction that tells bad from good may still not order the good."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from src.analysis.additive import ADDITIVE
from src.analysis.beyond_counting import above_counting, beyond_counting
from src.analysis.ranking import plain, summary

SIZES = ("params", "macs")
"""Counts that are held fixed, to see what a prediction knows beyond them."""
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
    scores: Sequence[str],
    baselines: Sequence[str],
    seed: int = 0,
) -> dict[str, Any]:
    """{score: {subset: `ranking.summary` of its rows}}; of fewer than 3 known truths their number n alone.

    `table` has the columns truth, `baselines`, and accuracy, loss and `ADDITIVE` as far as `scores` needs them.
    """
    rankings: dict[str, Any] = {score: {} for score in scores}
    for name, mask in subsets.items():
        rows = table.loc[mask]
        truth = rows["truth"].to_numpy(float)
        counts = {count: rows[count].to_numpy(float) for count in baselines}
        counted: dict[str, Any] = {}
        for score in scores:
            n = int(rows["truth"].notna().sum())
            if n < FEWEST:
                rankings[score][name] = {"n": n}
                continue
            # Counts are bootstrapped with the first score alone: those of the others are the same.
            predicted = predictions(rows, score)
            whole = summary(predicted, truth, {} if counted else counts, seed)
            counted = counted or {key: whole[key] for key in ("baselines", "baselines_at_10")}
            sizes = {size: counts[size] for size in SIZES if size in counts}
            own = {"above_count": above_count(predicted, truth, counts, seed)}
            rankings[score][name] = whole | counted | own | {"beyond": beyond(predicted, truth, sizes, seed)}
    return rankings


def beyond(
    prediction: ArrayLike, truth: ArrayLike, sizes: Mapping[str, ArrayLike], seed: int
) -> dict[str, dict[str, Any]]:
    """{size: {partial, within_fifths}} of `beyond_counting` in plain JSON values."""
    return {
        name: {key: plain(each) for key, each in beyond_counting(prediction, truth, size, seed).items()}
        for name, size in sizes.items()
    }


def above_count(
    prediction: ArrayLike, truth: ArrayLike, counts: Mapping[str, ArrayLike], seed: int
) -> dict[str, Any] | None:
    """{count, value, low, high} of `above_counting` in plain JSON values; None without a count."""
    above = above_counting(prediction, truth, counts, seed)
    return None if above is None else {"count": above[0], **plain(above[1])}


def predictions(table: pd.DataFrame, score: str) -> NDArray[np.float64]:
    """Scores (n,) of a table's rows, higher is better, by one of run_folder.RANK_BY: accuracy, loss negated, column
    `ADDITIVE` negated, or the mean of both ranks negated.

    All nan where the table lacks a value of the score, as the loss of scores made elsewhere.
    """
    if score == "accuracy":
        return table["accuracy"].to_numpy(float)
    loss = table["loss"].to_numpy(float)
    if np.isnan(loss).any():
        return np.full(len(loss), np.nan)
    if score == "loss":
        return -loss
    if score == ADDITIVE:
        return -table[ADDITIVE].to_numpy(float)
    # Best first by both scores, rank 1 the best, so that the negated mean rank is the higher the better
    return -(table["loss"].rank() + (-table["accuracy"]).rank()).to_numpy(float) / 2
