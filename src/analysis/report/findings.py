"""What the finished runs found, in one form whatever version of the code stored it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from src.analysis.improvement import improvement_at, top
from src.analysis.ranking import summary
from src.analysis.report.curves import protocol_scores
from src.analysis.report.runs import Run

COUNTED = ("params", "macs")
"""Columns of scores.csv that serve as baselines where a run stored no ranking of its own."""

LEFT = 10
"""Architectures left, at which improvements are compared: with fewer it is noise (inter-choice weights, appendix E)."""


def protocols(runs: Sequence[Run]) -> list[str]:
    """The batch-norm protocols that any finished run was scored under."""
    finished = [run for run in runs if run.finished]
    stored = {bn for run in finished for key in ("scores", "ranking") for bn in (run.result or {}).get(key, {})}
    return sorted(stored.union(*(run.scores["bn"].dropna() for run in finished)))


@cache
def ranking(run: Run, bn: str) -> dict[str, Any] | None:
    """The ranking a finished run stored, or else the one that its scores.csv gives; None without ground truth."""
    stored = (run.result or {}).get("ranking", {}).get(bn)
    table = known_scores(run, bn)
    if stored is not None:
        return _todays(stored, table)
    if table.empty:
        return None
    return summary(table["accuracy"].to_numpy(float), table["truth"].to_numpy(float), counts(table), seed=run.seed)


def known_scores(run: Run, bn: str) -> pd.DataFrame:
    """The rows of scores.csv whose truth is known; none of a run that is not finished."""
    return protocol_scores(run, bn).dropna(subset=["truth", "accuracy"])[: None if run.finished else 0]


def counts(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """What was counted of each architecture (n,), by name, where it is known of all."""
    return {name: table[name].to_numpy(float) for name in COUNTED if table[name].notna().all()}


def _todays(stored: Mapping[str, Any], table: pd.DataFrame) -> dict[str, Any]:
    """An older ranking with what it lacks: intervals of rho and r stay unknown, the rest comes from `table`."""
    plain = {key: stored.get(key) for key in ("spearman", "pearson")}
    whole = {k: v if isinstance(v, Mapping) else {"value": v, "low": None, "high": None} for k, v in plain.items()}
    found = {**stored, **whole}
    if "improvement_at_10" not in found:
        found |= _selection(table) if len(table) else {"top": [], "improvement_at_10": None, "baselines_at_10": {}}
    return found


def _selection(table: pd.DataFrame) -> dict[str, Any]:
    accuracy, truth = table["accuracy"].to_numpy(float), table["truth"].to_numpy(float)
    at_10 = {name: improvement_at(count, truth, LEFT) for name, count in counts(table).items()}
    return {
        "top": top(accuracy, truth),
        "improvement_at_10": improvement_at(accuracy, truth, LEFT),
        "baselines_at_10": at_10,
    }


def top_ten(found: Mapping[str, Any], figure: str) -> float | None:
    """`precision` or `best_rank` of the ten predicted best; None if fewer than ten were ranked."""
    return next((best[figure] for best in found["top"] if best["k"] == 10), None)


def across_seeds(values: Sequence[float | None]) -> dict[str, float]:
    """Mean (key ""), standard deviation (_sd) and 95 % t interval of the mean (_low, _high) of the known values."""
    known = np.array([value for value in values if value is not None and not math.isnan(value)], dtype=float)
    if len(known) == 0:
        return dict.fromkeys(("", "_sd", "_low", "_high"), math.nan)
    mean, sd = float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else math.nan
    half = float(stats.t.ppf(0.975, len(known) - 1)) * sd / math.sqrt(len(known)) if len(known) > 1 else math.nan
    return {"": mean, "_sd": sd, "_low": mean - half, "_high": mean + half}


def mean_and_sd(name: str, values: Sequence[float | None]) -> dict[str, float]:
    """The first two figures of `across_seeds` as columns of a row."""
    found = across_seeds(values)
    return {name: found[""], f"{name}_sd": found["_sd"]}
