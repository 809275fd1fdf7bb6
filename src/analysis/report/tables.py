"""FairNAS Table 3 from finished runs: one row per method, mean over seeds, beside what counting alone reaches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from src.analysis.report.curves import run_spread
from src.analysis.report.findings import across_seeds, known_scores, mean_and_sd, protocols, ranking, top_ten
from src.analysis.report.groups import Group
from src.analysis.report.runs import Run

BASELINE = ["name", "tau", "tau_low", "tau_high", "improvement_at_10"]


def method_rows(group: Group, bn: str) -> pd.DataFrame:
    """One row per method. Means and standard deviations are over seeds; tau_low, tau_high: 95 % t interval of the mean,
    as far as it lies in [-1, 1]; of a single seed, the bootstrap interval over architectures.

    tau_difference: tau minus that of `reference`, paired by seed. nan stands for what is not known, such as a standard
    deviation of one seed.
    """
    rows = [_method_row(method, runs, bn) for method, runs in group.methods.items()]
    for row, (method, runs) in zip(rows, group.methods.items(), strict=True):
        row["reference"] = group.reference(method)
        row |= _paired(_taus_by_seed(runs, bn), _taus_by_seed(group.methods.get(row["reference"] or "", []), bn))
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
        **mean_and_sd("accuracy", accuracy),
        **{f"tau{part}": min(max(value, -1.0), 1.0) for part, value in tau.items()},
        "spearman": across_seeds([found["spearman"]["value"] for found in rankings])[""],
        **mean_and_sd("improvement_at_10", [found["improvement_at_10"] for found in rankings]),
        **mean_and_sd("precision_at_10", [top_ten(found, "precision") for found in rankings]),
        **_gap(finished, bn),
        "architectures": rankings[0]["n"] if rankings else math.nan,
        "count_spread": across_seeds([_final_spread(run) for run in finished])[""],
    }


def _gap(runs: Sequence[Run], bn: str) -> dict[str, float]:
    """The supernet accuracy gap (FairNAS 4.5) |range(one-shot) - range(alone)|, both ranges over the same networks."""
    known = [table for run in runs if len(table := known_scores(run, bn))]
    one_shot, alone = (np.array([np.ptp(table[name]) for table in known]) for name in ("accuracy", "truth"))
    figures = {"one_shot_range": one_shot, "alone_range": alone, "gap": np.abs(one_shot - alone)}
    return {key: value for name, each in figures.items() for key, value in mean_and_sd(name, each.tolist()).items()}


def _extremes(name: str, values: Sequence[float | None]) -> dict[str, float]:
    known = [value for value in values if value is not None]
    return {f"{name}_min": min(known, default=math.nan), f"{name}_max": max(known, default=math.nan)}


def _final_spread(run: Run) -> float | None:
    """The count spread at the end: from the result, or from the last counts."""
    stored = (run.result or {}).get("count_spread")
    table = run_spread(run) if stored is None else pd.DataFrame()
    return float(stored) if stored is not None else float(table["spread"].iloc[-1]) if len(table) else None


def baseline_rows(group: Group, bn: str) -> pd.DataFrame:
    """What each count per architecture reaches: columns BASELINE; tau_low, tau_high: bootstrap over architectures.

    Means over the runs, which agree where all scored the same paths. The noise ceiling, without interval, comes last.
    """
    found = [stored for run in group.runs if (stored := ranking(run, bn))]
    names = dict.fromkeys(name for stored in found for name in stored["baselines"])
    rows = [_baseline_row(name, found) for name in names]
    ceilings = [run.result["ceiling"] for run in group.runs if run.result and run.result.get("ceiling") is not None]
    if ceilings:
        rows.append({"name": "ceiling", "tau": float(np.mean(ceilings))})
    return pd.DataFrame(rows, columns=BASELINE)


def _baseline_row(name: str, rankings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    taus = [found["baselines"].get(name) or {} for found in rankings]
    low, high = (across_seeds([tau.get(part) for tau in taus])[""] for part in ("low", "high"))
    at_10 = across_seeds([found["baselines_at_10"].get(name) for found in rankings])[""]
    tau = across_seeds([tau.get("value") for tau in taus])[""]
    return {"name": name, "tau": tau, "tau_low": low, "tau_high": high, "improvement_at_10": at_10}


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
        **{f"tau{part}": tau.get(key) for part, key in (("", "value"), ("_low", "low"), ("_high", "high"))},
        **{name: (found.get(name) or {}).get("value") for name in ("spearman", "pearson")},
        "improvement_at_10": found.get("improvement_at_10"),
        **{f"{name}_at_10": top_ten(found, name) for name in ("precision", "best_rank") if found},
        **{name: value for name, value in _gap([run], bn).items() if not name.endswith("_sd")},
        **{f"tau_{name}": (e or {}).get("value") for name, e in found.get("baselines", {}).items()},
        **{f"improvement_at_10_{name}": value for name, value in found.get("baselines_at_10", {}).items()},
        "ceiling": result.get("ceiling"),
    }
