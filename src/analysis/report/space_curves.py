"""Results of network space searches, read from their runs: probabilities of ranges, mean cost, updates of slices.

Decisions are d1, w1, d2, w2, ...: depth and width of each stage in turn. K ranges of a decision.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from src.analysis.report.runs import TrainingRun


def probabilities(run: TrainingRun) -> pd.DataFrame:
    """Columns epoch, layer, choice, name, value: probability of each range after each epoch; may be empty."""
    table = run.importance[run.importance["figure"] == "probability"]
    table = table[["epoch", "layer", "choice", "name", "value"]]
    return table.astype({"layer": int, "choice": int, "name": str, "value": float})


def last_probabilities(run: TrainingRun) -> list[pd.DataFrame]:
    """Columns name, value of each decision: the ranges in order, as likely as they are after the last epoch."""
    table = probabilities(run)
    # a kill may have left the last epoch with some of its rows
    rows = table.groupby("epoch").size()
    last = table[table["epoch"] == rows.index[rows == rows.max()].max()].sort_values(["layer", "choice"])
    return [group[["name", "value"]].reset_index(drop=True) for _, group in last.groupby("layer")]


def likeliest(run: TrainingRun) -> list[tuple[int, int]]:
    """Lowest and highest value of the likeliest range of each decision, the first of equals."""
    return [ends(str(table["name"].iloc[int(table["value"].argmax())])) for table in last_probabilities(run)]


def ends(name: str) -> tuple[int, int]:
    """`9-16` as (9, 16)."""
    low, high = name.split("-")
    return int(low), int(high)


def updates_of_slices(runs: Sequence[TrainingRun]) -> list[pd.DataFrame]:
    """Columns value, share of each decision: how often its channel or block number `value` was trained.

    In percent of the backward passes, mean over runs. A network of width w trains the channels 1 to w, and one of
    depth d the blocks 1 to d. Runs that train the weights as a mixture are left out: it has several networks at a time.
    """
    layers: dict[int, list[pd.Series]] = {}
    for run in (run for run in runs if run.config["sampler"].get("weights") != "soft"):
        last = run.counts[run.counts["step"] == run.counts["step"].max()]
        for layer, ranges in enumerate(last_probabilities(run)):
            counts = last[last["layer"] == layer].sort_values("choice")["count"].astype(float)
            # from the largest down: all networks as large as that or larger
            trained = counts[::-1].cumsum()[::-1]
            lowest = ends(str(ranges["name"][0]))[0]
            share = 100 * trained / counts.sum()
            layers.setdefault(layer, []).append(share.set_axis(range(lowest, lowest + len(share))))
    means = [pd.concat(shares, axis=1).mean(axis=1) for _, shares in sorted(layers.items())]
    return [pd.DataFrame({"value": mean.index, "share": mean.to_numpy()}) for mean in means]
