"""FairNAS Table 3 from finished runs: one row per method, mean over seeds, beside the counting baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from src.analysis.report.beyond import beyond_sizes
from src.analysis.report.curves import run_spread
from src.analysis.report.explanation import measures
from src.analysis.report.groups import Group
from src.analysis.report.over_seeds import over_seeds
from src.analysis.report.rankings import (
    BOUNDS,
    known_scores,
    other_score,
    protocol_scores,
    protocols,
    ranking,
    tau_alone,
    top_ten,
)
from src.analysis.report.runs import TrainingRun
from src.analysis.report.together import together_columns

BASELINE = ["name", "tau", "tau_low", "tau_high", "improvement_at_10"]


def method_rows(group: Group, bn: str) -> pd.DataFrame:
    """One row per method. Means and standard deviations are over seeds; tau_low, tau_high: 95 % t interval of the mean,
    as far as it lies in [-1, 1]; of a single seed, the bootstrap interval over architectures.

    tau is by the score that ranks the group, tau_by_other by the other score. tau_difference: tau minus that of
    `reference`, paired by seed. tau_above_count: tau minus that of the best counting baseline; its interval is the mean
    of the seeds' paired bootstraps over architectures, rather too wide for a mean over seeds. tau_together is that of
    the mean scores of all seeds. nan stands for what is not known, such as a standard deviation of one seed.
    """
    by = group.ranked_by
    taus = {method: taus_by_seed(runs, bn, by) for method, runs in group.methods.items()}
    count = best_count(baseline_rows(group, bn))
    rows = []
    for method, runs in group.methods.items():
        finished = [run for run in runs if run.finished]
        rankings = [summary for run in finished if (summary := ranking(run, bn, by))]
        tau = over_seeds(summary["tau"]["value"] for summary in rankings)
        columns = tau.columns("tau")
        # One seed has no interval over seeds: show that over architectures
        if len(rankings) == 1 and rankings[0]["tau"]["value"] is not None:
            columns |= {"tau_low": rankings[0]["tau"]["low"], "tau_high": rankings[0]["tau"]["high"]}
        # Differences are paired by seed, which takes the luck of the seed out of them
        reference = group.reference(method)
        against = taus.get(reference or "", {})
        common = sorted(taus[method].keys() & against.keys())
        difference = over_seeds(taus[method][seed] - against[seed] for seed in common).columns("tau_difference")
        rows.append(
            {
                "method": method,
                "seeds": len(finished),
                "running": len(runs) - len(finished),
                **extremes("steps", [run.costs["steps"] for run in finished]),
                **extremes("backward_passes", [run.costs["backward_passes"] for run in finished]),
                **over_seeds(protocol_scores(run, bn)["accuracy"].mean() for run in finished).mean_and_sd("accuracy"),
                **{name: min(max(value, -1.0), 1.0) for name, value in columns.items()},
                "ranked_by": by,
                "tau_by_other": over_seeds(tau_alone(run, bn, other_score(by)) for run in finished).mean,
                "tau_above_count": tau.mean - count["tau"] if count else math.nan,
                **above_count_bounds(rankings),
                **together_columns(finished, bn, by),
                "spearman": over_seeds(summary["spearman"]["value"] for summary in rankings).mean,
                **at_ten(rankings),
                **accuracy_gap(finished, bn),
                "architectures": rankings[0]["n"] if rankings else math.nan,
                "count_spread": over_seeds(final_spread(run) for run in finished).mean,
                "reference": reference,
                **{name: value for name, value in difference.items() if not name.endswith("_sd")},
            }
        )
    return pd.DataFrame(rows)


def at_ten(rankings: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Improvement at ten left, and the share of the ten predicted best that are truly best, as columns of a row."""
    improvement = over_seeds(summary["improvement_at_10"] for summary in rankings)
    precision = over_seeds(top_ten(summary, "precision") for summary in rankings)
    return improvement.mean_and_sd("improvement_at_10") | precision.mean_and_sd("precision_at_10")


def above_count_bounds(rankings: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean bounds of tau minus that of the best count; nan of results that do not have them."""
    stored = [summary.get("above_count") or {} for summary in rankings]
    whole = {"low", "high"} <= set.intersection(*(set(each) for each in stored)) if stored else False
    means = {bound: over_seeds(each[bound] for each in stored).mean if whole else math.nan for bound in ("low", "high")}
    return {f"tau_above_count_{bound}": mean for bound, mean in means.items()}


def taus_by_seed(runs: Sequence[TrainingRun], bn: str, by: str) -> dict[int, float]:
    """Kendall's tau of the finished runs by seed, without undefined ones."""
    taus = {run.seed: summary["tau"]["value"] for run in runs if run.finished and (summary := ranking(run, bn, by))}
    return {seed: tau for seed, tau in taus.items() if tau is not None}


def accuracy_gap(runs: Sequence[TrainingRun], bn: str) -> dict[str, float]:
    """The supernet accuracy gap (FairNAS 4.5) |range(one-shot) - range(alone)|, both ranges over the same networks."""
    known = [table for run in runs if len(table := known_scores(run, bn))]
    # Both ranges over the same networks, those whose truth is known
    one_shot, alone = (np.array([np.ptp(table[name]) for table in known]) for name in ("accuracy", "truth"))
    figures = {"one_shot_range": one_shot, "alone_range": alone, "gap": np.abs(one_shot - alone)}
    return {key: value for name, each in figures.items() for key, value in over_seeds(each).mean_and_sd(name).items()}


def extremes(name: str, values: Sequence[float | None]) -> dict[str, float]:
    """Smallest and largest known value as columns of a row."""
    known = [value for value in values if value is not None]
    return {f"{name}_min": min(known, default=math.nan), f"{name}_max": max(known, default=math.nan)}


def final_spread(run: TrainingRun) -> float | None:
    """The last recorded difference between the most and the least trained choice of a layer."""
    table = run_spread(run)
    return float(table["spread"].iloc[-1]) if len(table) else None


def baseline_rows(group: Group, bn: str) -> pd.DataFrame:
    """Counting baselines, the best first: columns BASELINE; tau_low, tau_high: bootstrap over architectures.

    Means over the runs, which agree where all scored the same paths. The noise ceiling, without interval, comes last.
    """
    summaries = [summary for run in group.runs if (summary := ranking(run, bn, group.ranked_by))]
    # All counts of the space, of runs from before it was stored parameters and multiply-adds alone
    names = dict.fromkeys(name for summary in summaries for name in summary["baselines"])
    rows: list[dict[str, Any]] = []
    for name in names:
        taus = [summary["baselines"].get(name) or {} for summary in summaries]
        parts = {"tau": "value", "tau_low": "low", "tau_high": "high"}
        means = {column: over_seeds(tau.get(part) for tau in taus).mean for column, part in parts.items()}
        at_10 = over_seeds(summary["baselines_at_10"].get(name) for summary in summaries).mean
        rows.append({"name": name, **means, "improvement_at_10": at_10})
    # The best count first: methods are compared with it
    rows.sort(key=lambda row: -math.inf if math.isnan(row["tau"]) else row["tau"], reverse=True)
    ceilings = [value for run in group.runs if (value := noise_ceiling(run)) is not None]
    if ceilings:
        rows.append({"name": "ceiling", "tau": float(np.mean(ceilings))})
    return pd.DataFrame(rows, columns=BASELINE)


def best_count(baselines: pd.DataFrame) -> Mapping[Any, Any] | None:
    """The counting baseline that orders the architectures best; None without truth."""
    known = baselines[baselines["name"] != "ceiling"].dropna(subset="tau")
    return None if known.empty else known.iloc[0].to_dict()


def noise_ceiling(run: TrainingRun) -> float | None:
    """Tau of one half of the truth's own runs against the other, over all architectures that were ranked."""
    stored = run.result.ceiling.get("all") if run.result and run.half is None else None
    return None if stored is None else float(stored["value"])


def long_rows(group: Group) -> list[dict[str, Any]]:
    """One flat row per run and batch-norm protocol (one with an empty protocol for a run still going)."""
    return [
        long_row(group, method, run, bn)
        for method, runs in group.methods.items()
        for run in runs
        for bn in (protocols([run]) or [""])
    ]


def long_row(group: Group, method: str, run: TrainingRun, bn: str) -> dict[str, Any]:
    """The row of one run under one protocol, as table.csv has it."""
    by = group.ranked_by
    summary = ranking(run, bn, by) or {}
    # Spread of the scores, from scores.csv, which runs of any age have
    accuracy, tau = protocol_scores(run, bn)["accuracy"], summary.get("tau", {})
    scored = {"paths": len(accuracy), "accuracy_mean": accuracy.mean(), "accuracy_std": accuracy.std(ddof=0)}
    scored |= {"accuracy_min": accuracy.min(), "accuracy_max": accuracy.max()}
    costs = run.costs
    return {
        "comparison": group.title,
        "method": method,
        "seed": run.seed,
        "state": "finished" if run.finished else "running",
        "run": run.name,
        "commit": " ".join(run.commits),
        "steps": costs["steps"] or 0,
        **{name: costs[name] if run.finished else None for name in ("epochs", "backward_passes", "wall_seconds")},
        "count_spread": final_spread(run) if run.finished else None,
        "bn": bn,
        **{name: value if len(accuracy) else None for name, value in scored.items()},
        "ranked_by": by,
        **{f"tau{part}": tau.get(key) for part, key in BOUNDS.items()},
        f"tau_by_{other_score(by)}": tau_alone(run, bn, other_score(by)),
        **{name: (summary.get(name) or {}).get("value") for name in ("spearman", "pearson")},
        **{f"tau_above_count{part}": (summary.get("above_count") or {}).get(key) for part, key in BOUNDS.items()},
        "improvement_at_10": summary.get("improvement_at_10"),
        **{f"{name}_at_10": top_ten(summary, name) for name in ("precision", "best_rank") if summary},
        **{name: value for name, value in accuracy_gap([run], bn).items() if not name.endswith("_sd")},
        **{f"tau_{name}": (e or {}).get("value") for name, e in summary.get("baselines", {}).items()},
        **{f"improvement_at_10_{name}": value for name, value in summary.get("baselines_at_10", {}).items()},
        **{f"{name}_{size}": value for size, each in beyond_sizes(run, bn, by).items() for name, value in each.items()},
        "ceiling": noise_ceiling(run),
        **measures(run),
    }
