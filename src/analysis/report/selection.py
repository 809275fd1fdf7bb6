"""Curves of what pruning by predictions keeps, by method over seeds, the data of the improvement figures.

n architectures. Accuracies are fractions in [0, 1]; an improvement is 0 for the mean of all and 1 for the best of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from src.analysis.improvement import improvement_curve, tau_of_best
from src.analysis.report.groups import Group
from src.analysis.report.rankings import LEFT, counts, known_scores
from src.analysis.report.runs import TrainingRun
from src.analysis.report.style import SCORES
from src.analysis.subsets import predictions

KEPT = ["left", "mean", "low", "high", "improvement", "improvement_low", "improvement_high", "seeds"]
BEST = ["left", "tau", "tau_low", "tau_high", "seeds"]

POINTS = 200
"""Points of a curve at most: more cannot be told apart, and a page with n = 15,625 of them would be slow."""

FEW = 3
"""Up to so many seeds, shades go from the lowest to the highest; from more on, one standard deviation to each side."""


@dataclass(frozen=True)
class Selection:
    """Pruning curves of one comparison under one batch-norm protocol."""

    kept: dict[str, pd.DataFrame]
    """Columns KEPT, by method; empty where no truth is known."""
    best: dict[str, pd.DataFrame]
    """Columns BEST, by method."""
    counted: dict[str, pd.DataFrame]
    """Columns left, mean, improvement: the same by counting, by name of what is counted."""
    ends: tuple[float, float] | None
    """Mean truth of all and best truth of all, the 0 and 1 of the improvement; None if runs differ in them."""
    score: str = "prediction"
    """Words for what orders the architectures: `one-shot loss (BN recalibrate)`."""

    @property
    def architectures(self) -> int:
        """n, the largest if runs differ in it; 0 without truth."""
        return int(max((curve["left"].max() for curve in self.kept.values() if len(curve)), default=0))


def selection(group: Group, bn: str) -> Selection:
    """Pruning curves of the finished runs, by the score that ranks the group."""
    by, runs = group.ranked_by, group.runs
    kept = {method: kept_curve(own, bn, by) for method, own in group.methods.items()}
    best = {method: best_curve(own, bn, by) for method, own in group.methods.items()}
    tables = [table for run in runs if len(table := known_scores(run, bn))]
    counted = counts(tables[0]) if tables else {}
    # All runs must agree on the mean and the best truth, or the improvement has no common scale
    ends = [(float(table["truth"].mean()), float(table["truth"].max())) for table in tables]
    agree = bool(ends) and ends[0][0] < ends[0][1] and np.allclose(ends, ends[0], rtol=1e-9)
    return Selection(
        kept,
        best,
        {name: thinned(improvement_curve(count, tables[0]["truth"])) for name, count in counted.items()},
        ends[0] if agree else None,
        f"{SCORES[by]} (BN {bn})",
    )


def kept_curve(runs: Sequence[TrainingRun], bn: str, by: str) -> pd.DataFrame:
    """Columns KEPT, left falling: mean truth of the architectures left, and their improvement, mean over seeds."""
    curves = [curve for run in runs if len(curve := kept_of_run(run, bn, by))]
    if not curves:
        return pd.DataFrame(columns=KEPT, dtype=float)
    # One table: seeds are those of both columns
    mean, improvement = (band_over_seeds(curves, column) for column in ("mean", "improvement"))
    improvement = improvement.rename(columns={part: f"improvement_{part}" for part in ("low", "high")})
    return mean.merge(improvement.rename(columns={"mean": "improvement"}).drop(columns="seeds"), on="left")[KEPT]


def best_curve(runs: Sequence[TrainingRun], bn: str, by: str) -> pd.DataFrame:
    """Columns BEST, left falling: tau over the `left` truly best architectures, mean over seeds."""
    curves = [curve for run in runs if len(curve := best_of_run(run, bn, by))]
    if not curves:
        return pd.DataFrame(columns=BEST, dtype=float)
    band = band_over_seeds(curves, "tau").rename(columns={"mean": "tau", "low": "tau_low", "high": "tau_high"})
    return band[BEST].dropna(subset="tau")


@cache
def kept_of_run(run: TrainingRun, bn: str, by: str) -> pd.DataFrame:
    """One run's improvement curve, thinned; empty without truth or without the score."""
    table = known_scores(run, bn)
    predicted = predictions(table, by)
    if np.isnan(predicted).all():
        return pd.DataFrame(columns=["left", "mean", "improvement"], dtype=float)
    return thinned(improvement_curve(predicted, table["truth"]))


@cache
def best_of_run(run: TrainingRun, bn: str, by: str) -> pd.DataFrame:
    """Columns left, tau of one run, dense where few are left."""
    table = known_scores(run, bn)
    table = table.assign(predicted=predictions(table, by)).dropna(subset="predicted")
    parts = [pd.DataFrame(columns=["left", "tau"], dtype=float)] if table.empty else []
    # tau_of_best spaces its points evenly: it is asked again for the best tenth, and for the best tenth of that
    while len(table):
        parts.append(tau_of_best(table["predicted"], table["truth"], POINTS))
        tenth = table.nlargest(len(table) // 10, "truth", keep="all")
        table = tenth if POINTS < len(table) > len(tenth) else table[:0]
    return thinned(pd.concat(parts).drop_duplicates("left").sort_values("left", ascending=False, ignore_index=True))


def thinned(curve: pd.DataFrame, points: int = POINTS) -> pd.DataFrame:
    """At most `points` + 1 rows, evenly spaced on a logarithmic scale of `left`, which falls; the last few all stay."""
    if len(curve) <= points:
        return curve
    # Evenly spaced on the logarithmic axis that the curve is drawn on
    left = curve["left"].to_numpy()[::-1]
    wanted = np.append(np.geomspace(left[0], left[-1], points).round(), LEFT)
    kept = np.unique(np.searchsorted(left, wanted).clip(max=len(left) - 1))
    return curve.iloc[(len(left) - 1 - kept)[::-1]].reset_index(drop=True)


def band_over_seeds(curves: Sequence[pd.DataFrame], column: str) -> pd.DataFrame:
    """Mean and shade of `column` by architectures left: columns left (falling), mean, low, high, seeds."""
    values = pd.concat(curves).groupby("left")[column]
    # Two or three seeds have no standard deviation worth drawing: show the extremes instead
    mean, sd, few = values.mean(), values.std(), values.size() <= FEW
    low, high = values.min().where(few, mean - sd), values.max().where(few, mean + sd)
    band = pd.DataFrame({"mean": mean, "low": low, "high": high, "seeds": values.size()})
    return band.reset_index().sort_values("left", ascending=False, ignore_index=True)
