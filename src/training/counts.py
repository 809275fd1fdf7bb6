"""Update counts of each choice of each layer.

L layers, m choices of a layer, M the largest m.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from src.supernet.path import Route


class Counts:
    """Cumulative number of backward passes through each choice of each layer."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.values = torch.zeros(len(self.sizes), max(self.sizes), dtype=torch.int64)
        """(L, M); columns beyond a layer's m stay 0."""

    def add(self, routes: Iterable[Route]) -> None:
        """Count one backward pass of each route; a weight vector counts every choice with a weight != 0."""
        for route in routes:
            for layer, entry in enumerate(route):
                used = entry.nonzero().flatten() if isinstance(entry, Tensor) else entry
                self.values[layer, used] += 1

    def spread(self) -> int:
        """Largest difference between two choices of one layer: 0 after every step under strict fairness."""
        rows = [self.values[layer, :size] for layer, size in enumerate(self.sizes)]
        return max(int(row.max() - row.min()) for row in rows)

    def rows(self, step: int) -> list[dict[str, int]]:
        """The rows of counts.csv for one step."""
        return [
            {"step": step, "layer": layer, "choice": choice, "count": int(self.values[layer, choice])}
            for layer, size in enumerate(self.sizes)
            for choice in range(size)
        ]
