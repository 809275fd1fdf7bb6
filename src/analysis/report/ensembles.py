"""Ensembles of so many supernets each, in the order of their seeds: what one is worth on average, `ensemble_size=`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from src.analysis.beyond_counting import mean_above_counting
from src.analysis.ranking import tau_b
from src.analysis.report.groups import Group
from src.analysis.report.rankings import BOUNDS, counted, known_scores
from src.analysis.report.runs import TrainingRun
from src.analysis.report.style import baseline_label, label
from src.analysis.report.together import estimated, mean_scores
from src.analysis.subsets import predictions
from src.runtime.stored_run import split_digest

NOTE = (
    "The supernets of a method in ensembles of {size}, in the order of their seeds, those left over aside; each is a "
    "ranking by mean scores{one}. The mean of their τ, with its range, and the same minus the best count have 95 % "
    "bootstrap intervals over the networks that all of them scored: the same networks for every ensemble and the count "
    "(BN {bn})."
)


@cache
def ensembles_of(runs: tuple[TrainingRun, ...], bn: str, score: str, size: int) -> dict[str, Any] | None:
    """Taus of ensembles of `size` of the finished runs, which are in the order of their seeds.

    `tau` and `above_count` as `mean_above_counting` has them, `taus` of each ensemble, its `seeds`, how many
    `networks`, and `passes`, the backward passes of an ensemble on average. None of fewer runs than an ensemble has,
    without truth or score, and of runs that held out other images.
    """
    scored = {run: table for run in runs if len(table := known_scores(run, bn))}
    if len(scored) < size or len({split_digest(run.folder) for run in scored}) > 1:
        return None
    ensembles = complete_ensembles(list(scored), size)
    members = [run for ensemble in ensembles for run in ensemble]
    # all are judged on the networks that every member has scored
    common = mean_scores([scored[run] for run in members], score)
    means = [mean_scores([scored[run] for run in ensemble], score) for ensemble in ensembles]
    rows = [common[["arch"]].merge(table, on="arch", validate="1:1") for table in means]
    truth = common["truth"].to_numpy(float)
    predicted = [predictions(table, score) for table in rows]
    if len(common) < 2 or any(np.isnan(each).any() for each in predicted):
        return None
    tau, above = mean_above_counting(predicted, truth, counted(runs[0], common))
    if np.isnan(tau.value):
        return None
    return {
        "ensembles": len(means),
        "seeds": "; ".join(" ".join(str(run.seed) for run in ensemble) for ensemble in ensembles),
        "networks": len(common),
        "passes": sum(run.costs["backward_passes"] or 0 for run in members) / len(means),
        "taus": [tau_b(each, truth) for each in predicted],
        "tau": asdict(tau),
        "above_count": None if above is None else {"count": above[0], **asdict(above[1])},
    }


def complete_ensembles(runs: Sequence[TrainingRun], size: int) -> list[tuple[TrainingRun, ...]]:
    """Runs that follow each other, `size` of them each, without an incomplete last one."""
    return [tuple(runs[first : first + size]) for first in range(0, len(runs) - size + 1, size)]


def ensemble_rows(group: Group, bn: str) -> list[dict[str, Any]]:
    """A row per method with enough finished seeds for an ensemble; none where no ensembles are asked for."""
    rows: list[dict[str, Any]] = []
    size = group.ensemble_size
    if size is None:
        return rows
    for method, runs in group.methods.items():
        summary = ensembles_of(tuple(run for run in runs if run.finished), bn, group.ranked_by, size)
        if summary is None:
            continue
        above = summary["above_count"] or {}
        rows.append(
            {
                "method": method,
                "ranked_by": group.ranked_by,
                "bn": bn,
                "supernets": size,
                **{key: summary[key] for key in ("ensembles", "seeds", "passes", "networks")},
                **{f"tau{ending}": summary["tau"][part] for ending, part in BOUNDS.items()},
                "tau_least": min(summary["taus"]),
                "tau_most": max(summary["taus"]),
                "best_count": above.get("count"),
                **{f"above_count{ending}": above.get(part) for ending, part in BOUNDS.items()},
            }
        )
    return rows


def ensemble_table(group: Group, bn: str) -> pd.DataFrame:
    """The rows of `ensemble_rows` as cells of the page; empty if there is none."""
    cells = []
    for row in ensemble_rows(group, bn):
        tau, above = ({part: row[key + end] for end, part in BOUNDS.items()} for key in ("tau", "above_count"))
        cells.append(
            {
                "Method": label(row["method"]),
                "Ensembles": f"{row['ensembles']} × {row['supernets']} supernets",
                "Seeds": row["seeds"],
                "Backward passes of each": f"{row['passes']:,.0f}",
                "Networks": f"{row['networks']:,}",
                "Mean Kendall τ": estimated(tau, ""),
                "From, to": f"{row['tau_least']:.3f}, {row['tau_most']:.3f}",
                "Mean τ minus best count": estimated(above, "+"),
                "Best count": baseline_label(row["best_count"]).removeprefix("counting ") if row["best_count"] else "–",
            }
        )
    return pd.DataFrame(cells)


def note(group: Group, bn: str) -> str:
    """The table's explanation."""
    return NOTE.format(
        size=group.ensemble_size, bn=bn, one=", here of one supernet alone" if group.ensemble_size == 1 else ""
    )
