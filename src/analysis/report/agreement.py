"""How far supernets trained with different seeds predict the same, by method. No drawing.

Needs no truth. A row per architecture that all seeds of the method scored, a column per seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, islice
from typing import Any

import pandas as pd

from src.analysis.consistency import self_consistency
from src.analysis.report.curves import protocol_scores
from src.analysis.report.groups import Group
from src.analysis.report.runs import Run

DRAWN = 250
"""Architectures in a panel at most, as many as in the paper; figures are computed over all."""

PAIRS = 6
"""Pairs of seeds drawn at most, the first in the order of seeds: those of four seeds."""


@dataclass(frozen=True)
class Agreement:
    """The predictions of a method's seeds, in [0, 1], and their self-consistency."""

    predictions: pd.DataFrame
    found: dict[str, Any]

    def __len__(self) -> int:
        """Pairs of seeds, 0 unless two have scored the same two architectures."""
        return len(self.found["pairs"]) if self.found["n"] > 1 else 0

    def drawn_pairs(self) -> list[tuple[pd.Series, pd.Series, dict[str, Any]]]:
        """Predictions of two seeds, and their correlations, for each pair that is drawn."""
        table = self.predictions.dropna()
        drawn = table.sample(DRAWN, random_state=0) if len(table) > DRAWN else table
        both = islice(zip(combinations(drawn.columns, 2), self.found["pairs"], strict=True), PAIRS)
        return [(drawn[a], drawn[b], pair) for (a, b), pair in both]


def agreements(group: Group, bn: str) -> dict[str, Agreement]:
    """By method, of the finished runs; without those of fewer than two seeds."""
    found = {method: _agreement(tuple(runs), bn) for method, runs in group.methods.items()}
    return {method: agreement for method, agreement in found.items() if len(agreement)}


def consistency_rows(group: Group, bn: str) -> list[dict[str, Any]]:
    """Inter-choice Table 2 in plain JSON values: a row per method with at least two seeds."""
    return [{"method": method, **agreement.found} for method, agreement in agreements(group, bn).items()]


@cache
def _agreement(runs: tuple[Run, ...], bn: str) -> Agreement:
    table = predictions(runs, bn)
    return Agreement(table, self_consistency(table))


def predictions(runs: Sequence[Run], bn: str) -> pd.DataFrame:
    """One-shot accuracies of the finished runs; of a seed that was run twice, the first run's."""
    first = {run.seed: run for run in reversed(runs) if run.finished and len(protocol_scores(run, bn))}
    columns = {seed: protocol_scores(run, bn).groupby("arch")["accuracy"].mean() for seed, run in sorted(first.items())}
    return pd.DataFrame(columns)
