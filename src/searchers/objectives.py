"""Objectives of a search: scores that need a supernet, and costs that can be computed.

n paths, K objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from src.runtime.errors import UsageError, unknown
from src.runtime.run_folder import LEARNT
from src.searchers.path_costs import Cost

COMPUTED = ("macs", "params", "latency")
"""Computed without a supernet."""


@dataclass(frozen=True)
class Objective:
    """One of K: `low` and `high` bound its minimised value, known before anything is scored."""

    name: str
    low: float
    high: float

    @property
    def is_learnt(self) -> bool:
        """True for scores, which need a supernet."""
        return self.name in LEARNT

    @property
    def sign(self) -> int:
        """-1 if more is better, as minimised values are."""
        return -1 if self.name == "accuracy" else 1


class Objectives:
    """The objectives of a search, in the order in which they were named."""

    def __init__(self, objectives: Sequence[Objective], costs: Mapping[str, Cost]) -> None:
        """`costs`: of every computed objective at least."""
        self.all, self.costs = tuple(objectives), dict(costs)

    @property
    def names(self) -> list[str]:
        """Column names."""
        return [objective.name for objective in self.all]

    @property
    def learnt(self) -> int:
        """Which of the K is the first that needs a supernet."""
        return next(i for i, objective in enumerate(self.all) if objective.is_learnt)

    @property
    def computed(self) -> list[str]:
        """Names of those that need no supernet."""
        return [objective.name for objective in self.all if not objective.is_learnt]

    def minimised(self, table: Mapping[str, Sequence[float]]) -> NDArray[np.float64]:
        """(n, K) of a table's columns."""
        return np.stack([o.sign * np.asarray(table[o.name], dtype=np.float64) for o in self.all], axis=1)

    def merit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) in [0, 1], for rewards: the accuracy itself, or exp(-loss), of minimised values (n, K)."""
        objective, column = self.all[self.learnt], values[:, self.learnt]
        return -column if objective.name == "accuracy" else np.exp(-column)

    def scaled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Minimised values (n, K) with each objective's bounds at 0 and 1."""
        low = np.array([o.low for o in self.all])
        span = np.array([o.high - o.low for o in self.all])
        return (values - low) / np.where(span > 0, span, 1.0)


def make_objectives(names: object, costs: Mapping[str, Cost], most: Mapping[str, float], classes: int) -> Objectives:
    """The named objectives; `most` holds the limits on costs, `classes` bounds the loss by that of guessing.

    Raises:
        UsageError: no list, an unknown or repeated name, or none that needs a supernet.
    """
    if isinstance(names, str) or not isinstance(names, Sequence) or not names:
        raise UsageError(f"objectives={names}: give a list, as objectives=[accuracy,macs,params]")
    for name in names:
        if name not in (*LEARNT, *COMPUTED):
            raise unknown("objective", name, (*LEARNT, *COMPUTED))
    if len(set(names)) < len(names):
        raise UsageError(f"objectives=[{','.join(names)}] names one twice")
    if not set(names) & set(LEARNT):
        raise UsageError(
            f"objectives=[{','.join(names)}] can be computed without a supernet: add score, accuracy or loss"
        )
    # Bounds for scaling: accuracy is minimised as its negative, loss up to that of guessing, costs up to their limit
    bounds = {"accuracy": (-1.0, 0.0), "loss": (0.0, float(np.log(max(classes, 2))))}
    bounds |= {name: (cost.low, min(cost.high, most.get(name, cost.high))) for name, cost in costs.items()}
    return Objectives([Objective(name, *bounds[name]) for name in names], costs)
