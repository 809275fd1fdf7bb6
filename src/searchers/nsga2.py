"""NSGA-II (Deb et al. 2002) on paths; sorting and crowding are pymoo's.

N population, K objectives, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

from src.searchers.mutation import Mutation, Uniform
from src.searchers.searcher import Searcher, SearchProblem, probability
from src.supernet.path import ArchPath


class Nsga2(Searcher):
    """Binary tournament on (rank, crowding), uniform crossover, then a mutation for a share of the children."""

    def __init__(
        self, problem: SearchProblem, population: int = 64, mutation_ratio: float = 0.8, layer_probability: float = 0.1
    ) -> None:
        """`mutation_ratio`: chance that a child is mutated at all; `layer_probability`: that a layer of it is then."""
        super().__init__(problem, population)
        self.mutation_ratio = probability("mutation_ratio", mutation_ratio)
        self.layer_probability = probability("layer_probability", layer_probability)
        self.paths: list[ArchPath] = []
        """The N survivors."""
        self.values = np.zeros((0, len(self.objectives.all)))
        self.rank, self.crowding = np.zeros(0), np.zeros(0)

    def mutation(self) -> Mutation:
        """The mutation of the next child: layers are drawn uniformly."""
        return Uniform(self.sizes)

    def ask(self) -> list[ArchPath]:
        """Random paths first, then children, and random paths where no child is new."""
        if not self.paths:
            return self.random(self.population)
        children = self.new(self.population, self._child)
        fresh = [path for path in self.random(self.population - len(children)) if path not in children]
        return [*children, *fresh]

    def learn(self, paths: Sequence[ArchPath], values: NDArray[np.float64]) -> None:
        """Parents and children together: the first N by rank, then by crowding, survive."""
        known = dict.fromkeys(self.paths)
        new = [i for i, path in enumerate(paths) if path not in known]
        self._survive([*self.paths, *(paths[i] for i in new)], np.concatenate([self.values, values[new]]))

    def _survive(self, paths: Sequence[ArchPath], values: NDArray[np.float64]) -> None:
        everyone = Population.new(X=np.arange(len(paths))[:, None], F=values)
        problem = Problem(n_var=1, n_obj=values.shape[1])
        chosen = RankAndCrowding().do(problem, everyone, n_survive=self.population, random_state=self.rng)
        rows = chosen.get("X")[:, 0].astype(int)
        self.paths, self.values = [paths[row] for row in rows], values[rows]
        self.rank, self.crowding = chosen.get("rank").astype(float), chosen.get("crowding").astype(float)

    def _child(self) -> ArchPath:
        one, other = self.paths[self._winner()], self.paths[self._winner()]
        child = tuple(a if take else b for a, b, take in zip(one, other, self.rng.random(len(one)) < 0.5, strict=True))
        if self.rng.random() < self.mutation_ratio:
            child = self._mutated(child)
        return self.feasible.near(child, self.rng)

    def _mutated(self, path: ArchPath) -> ArchPath:
        """One layer at least is drawn anew."""
        changed = np.flatnonzero(self.rng.random(len(path)) < self.layer_probability)
        if not len(changed):
            changed = self.rng.integers(len(path), size=1)
        return self._mutate(self.mutation(), path, [int(layer) for layer in changed])

    def _mutate(self, mutation: Mutation, path: ArchPath, layers: Sequence[int]) -> ArchPath:
        return mutation(path, layers, self.rng)

    def _winner(self) -> int:
        """Binary tournament: the survivor of lower rank, or the less crowded one."""
        one, other = (int(i) for i in self.rng.integers(len(self.paths), size=2))
        return min(one, other, key=lambda i: (self.rank[i], -self.crowding[i]))

    def state_dict(self) -> dict[str, Any]:
        """The base state and the survivors."""
        arrays = {"values": self.values.tolist(), "rank": self.rank.tolist(), "crowding": self.crowding.tolist()}
        return super().state_dict() | {"paths": self.paths} | arrays

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state)
        self.paths = [tuple(path) for path in state["paths"]]
        self.values = np.array(state["values"]).reshape(len(self.paths), -1)
        self.rank, self.crowding = np.array(state["rank"]), np.array(state["crowding"])
