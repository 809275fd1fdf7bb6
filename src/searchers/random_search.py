"""Random search: the baseline that any other searcher has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from src.searchers.searcher import Searcher, Task
from src.supernet.path import Path


class RandomSearch(Searcher):
    """New paths, uniform over those within the limits."""

    def __init__(self, task: Task, population: int = 64) -> None:
        super().__init__(task, population)

    def ask(self) -> list[Path]:
        """A population of new paths."""
        return self.random(self.population)

    def learn(self, paths: Sequence[Path], values: NDArray[np.float64]) -> None:
        """Nothing."""
