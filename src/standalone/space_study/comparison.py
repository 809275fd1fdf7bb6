"""Statistics of an evaluation of Elite Spaces: errors of spaces, and of the networks picked in them.

Errors are shares of test images, differences Elite Space minus the other arm: below 0 the Elite Space is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from src.analysis.ranking import or_none
from src.analysis.report.over_seeds import over_seeds
from src.standalone.space_study.spaces import ARMS, ELITE, ELITE_UNCONDITIONED

SHOWN = 0.7
"""Standard deviations of single networks: a difference that 16 networks against 16 show one time in two."""


class Mean(NamedTuple):
    """A mean error, its standard error and the degrees of freedom of that."""

    value: float
    error: float
    freedom: float

    def over(self, unit: float) -> Mean:
        """The same in another unit."""
        return Mean(self.value / unit, self.error / unit, self.freedom)

    def record(self) -> dict[str, float | None]:
        """The mean with its 95 % t interval; no interval where nothing is known of the error."""
        if not self.error > 0:
            return {"value": or_none(self.value), "low": None, "high": None}
        half = float(stats.t.ppf(0.975, self.freedom)) * self.error
        return {"value": self.value, "low": self.value - half, "high": self.value + half}


def at_equal_cost(networks: pd.DataFrame, of: str) -> pd.DataFrame:
    """The table with a column `adjusted`: errors as they would be at the target, for arms lie to one side of it.

    The slope of the error over the logarithm of the cost is common to all spaces of a target and taken within them.
    Networks of no condition on their cost have none.
    """
    # distances from the target, and errors, each from the mean of its space
    x = pd.Series(np.log(networks[of] / networks["target"]), networks.index)
    near = networks["arm"] != ELITE_UNCONDITIONED
    groups = [networks["target"], networks["arm"], networks["space"]]
    inner, drop = x - x.groupby(groups).transform("mean"), networks["error"].groupby(groups).transform("mean")
    products = (inner * (networks["error"] - drop))[near].groupby(networks["target"]).sum()
    squares = inner.pow(2)[near].groupby(networks["target"]).sum()
    slopes = (products / squares.where(squares > 0)).fillna(0.0)
    # no slope where all networks of a target cost the same
    adjusted = networks["error"] - networks["target"].map(slopes) * x
    return networks.assign(adjusted=adjusted.where(near))


def space_rows(networks: pd.DataFrame) -> pd.DataFrame:
    """A row for each space of an arm: its networks' errors and costs. Searches that chose one space share a row."""
    groups = networks.groupby(["target", "arm", "space"], sort=False)
    rows = groups.agg(
        searches=("search", "nunique"),
        networks=("error", "size"),
        hits=("hits", "first"),
        macs=("macs", "mean"),
        params=("params", "mean"),
        error=("error", "mean"),
        error_sd=("error", "std"),
        adjusted=("adjusted", "mean"),
        adjusted_sd=("adjusted", "std"),
    )
    return rows.reset_index()


def arm_rows(spaces: pd.DataFrame, of: str) -> dict[str, dict[str, Any]]:
    """Each arm at one target: mean error, and how far the Elite Spaces lie below it, with a 95 % interval.

    Several distinct spaces of an arm are its sample; where it has one space, its networks are. An Elite Space without a
    network near the target is not among them. Its networks of any cost are paired with it by space.
    """
    rows: dict[str, dict[str, Any]] = {}
    elite = spaces[spaces["arm"] == ELITE]
    for arm in (arm for arm in ARMS if arm in set(spaces["arm"])):
        own = spaces[spaces["arm"] == arm]
        mean = mean_of(own, "error")
        rows[arm] = {
            "spaces": len(own),
            "networks": int(own["networks"].sum()),
            "hits": float(own["hits"].mean()),
            of: float(own[of].mean()),
            "error": mean.value,
            "standard_error": or_none(mean.error),
            "sd": or_none(deviation(own, "error")),
        }
        if arm == ELITE or elite.empty:
            continue
        if arm == ELITE_UNCONDITIONED and len(own) > 1:
            both = elite.merge(own, on="space")
            rows[arm]["difference"] = paired(both["error_x"] - both["error_y"])
            continue
        # as drawn, and at equal cost
        rows[arm]["difference"] = welch(mean_of(elite, "error"), mean).record()
        if arm != ELITE_UNCONDITIONED:
            rows[arm]["at_equal_cost"] = welch(mean_of(elite, "adjusted"), mean_of(own, "adjusted")).record()
        rows[arm]["worse_than_elite"] = int((own["error"] > elite["error"].mean()).sum())
    return rows


def over_targets(spaces: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Each arm over all targets: the mean of the differences at equal cost, in standard deviations of single networks.

    A target's deviation is that of networks within their space, over all arms near it. `verdict`: whether the interval
    lies within SHOWN of 0, outside, or neither.
    """
    rows: dict[str, dict[str, Any]] = {}
    targets = [table for _, table in spaces.groupby("target") if ELITE in set(table["arm"])]
    for arm in (arm for arm in ARMS if arm not in (ELITE, ELITE_UNCONDITIONED)):
        each = []
        for table in (table for table in targets if arm in set(table["arm"])):
            # in units that all arms of a target share
            unit = deviation(table[table["arm"] != ELITE_UNCONDITIONED], "adjusted")
            means = (mean_of(table[table["arm"] == name], "adjusted") for name in (ELITE, arm))
            each.append(welch(*means).over(unit))
        if not each:
            continue
        # targets are independent, and weigh the same
        mean = Mean(
            sum(one.value for one in each) / len(each),
            math.sqrt(sum(one.error**2 for one in each)) / len(each),
            satterthwaite(each),
        )
        record = mean.record()
        rows[arm] = {"targets": len(each), **record, "verdict": verdict(record)}
    return rows


def verdict(interval: Mapping[str, float | None]) -> str:
    """`equal`, `better`, `worse` or `undecided`, of an interval in standard deviations of single networks."""
    low, high = interval["low"], interval["high"]
    if low is None or high is None:
        return "undecided"
    if low > -SHOWN and high < SHOWN:
        return "equal"
    return "better" if high < 0 else "worse" if low > 0 else "undecided"


def deviation(spaces: pd.DataFrame, column: str) -> float:
    """Standard deviation of single networks within their space, pooled over spaces; nan of single networks alone."""
    # a space of one network says nothing of their spread
    freedom = spaces["networks"] - 1
    known = spaces[f"{column}_sd"].notna() & (freedom > 0)
    squares = (freedom * spaces[f"{column}_sd"] ** 2)[known].sum()
    return math.sqrt(squares / freedom[known].sum()) if known.any() else math.nan


def mean_of(spaces: pd.DataFrame, column: str) -> Mean:
    """The mean of a column of an arm, over its spaces, or over the networks of its only one."""
    values = spaces[column]
    if len(spaces) > 1:
        return Mean(float(values.mean()), float(values.std()) / math.sqrt(len(values)), len(values) - 1)
    count = int(spaces["networks"].iloc[0])
    return Mean(float(values.iloc[0]), float(spaces[f"{column}_sd"].iloc[0]) / math.sqrt(count), count - 1)


def welch(first: Mean, second: Mean) -> Mean:
    """first - second, with Welch's standard error."""
    both = (first, second)
    return Mean(first.value - second.value, math.hypot(first.error, second.error), satterthwaite(both))


def satterthwaite(means: Sequence[Mean]) -> float:
    """Degrees of freedom of a sum of independent means (Welch and Satterthwaite); nan without errors."""
    squares = [mean.error**2 for mean in means]
    parts = sum(square**2 / mean.freedom for square, mean in zip(squares, means, strict=True) if square > 0)
    return sum(squares) ** 2 / parts if parts > 0 else math.nan


def paired(differences: pd.Series[Any]) -> dict[str, float | None]:
    """The mean of paired differences with its 95 % t interval."""
    difference = over_seeds(differences)
    each = {"value": difference.mean, "low": difference.low, "high": difference.high}
    return {name: or_none(value) for name, value in each.items()}


def picked_rows(picked: pd.DataFrame, of: str) -> dict[str, dict[str, Any]]:
    """Each arm at one target: mean error of the networks picked, and the difference, paired by search."""
    rows: dict[str, dict[str, Any]] = {}
    # a column for each arm, nan where a search has no network there
    by_search = picked.pivot(index="search", columns="arm", values="error")
    for arm in (arm for arm in ARMS if arm in by_search):
        error = over_seeds(by_search[arm])
        searches, cost = int(by_search[arm].count()), float(picked[picked["arm"] == arm][of].mean())
        rows[arm] = {"searches": searches, of: cost, "error": error.mean, "sd": or_none(error.sd)}
        if arm != ELITE and ELITE in by_search:
            rows[arm]["difference"] = paired(by_search[ELITE] - by_search[arm])
    return rows


def picked_over_targets(picked: pd.DataFrame, spaces: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Each arm over all searches: the paired differences in standard deviations of single networks at their target."""
    # as the drawn networks of a target deviate
    units = {target: deviation(table, "error") for target, table in spaces.groupby("target")}
    scaled = picked.assign(error=picked["error"] / picked["target"].map(units))
    by_search = scaled.pivot(index="search", columns="arm", values="error")
    if ELITE not in by_search:
        return {}
    arms = [arm for arm in ARMS if arm in by_search and arm != ELITE]
    return {arm: paired(by_search[ELITE] - by_search[arm]) for arm in arms}
