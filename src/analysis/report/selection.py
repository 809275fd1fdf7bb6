"""The numbers behind the improvement figures: what is left when predictions prune, by method over seeds. No drawing.

n architectures. Accuracies are fractions in [0, 1]; an improvement is 0 for the mean of all and 1 for the best of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from src.analysis.improvement import improvement_curve, tau_of_best
from src.analysis.report.findings import LEFT, counts, known_scores
from src.analysis.report.groups import Group
from src.analysis.report.runs import Run

KEPT = ["left", "mean", "low", "high", "improvement", "improvement_low", "improvement_high", "seeds"]
BEST = ["left", "tau", "tau_low", "tau_high", "seeds"]

POINTS = 200
"""Points of a curve: more cannot be told apart, and a page with n = 15,625 of them would be slow."""

FEW = 3
"""Up to so many seeds, shades go from the lowest to the highest; from more on, one standard deviation to each side."""


@dataclass(frozen=True)
class Selection:
    """What predictions are worth to somebody who prunes by them, one comparison under one batch-norm protocol."""

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
    """Read from the finished runs."""
    kept = {method: kept_curve(runs, bn) for method, runs in group.methods.items()}
    best = {method: best_curve(runs, bn) for method, runs in group.methods.items()}
    return Selection(kept, best, counted_curves(group, bn), _ends(group, bn))


def _ends(group: Group, bn: str) -> tuple[float, float] | None:
    truths = [table["truth"] for run in group.runs if len(table := known_scores(run, bn))]
    found = [(float(truth.mean()), float(truth.max())) for truth in truths]
    return found[0] if found and found[0][0] < found[0][1] and np.allclose(found, found[0], rtol=1e-9) else None


def kept_curve(runs: Sequence[Run], bn: str) -> pd.DataFrame:
    """Columns KEPT, left falling: mean truth of the architectures left, and their improvement, mean over seeds."""
    curves = [curve for run in runs if len(curve := _kept(run, bn))]
    if not curves:
        return pd.DataFrame(columns=KEPT, dtype=float)
    mean, improvement = (_over_seeds(curves, column) for column in ("mean", "improvement"))
    improvement = improvement.rename(columns={part: f"improvement_{part}" for part in ("low", "high")})
    return mean.merge(improvement.rename(columns={"mean": "improvement"}).drop(columns="seeds"), on="left")[KEPT]


def best_curve(runs: Sequence[Run], bn: str) -> pd.DataFrame:
    """Columns BEST, left falling: tau over the `left` truly best architectures, mean over seeds."""
    curves = [curve for run in runs if len(curve := _best(run, bn))]
    if not curves:
        return pd.DataFrame(columns=BEST, dtype=float)
    found = _over_seeds(curves, "tau").rename(columns={"mean": "tau", "low": "tau_low", "high": "tau_high"})
    return found[BEST].dropna(subset="tau")


def counted_curves(group: Group, bn: str) -> dict[str, pd.DataFrame]:
    """Columns left, mean, improvement by name of what is counted, for the architectures of the first run with truth."""
    for run in group.runs:
        if len(table := known_scores(run, bn)):
            return {name: thinned(improvement_curve(c, table["truth"])) for name, c in counts(table).items()}
    return {}


@cache
def _kept(run: Run, bn: str) -> pd.DataFrame:
    table = known_scores(run, bn)
    return thinned(improvement_curve(table["accuracy"], table["truth"]))


@cache
def _best(run: Run, bn: str) -> pd.DataFrame:
    """`tau_of_best` spaces its points evenly: it is asked again for the best tenth, and for the best tenth of that."""
    table, found = known_scores(run, bn), []
    while len(table):
        found.append(tau_of_best(table["accuracy"], table["truth"], POINTS))
        tenth = table.nlargest(len(table) // 10, "truth", keep="all")
        table = tenth if POINTS < len(table) > len(tenth) else table[:0]
    whole = pd.concat(found) if found else pd.DataFrame(columns=["left", "tau"], dtype=float)
    return thinned(whole.drop_duplicates("left").sort_values("left", ascending=False, ignore_index=True))


def thinned(curve: pd.DataFrame, points: int = POINTS) -> pd.DataFrame:
    """At most `points` + 1 rows, evenly spaced on a logarithmic scale of `left`, which falls; the last few all stay."""
    if len(curve) <= points:
        return curve
    left = curve["left"].to_numpy()[::-1]
    wanted = np.append(np.geomspace(left[0], left[-1], points).round(), LEFT)
    kept = np.unique(np.searchsorted(left, wanted).clip(max=len(left) - 1))
    return curve.iloc[(len(left) - 1 - kept)[::-1]].reset_index(drop=True)


def _over_seeds(curves: Sequence[pd.DataFrame], column: str) -> pd.DataFrame:
    """Columns left (falling), mean, low, high, seeds of `column`."""
    values = pd.concat(curves).groupby("left")[column]
    mean, sd, few = values.mean(), values.std(), values.size() <= FEW
    low, high = values.min().where(few, mean - sd), values.max().where(few, mean + sd)
    found = pd.DataFrame({"mean": mean, "low": low, "high": high, "seeds": values.size()})
    return found.reset_index().sort_values("left", ascending=False, ignore_index=True)
