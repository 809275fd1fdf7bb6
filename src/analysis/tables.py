"""FairNAS Table 3 from finished runs: one row per method, mean over seeds, beside what counting alone reaches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from src.analysis.curves import protocol_scores, run_spread
from src.analysis.groups import Group
from src.analysis.ranking import summary
from src.analysis.runs import Run

REFERENCE = "strict_fair"
"""The method that the others' taus are subtracted from."""

COUNTED = ("params", "macs")
"""Columns of scores.csv that serve as baselines where a run stored no ranking of its own."""


def protocols(runs: Sequence[Run]) -> list[str]:
    """The batch-norm protocols that any finished run was scored under."""
    finished = [run for run in runs if run.finished]
    stored = {bn for run in finished for key in ("scores", "ranking") for bn in (run.result or {}).get(key, {})}
    return sorted(stored.union(*(run.scores["bn"].dropna() for run in finished)))


@cache
def ranking(run: Run, bn: str) -> dict[str, Any] | None:
    """The ranking a finished run stored, or else the one that its scores.csv gives; None without ground truth."""
    stored = (run.result or {}).get("ranking", {}).get(bn)
    table = protocol_scores(run, bn) if stored is None and run.finished else run.scores[:0]
    known = table.dropna(subset=["truth", "accuracy"])
    if stored or known.empty:
        return stored
    baselines = {name: known[name].to_numpy(float) for name in COUNTED if known[name].notna().all()}
    return summary(known["accuracy"].to_numpy(float), known["truth"].to_numpy(float), baselines, seed=run.seed)


def method_rows(group: Group, bn: str) -> pd.DataFrame:
    """One row per method. Means and standard deviations are over seeds; tau_low, tau_high: 95 % t interval of the mean,
    as far as it lies in [-1, 1]; of a single seed, the bootstrap interval over architectures.

    tau_difference: tau minus that of strict fairness, paired by seed. nan stands for what is not known, such as a
    standard deviation of one seed.
    """
    rows = [_method_row(method, runs, bn) for method, runs in group.methods.items()]
    reference = _taus_by_seed(group.methods.get(REFERENCE, []), bn)
    for row, runs in zip(rows, group.methods.values(), strict=True):
        row |= _paired(_taus_by_seed(runs, bn), reference if row["method"] != REFERENCE else {})
    return pd.DataFrame(rows)


def _taus_by_seed(runs: Sequence[Run], bn: str) -> dict[int, float]:
    found = {run.seed: stored["tau"]["value"] for run in runs if run.finished and (stored := ranking(run, bn))}
    return {seed: tau for seed, tau in found.items() if tau is not None}


def _paired(taus: Mapping[int, float], reference: Mapping[int, float]) -> dict[str, float]:
    """Mean difference to the reference over the seeds that both have, with its 95 % t interval."""
    differences = across_seeds([taus[seed] - reference[seed] for seed in sorted(taus.keys() & reference.keys())])
    return {f"tau_difference{part}": value for part, value in differences.items() if part != "_sd"}


def _method_row(method: str, runs: Sequence[Run], bn: str) -> dict[str, Any]:
    finished = [run for run in runs if run.finished]
    results = [run.result for run in finished if run.result]
    accuracy = [result.get("scores", {}).get(bn, {}).get("accuracy_mean") for result in results]
    rankings = [found for run in finished if (found := ranking(run, bn))]
    tau = across_seeds([found["tau"]["value"] for found in rankings])
    if len(rankings) == 1 and rankings[0]["tau"]["value"] is not None:
        tau |= {"_low": rankings[0]["tau"]["low"], "_high": rankings[0]["tau"]["high"]}
    return {
        "method": method,
        "seeds": len(finished),
        "running": len(runs) - len(finished),
        **_extremes("steps", [result.get("steps") for result in results]),
        **_extremes("backward_passes", [result.get("backward_passes") for result in results]),
        **{f"accuracy{part}": value for part, value in across_seeds(accuracy).items() if part in ("", "_sd")},
        **{f"tau{part}": min(max(value, -1.0), 1.0) for part, value in tau.items()},
        "spearman": across_seeds([found["spearman"] for found in rankings])[""],
        "architectures": rankings[0]["n"] if rankings else math.nan,
        "count_spread": across_seeds([_final_spread(run) for run in finished])[""],
    }


def across_seeds(values: Sequence[float | None]) -> dict[str, float]:
    """Mean (key ""), standard deviation (_sd) and 95 % t interval of the mean (_low, _high) of the known values."""
    known = np.array([value for value in values if value is not None], dtype=float)
    if len(known) == 0:
        return dict.fromkeys(("", "_sd", "_low", "_high"), math.nan)
    mean, sd = float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else math.nan
    half = float(stats.t.ppf(0.975, len(known) - 1)) * sd / math.sqrt(len(known)) if len(known) > 1 else math.nan
    return {"": mean, "_sd": sd, "_low": mean - half, "_high": mean + half}


def _extremes(name: str, values: Sequence[float | None]) -> dict[str, float]:
    known = [value for value in values if value is not None]
    return {f"{name}_min": min(known, default=math.nan), f"{name}_max": max(known, default=math.nan)}


def _final_spread(run: Run) -> float | None:
    """The count spread at the end: from the result, or from the last counts."""
    stored = (run.result or {}).get("count_spread")
    table = run_spread(run) if stored is None else pd.DataFrame()
    return float(stored) if stored is not None else float(table["spread"].iloc[-1]) if len(table) else None


def baseline_rows(group: Group, bn: str) -> pd.DataFrame:
    """What each count per architecture reaches: columns name, tau, tau_low, tau_high (bootstrap over architectures).

    Means over the runs, which agree where all scored the same paths. The noise ceiling, without interval, comes last.
    """
    found = [stored for run in group.runs if (stored := ranking(run, bn))]
    names = dict.fromkeys(name for stored in found for name in stored["baselines"])
    rows = [_baseline_row(name, [stored["baselines"].get(name) or {} for stored in found]) for name in names]
    ceilings = [run.result["ceiling"] for run in group.runs if run.result and run.result.get("ceiling") is not None]
    if ceilings:
        rows.append({"name": "ceiling", "tau": float(np.mean(ceilings)), "tau_low": math.nan, "tau_high": math.nan})
    return pd.DataFrame(rows, columns=["name", "tau", "tau_low", "tau_high"])


def _baseline_row(name: str, estimates: Sequence[Mapping[str, float | None]]) -> dict[str, Any]:
    means = {part: across_seeds([e.get(part) for e in estimates])[""] for part in ("value", "low", "high")}
    return {"name": name, "tau": means["value"], "tau_low": means["low"], "tau_high": means["high"]}


def long_rows(group: Group) -> list[dict[str, Any]]:
    """One flat row per run and batch-norm protocol (one with an empty protocol for a run still going)."""
    return [
        _long_row(group, method, run, bn)
        for method, runs in group.methods.items()
        for run in runs
        for bn in (protocols([run]) or [""])
    ]


def _long_row(group: Group, method: str, run: Run, bn: str) -> dict[str, Any]:
    result, found = run.result or {}, ranking(run, bn) or {}
    scores, tau = result.get("scores", {}).get(bn, {}), found.get("tau", {})
    last = run.metrics["step"].max() if len(run.metrics) else 0
    return {
        "comparison": group.title,
        "method": method,
        "seed": run.seed,
        "state": "finished" if run.finished else "running",
        "run": run.name,
        "commit": " ".join(run.commits),
        "steps": result.get("steps", last),
        **{name: result.get(name) for name in ("epochs", "backward_passes", "wall_seconds", "count_spread")},
        "bn": bn,
        **{
            name: scores.get(name)
            for name in ("paths", "accuracy_mean", "accuracy_std", "accuracy_min", "accuracy_max")
        },
        "tau": tau.get("value"),
        "tau_low": tau.get("low"),
        "tau_high": tau.get("high"),
        "spearman": found.get("spearman"),
        "pearson": found.get("pearson"),
        **{f"tau_{name}": (e or {}).get("value") for name, e in found.get("baselines", {}).items()},
        "ceiling": result.get("ceiling"),
    }
