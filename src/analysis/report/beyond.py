"""The table of what methods know beyond the size of networks; see analysis/beyond_counting.py."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from src.analysis.report.groups import Group
from src.analysis.report.over_seeds import over_seeds
from src.analysis.report.rankings import known_scores, ranking
from src.analysis.report.runs import TrainingRun
from src.analysis.report.style import baseline_label, label
from src.analysis.subsets import SIZES, beyond, predictions

TAUS = {"partial": "partial τ, {} held fixed", "within_fifths": "τ within fifths of {}"}
NOTE = (
    "How well networks are ordered beyond what their size tells: Kendall's partial rank correlation of score and truth "
    "given a count, and τ over the pairs of networks that lie in one fifth of that count. Mean over seeds with its "
    "95 % t interval (BN {bn}). A score that follows the size with noise is left with a little of both, less within "
    "fifths."
)


@cache
def beyond_sizes(run: TrainingRun, bn: str, score: str) -> dict[str, dict[str, float | None]]:
    """{size: {partial, within_fifths}} of a finished run; empty where its truth is not known."""
    stored = (ranking(run, bn, score) or {}).get("beyond")
    table = known_scores(run, bn)
    # results from before they had it: from the scores
    if stored is None and len(table):
        predicted = predictions(table, score)
        if not np.isnan(predicted).all():
            sizes = {size: table[size].to_numpy(float) for size in SIZES if table[size].notna().all()}
            stored = beyond(predicted, table["truth"].to_numpy(float), sizes, run.seed)
    return {size: {name: each["value"] for name, each in taus.items()} for size, taus in (stored or {}).items()}


def beyond_table(group: Group, bn: str) -> pd.DataFrame:
    """A row per method with a known truth: both taus given parameters, and given multiply-adds."""
    rows = []
    for method, runs in group.methods.items():
        known = [each for run in runs if run.finished and (each := beyond_sizes(run, bn, group.ranked_by))]
        if not known:
            continue
        # four taus, each with its interval over seeds where there are several
        row = {"Method": label(method), "Seeds": str(len(known))}
        for size in SIZES:
            for name, title in TAUS.items():
                mean = over_seeds(each[size][name] for each in known if size in each)
                interval = "" if np.isnan(mean.low) else f" [{mean.low:.2f}, {mean.high:.2f}]"
                row[title.format(baseline_label(size).removeprefix("counting "))] = (
                    "–" if np.isnan(mean.mean) else f"{mean.mean:.3f}{interval}"
                )
        rows.append(row)
    return pd.DataFrame(rows)
