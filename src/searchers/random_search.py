"""Random search: the baseline that any other searcher has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from src.searchers.searcher import Searcher, SearchProblem
from src.supernet.path import ArchPath


class RandomSearch(Searcher):
    """New paths, uniform over those within the limits."""

    def __init__(self, problem: SearchProblem, population: int = 64) -> None:
        super().__init__(problem, population)

    def ask(self) -> list[ArchPath]:
        """A population of new paths."""
        return self.random(self.population)

    def learn(self, paths: Sequence[ArchPath], values: NDArray[np.float64]) -> None:
        """Nothing."""
