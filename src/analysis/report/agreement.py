"""Self-consistency of a method: agreement of the scores of supernets that differ in their seed alone.

It needs no truth. Tables have a row per architecture that all seeds of the method scored, a column per seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, islice
from typing import Any

import pandas as pd

from src.analysis.consistency import self_consistency
from src.analysis.report.groups import Group
from src.analysis.report.rankings import protocol_scores
from src.analysis.report.runs import TrainingRun

DRAWN = 250
"""Architectures in a panel at most, as many as in the paper; figures are computed over all."""

PAIRS = 6
"""Pairs of seeds drawn at most, the first in the order of seeds: those of four seeds."""


@dataclass(frozen=True)
class Agreement:
    """The one-shot accuracies of a method's seeds, in [0, 1], and their correlations."""

    predictions: pd.DataFrame
    consistency: dict[str, Any]
    """analysis.consistency.self_consistency of the predictions."""

    def __len__(self) -> int:
        """Pairs of seeds, 0 unless two have scored the same two architectures."""
        return len(self.consistency["pairs"]) if self.consistency["n"] > 1 else 0

    def drawn_pairs(self) -> list[tuple[pd.Series, pd.Series, dict[str, Any]]]:
        """Predictions of two seeds, and their correlations, for each pair that is drawn."""
        # The same sample for all pairs, so that their clouds can be compared
        table = self.predictions.dropna()
        drawn = table.sample(DRAWN, random_state=0) if len(table) > DRAWN else table
        both = islice(zip(combinations(drawn.columns, 2), self.consistency["pairs"], strict=True), PAIRS)
        return [(drawn[a], drawn[b], pair) for (a, b), pair in both]


def agreements(group: Group, bn: str) -> dict[str, Agreement]:
    """Agreement by method, over the finished runs; methods with fewer than two seeds are left out."""
    each = {method: agreement(tuple(runs), bn) for method, runs in group.methods.items()}
    return {method: seeds for method, seeds in each.items() if len(seeds)}


def consistency_rows(group: Group, bn: str) -> list[dict[str, Any]]:
    """Inter-choice Table 2 in plain JSON values: one row for each method with at least two seeds."""
    return [{"method": method, **each.consistency} for method, each in agreements(group, bn).items()]


@cache
def agreement(runs: tuple[TrainingRun, ...], bn: str) -> Agreement:
    """Agreement of one method's runs."""
    table = seed_scores(runs, bn)
    return Agreement(table, self_consistency(table))


def seed_scores(runs: Sequence[TrainingRun], bn: str) -> pd.DataFrame:
    """One-shot accuracies by seed of the finished runs; where a seed was run twice, those of the first run."""
    # Reversed, so that the first run of a seed is the one that stays
    first = {run.seed: run for run in reversed(runs) if run.finished and len(protocol_scores(run, bn))}
    columns = {seed: protocol_scores(run, bn).groupby("arch")["accuracy"].mean() for seed, run in sorted(first.items())}
    return pd.DataFrame(columns)
