"""Ways to draw some layers of a path anew; they differ only in the probabilities of the choices.

L layers, m choices of a layer, n paths.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from src.searchers.path_costs import Additive, Cost
from src.supernet.path import ArchPath


class Mutation(ABC):
    """A distribution over the choices of a layer, given the rest of the path."""

    @abstractmethod
    def probabilities(self, path: ArchPath, layer: int) -> NDArray[np.float64]:
        """(m,), positive or 0; the sum is 1."""

    def __call__(self, path: ArchPath, layers: Sequence[int], rng: np.random.Generator) -> ArchPath:
        """The path with these layers drawn one after another, in order."""
        for layer in sorted(layers):
            weights = self.probabilities(path, layer)
            path = (*path[:layer], int(rng.choice(len(weights), p=weights)), *path[layer + 1 :])
        return path


class Uniform(Mutation):
    """Every choice alike: MoreMNAS's random mutation."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = sizes

    def probabilities(self, path: ArchPath, layer: int) -> NDArray[np.float64]:
        """1 / m."""
        return np.full(self.sizes[layer], 1 / self.sizes[layer])


class Roulette(Mutation):
    """Cheaper choices more often: in proportion to what they save against the layer's dearest one."""

    FLOOR = 0.05
    """Share of the largest saving that the dearest choice keeps, so that it can still be drawn."""

    def __init__(self, cost: Cost, sizes: Sequence[int]) -> None:
        self.cost, self.sizes = cost, sizes

    def probabilities(self, path: ArchPath, layer: int) -> NDArray[np.float64]:
        """Uniform where all choices cost the same."""
        # of a sum the layer's own part is enough, else the whole path is computed with each choice
        others = ((*path[:layer], choice, *path[layer + 1 :]) for choice in range(self.sizes[layer]))
        numbers = self.cost.choices[layer] if isinstance(self.cost, Additive) else [self.cost(p) for p in others]
        costs = np.array(numbers, dtype=np.float64)
        savings = costs.max() - costs
        weights = savings + self.FLOOR * savings.max() if savings.max() > 0 else np.ones_like(costs)
        return weights / weights.sum()


class Prior(Mutation):
    """The prior regulator: choices as often as the elite has them."""

    def __init__(self, sizes: Sequence[int], elite: Sequence[ArchPath]) -> None:
        self.counts = [np.bincount([path[layer] for path in elite], minlength=m) for layer, m in enumerate(sizes)]

    def probabilities(self, path: ArchPath, layer: int) -> NDArray[np.float64]:
        """Frequencies with one added to each count, so that none is ever lost."""
        weights = self.counts[layer] + 1.0
        return weights / weights.sum()
