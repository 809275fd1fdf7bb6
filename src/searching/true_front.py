"""The true Pareto front of a benchmark that knows all networks, and the share of it that networks reach.

n networks, K objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.analysis.pareto import between, front, hypervolume
from src.search_spaces.space import SearchSpace
from src.searchers.limits import FeasiblePaths
from src.searchers.objectives import Objectives
from src.supernet.path import ArchPath


class TrueFront:
    """The front of a benchmark's networks within the limits, with true accuracies in the place of learnt values.

    Objectives are scaled so that 0 and 1 are the best and the worst of all these networks.
    """

    def __init__(
        self, space: SearchSpace, truth: Mapping[str, float], feasible: FeasiblePaths, objectives: Objectives
    ) -> None:
        """`truth`: accuracies by the space's arch strings, of all its networks."""
        self.space, self.truth, self.objectives = space, truth, objectives
        paths = [path for path in (space.parse(arch) for arch in truth) if feasible.allows(path)]
        values = self._values(paths)
        self.low, self.high = values.min(0), values.max(0)
        self.paths = [paths[i] for i in front(values)]
        self.hypervolume = hypervolume(self._scaled(self._values(self.paths)))

    def share(self, paths: Sequence[ArchPath]) -> float | None:
        """Hypervolume of these networks by their truth over that of the true front; 1 if they hold it.

        None if nothing can be said: the true front is a single corner, or none of the networks is known.
        """
        known = [path for path in paths if self.space.format(path) in self.truth]
        if not known or self.hypervolume == 0:
            return None
        return hypervolume(self._scaled(self._values(known))) / self.hypervolume

    def rows(self) -> list[dict[str, Any]]:
        """Its networks with their costs and their truth, for a table."""
        costs = self.objectives.costs
        return [
            {"arch": (arch := self.space.format(path)), "truth": self.truth[arch]}
            | {name: cost(path) for name, cost in costs.items()}
            for path in self.paths
        ]

    def scale(self) -> dict[str, Any]:
        """The scale of shares as plain values: the bounds of the minimised objectives, and the whole hypervolume."""
        return {"low": self.low.tolist(), "high": self.high.tolist(), "hypervolume": self.hypervolume}

    def _values(self, paths: Sequence[ArchPath]) -> NDArray[np.float64]:
        """Minimised (n, K)."""
        columns = [
            [-self.truth[self.space.format(path)] for path in paths]
            if objective.is_learnt
            else [self.objectives.costs[objective.name](path) for path in paths]
            for objective in self.objectives.all
        ]
        return np.array(columns, dtype=np.float64).T

    def _scaled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return between(values, self.low, self.high)
