"""Sums scores up: their spread, and how well they order the paths; the part that `train` and `rank` share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from src.ranking.comparison import Comparison
from src.runtime.run_folder import LEARNT


def sum_up(
    comparison: Comparison | None, tables: Mapping[str, pd.DataFrame], by: str, seed: int, with_subsets: bool
) -> dict[str, Any]:
    """Fields of a RankingResult: `tables` holds the scores of each BN protocol, `by` orders the paths.

    Without a `comparison` with a benchmark the scores are not ranked.
    """
    spreads: dict[str, dict[str, float]] = {}
    # ranges of the scores, for tables of several protocols and of either score
    for protocol, table in tables.items():
        spreads[protocol] = {"paths": len(table)}
        if "images" in table:
            spreads[protocol]["images"] = int(table.images.iloc[0])
        for name in LEARNT:
            if name in table and table[name].notna().all():
                values = table[name].astype(float)
                figures = {"mean": values.mean(), "std": values.std(ddof=0), "min": values.min(), "max": values.max()}
                spreads[protocol] |= {f"{name}_{part}": float(value) for part, value in figures.items()}
    # what the rankings are worth, where the truth is known
    summary: dict[str, Any] = {"ranked_by": by, "scores": spreads}
    if comparison is None:
        return summary
    return summary | {
        "benchmark": comparison.benchmark.name,
        "match": comparison.match.as_dict(),
        "ranking": {name: comparison.rank(table, by, seed, with_subsets) for name, table in tables.items()},
        "ceiling": comparison.ceilings(with_subsets),
        "gap": {name: comparison.gap(table) for name, table in tables.items()},
    }
