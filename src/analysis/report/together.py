"""The supernets of a method together: the ranking by their mean scores (inter-choice weights, appendix F)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from src.analysis.additive import ADDITIVE
from src.analysis.report.groups import Group
from src.analysis.report.rankings import BOUNDS, counted, known_scores, top_ten
from src.analysis.report.runs import TrainingRun
from src.analysis.report.style import baseline_label, label
from src.analysis.subsets import assess
from src.runtime.run_folder import LEARNT
from src.runtime.stored_run import split_digest

NOTE = (
    "The ranking by the mean scores of all supernets of a method, an ensemble; it costs the backward passes of all of "
    "them. τ and its difference to the best count have 95 % bootstrap intervals over the networks that all of them "
    "scored; then what it knows beyond parameters, as in the table above (BN {bn})."
)


@cache
def ranked_together(runs: tuple[TrainingRun, ...], bn: str, score: str) -> dict[str, Any] | None:
    """`analysis.subsets.assess` of the mean scores over runs, of the networks that all of them have scored.

    Beside it `supernets`, how many, and `passes`, the backward passes of all of them. None of fewer than two finished
    runs, without truth or score, and of runs that held out other images.
    """
    scored = {run: table for run in runs if len(table := known_scores(run, bn))}
    if len(scored) < 2 or len({split_digest(run.folder) for run in scored}) > 1:
        return None
    means = mean_scores(list(scored.values()), score)
    # the same counts beside it that a single supernet has
    counts = counted(runs[0], means)
    whole = means.assign(**counts)
    summary = assess(whole, {"all": np.ones(len(whole), bool)}, [score], list(counts))[score]["all"]
    if summary.get("tau", {}).get("value") is None:
        return None
    passes = sum(run.costs["backward_passes"] or 0 for run in scored)
    return dict(summary, supernets=len(scored), passes=passes)


def mean_scores(tables: Sequence[pd.DataFrame], score: str) -> pd.DataFrame:
    """Rows of scores.csv with the mean of each score over tables, of networks whose `score` all of them have.

    The mean of `ADDITIVE` is the fit of the mean loss, but for losses so far off that they were brought nearer.
    """
    # costs and truth are the same in each; a network that one of them lacks has no mean
    scores = [name for name in (*LEARNT, ADDITIVE) if name in tables[0]]
    stacked = pd.concat(tables).groupby("arch", sort=False)[scores]
    needed = [score] if score in scores else [*LEARNT]
    complete = stacked.count()[needed].eq(len(tables)).all(axis=1)
    return tables[0].drop(columns=scores).merge(stacked.mean()[complete].reset_index(), on="arch")


def together_columns(runs: Sequence[TrainingRun], bn: str, score: str) -> dict[str, float]:
    """Columns of a method's row: tau together and minus that of the best count, with bounds; nan of a single run."""
    summary = ranked_together(tuple(runs), bn, score) or {}
    columns: dict[str, float] = {"supernets_together": summary.get("supernets", math.nan)}
    for name, estimate in {"tau": summary.get("tau"), "above_count": summary.get("above_count")}.items():
        for ending, part in BOUNDS.items():
            value = (estimate or {}).get(part)
            columns[f"{name}_together{ending}"] = math.nan if value is None else float(value)
    return columns


def together_table(group: Group, bn: str) -> pd.DataFrame:
    """A row per method of which several seeds have finished and the truth is known; empty if there is none."""
    rows = []
    for method, runs in group.methods.items():
        summary = ranked_together(tuple(run for run in runs if run.finished), bn, group.ranked_by)
        if summary is None:
            continue
        beyond = summary["beyond"].get("params", {})
        above, ten = summary["above_count"], top_ten(summary, "precision")
        rows.append(
            {
                "Method": label(method),
                "Supernets": f"{summary['supernets']}",
                "Backward passes, all": f"{summary['passes']:,.0f}",
                "Networks": f"{summary['n']:,}",
                "Kendall τ": estimated(summary["tau"], ""),
                "τ minus best count": estimated(above, "+"),
                "Best count": "–" if above is None else baseline_label(above["count"]).removeprefix("counting "),
                "Partial τ": estimated(beyond.get("partial"), ""),
                "τ within fifths": estimated(beyond.get("within_fifths"), ""),
                "Truly best ten among the ten predicted, %": "–" if ten is None else f"{100 * ten:.0f}",
            }
        )
    return pd.DataFrame(rows)


def estimated(estimate: Mapping[str, Any] | None, sign: str) -> str:
    """`0.612 [0.55, 0.67]`, or a dash."""
    if estimate is None or estimate["value"] is None:
        return "–"
    return f"{estimate['value']:{sign}.3f} [{estimate['low']:.2f}, {estimate['high']:.2f}]"
