"""Rankings of finished training runs: as stored in result.json, or else computed from scores.csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from src.analysis.ranking import summary, tau_b
from src.analysis.report.runs import TrainingRun
from src.analysis.subsets import predictions

if TYPE_CHECKING:
    from src.search_spaces.space import SearchSpace

COUNTED = ("params", "macs")
"""Columns of scores.csv that serve as baselines where a run stored no ranking of its own, beside its space's counts."""

BOUNDS = {"": "value", "_low": "low", "_high": "high"}
"""Endings of columns, and the parts of an estimate that they hold."""

LEFT = 10
"""Architectures left, at which improvements are compared: with fewer it is noise (inter-choice weights, appendix E)."""


def protocols(runs: Sequence[TrainingRun]) -> list[str]:
    """The batch-norm protocols that any finished run was scored under."""
    return sorted({bn for run in runs if run.finished for bn in run.scores["bn"].dropna()})


def protocol_scores(run: TrainingRun, bn: str) -> pd.DataFrame:
    """The run's rows of scores.csv under one batch-norm protocol."""
    return run.scores[run.scores["bn"] == bn]


def known_scores(run: TrainingRun, bn: str) -> pd.DataFrame:
    """The rows of scores.csv whose truth is known; none of a run that is not finished."""
    return protocol_scores(run, bn).dropna(subset=["truth", "accuracy"])[: None if run.finished else 0]


def other_score(score: str) -> str:
    """The score that is shown beside the one that ranks."""
    return "accuracy" if score == "loss" else "loss"


@cache
def ranking(run: TrainingRun, bn: str, score: str) -> dict[str, Any] | None:
    """analysis.ranking.summary of all scored paths; None without ground truth or score, and before the run's end."""
    # Intervals are bootstraps, seconds for a whole space: take what the run has stored
    stored = run.stored_ranking(bn, score)
    if "tau" in stored:
        return stored
    table = known_scores(run, bn)
    predicted = predictions(table, score)
    if table.empty or np.isnan(predicted).all():
        return None
    return summary(predicted, table["truth"].to_numpy(float), counted(run, table), seed=run.seed)


def tau_alone(run: TrainingRun, bn: str, score: str) -> float | None:
    """Kendall's tau by one score, without the intervals that make `ranking` slow; None where it is undefined."""
    stored = run.stored_ranking(bn, score)
    if "tau" in stored:
        value = stored["tau"]["value"]
        return None if value is None else float(value)
    table = known_scores(run, bn)
    predicted = predictions(table, score)
    if table.empty or np.isnan(predicted).all():
        return None
    tau = tau_b(predicted, table["truth"].to_numpy(float))
    return None if np.isnan(tau) else tau


def counts(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Counts (n,) of the architectures by name, where a count is known of all."""
    return {name: table[name].to_numpy(float) for name in COUNTED if table[name].notna().all()}


def counted(run: TrainingRun, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """`counts`, and those that the space of the run has beside them, such as blocks of expansion 3."""
    settings = run.config.get("search_space") or {}
    try:
        space: SearchSpace | None = instantiate(settings) if "_target_" in settings else None
    except InstantiationException:  # where torch is not installed, which reports do without
        space = None
    if space is None:
        return counts(table)
    own = pd.DataFrame([space.counts(space.parse(path)) for path in table["path"]])
    return counts(table) | {str(name): own[name].to_numpy(float) for name in own}


def top_ten(summary: Mapping[str, Any], figure: str) -> float | None:
    """`precision` or `best_rank` of the ten predicted best; None if fewer than ten were ranked."""
    return next((best[figure] for best in summary["top"] if best["k"] == 10), None)
