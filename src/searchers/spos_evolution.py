"""The evolution of SPOS (Guo et al. 2020, algorithm 1): one objective, hard limits.

n paths, K objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.runtime.errors import UsageError
from src.searchers.searcher import Searcher, SearchProblem, probability
from src.supernet.path import ArchPath


class SposEvolution(Searcher):
    """The best paths so far are parents of mutated and of crossed children; costs matter through limits alone."""

    def __init__(
        self,
        problem: SearchProblem,
        population: int = 50,
        parents: int = 10,
        crossover: int | None = None,
        mutation: int | None = None,
        layer_probability: float = 0.1,
    ) -> None:
        """`parents`: best so far; `crossover` and `mutation`: children of a generation, random paths fill it up.

        None: half of the population each.
        """
        super().__init__(problem, population)
        # Half of the children by crossover, half by mutation, unless asked otherwise
        crossover = population // 2 if crossover is None else crossover
        mutation = population - population // 2 if mutation is None else mutation
        for key, value in (("parents", parents), ("crossover", crossover), ("mutation", mutation)):
            if type(value) is not int or value < (key == "parents"):
                raise UsageError(f"searcher.{key}={value}: give a whole number of {int(key == 'parents')} or more")
        if crossover + mutation > population:
            raise UsageError(
                f"searcher.crossover={crossover} and searcher.mutation={mutation} are more than "
                f"searcher.population={population}"
            )
        self.parents, self.crossover, self.mutation = parents, crossover, mutation
        self.layer_probability = probability("layer_probability", layer_probability)
        self.best: list[tuple[float, ArchPath]] = []
        """(minimised value, path) of the parents, the best first."""

    def ask(self) -> list[ArchPath]:
        """Random paths first; then mutated ones, crossed ones, and random ones where these find nothing new."""
        if not self.best:
            return self.random(self.population)
        children = [*self.new(self.mutation, self._mutated), *self.new(self.crossover, self._crossed)]
        distinct = list(dict.fromkeys(children))
        fresh = [path for path in self.random(self.population) if path not in distinct]
        return [*distinct, *fresh][: self.population]

    def learn(self, paths: Sequence[ArchPath], values: NDArray[np.float64]) -> None:
        """Keep the best; of equal ones the earlier."""
        column = values[:, self.objectives.learnt]
        known = {path for _, path in self.best}
        told = [(float(v), path) for v, path in zip(column, paths, strict=True) if path not in known]
        self.best = sorted([*self.best, *told], key=lambda entry: entry[0])[: self.parents]

    def _mutated(self) -> ArchPath:
        parent = self._parent()
        changed = self.rng.random(len(parent)) < self.layer_probability
        child = (int(self.rng.integers(m)) if c else p for p, m, c in zip(parent, self.sizes, changed, strict=True))
        return self.feasible.near(tuple(child), self.rng)

    def _crossed(self) -> ArchPath:
        one, other = self._parent(), self._parent()
        child = (a if take else b for a, b, take in zip(one, other, self.rng.random(len(one)) < 0.5, strict=True))
        return self.feasible.near(tuple(child), self.rng)

    def _parent(self) -> ArchPath:
        return self.best[int(self.rng.integers(len(self.best)))][1]

    def state_dict(self) -> dict[str, Any]:
        """The base state and the parents."""
        return super().state_dict() | {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state)
        self.best = [(value, tuple(path)) for value, path in state["best"]]
