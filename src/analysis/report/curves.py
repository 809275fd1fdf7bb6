"""Curves and points of one method over its seeds, the data of the figures.

Accuracies are fractions in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from src.analysis.fairness import equal_count_probability, worst_spread
from src.analysis.report.rankings import protocol_scores
from src.analysis.report.runs import TrainingRun

CURVE = ["step", "passes", "mean", "low", "high", "seeds"]


def accuracy_curve(runs: Sequence[TrainingRun]) -> pd.DataFrame:
    """Mean one-shot accuracy of a fixed set of paths over training: columns CURVE, a row per recorded step.

    `mean` is over seeds; `low` and `high` lie one standard deviation over paths away (its mean over seeds), the
    shades of FairNAS Figure 1. `seeds` is how many runs have got that far.
    """
    # Most rows of metrics.csv are training steps without a validation
    rows = [run.metrics.dropna(subset=["supernet/accuracy_mean"]) for run in runs]
    steps = pd.concat(rows).astype(float).groupby("step") if any(map(len, rows)) else None
    if steps is None:
        return pd.DataFrame(columns=CURVE, dtype=float)
    mean, spread = steps["supernet/accuracy_mean"].mean(), steps["supernet/accuracy_std"].mean()
    passes = steps["train/backward_passes"].mean()
    # Shades stay within what an accuracy can be
    columns = {
        "passes": passes,
        "mean": mean,
        "low": (mean - spread).clip(0, 1),
        "high": (mean + spread).clip(0, 1),
        "seeds": steps.size(),
    }
    return pd.DataFrame(columns).reset_index()[CURVE]


def spread_curve(runs: Sequence[TrainingRun]) -> pd.DataFrame:
    """Count spread of the least even layer over training: columns CURVE; low and high are the extremes over seeds."""
    tables = [run_spread(run) for run in runs]
    if not any(map(len, tables)):
        return pd.DataFrame(columns=CURVE, dtype=float)
    steps = pd.concat(tables).groupby("step")["spread"]
    columns = {"mean": steps.mean(), "low": steps.min(), "high": steps.max(), "seeds": steps.size()}
    return pd.DataFrame(columns).reset_index().reindex(columns=CURVE)


def run_spread(run: TrainingRun) -> pd.DataFrame:
    """One run's count spread, columns step, spread: from counts.csv, or from metrics.csv where that is missing."""
    if len(run.counts):
        return worst_spread(run.counts)
    # Before its first counts are written a run has but its metrics
    logged = run.metrics[["step", "fairness/count_spread"]].dropna().astype(float)
    return logged.rename(columns={"fairness/count_spread": "spread"})


def importance_curve(runs: Sequence[TrainingRun], figure: str) -> pd.DataFrame:
    """A figure of importance.csv by epoch: columns epoch, mean, low, high; low and high are the extremes over seeds."""
    tables = [run.importance[run.importance["figure"] == figure] for run in runs]
    if not any(map(len, tables)):
        return pd.DataFrame(columns=["epoch", "mean", "low", "high"], dtype=float)
    epochs = pd.concat(tables).groupby("epoch")["value"]
    return pd.DataFrame({"mean": epochs.mean(), "low": epochs.min(), "high": epochs.max()}).reset_index()


def draw_shares(runs: Sequence[TrainingRun]) -> pd.DataFrame:
    """Shares of the operations in all draws of an epoch, all layers and seeds together: epoch by operation."""
    tables = [run.importance[run.importance["figure"] == "draws"] for run in runs]
    if not any(map(len, tables)):
        return pd.DataFrame()
    draws = pd.concat(tables).pivot_table(index="epoch", columns="name", values="value", aggfunc="sum", sort=False)
    return draws.div(draws.sum(axis=1), axis=0)


def pooled_accuracies(runs: Sequence[TrainingRun], bn: str) -> list[float]:
    """One-shot accuracies of all scored paths, the seeds' one after another."""
    return [float(value) for run in runs for value in protocol_scores(run, bn)["accuracy"].dropna()]


def scatter_points(runs: Sequence[TrainingRun], bn: str) -> pd.DataFrame:
    """One row per architecture with a known truth: columns arch, accuracy (one-shot, mean over seeds), truth."""
    tables = [table for run in runs if len(table := protocol_scores(run, bn).dropna(subset=["truth", "accuracy"]))]
    if not tables:
        return pd.DataFrame(columns=["arch", "accuracy", "truth"])
    return pd.concat(tables).groupby("arch")[["accuracy", "truth"]].mean().reset_index()


def lemma_curve(m: int, until: int = 120) -> pd.DataFrame:
    """Lemma 1 for m choices: columns n (multiples of m up to `until`), f."""
    n = list(range(m, until + 1, m))
    return pd.DataFrame({"n": n, "f": [equal_count_probability(m, trials) for trials in n]})
