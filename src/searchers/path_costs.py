"""Costs of a path that need no supernet: sums over its choices, or numbers that are computed path by path.

L layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from src.supernet.path import ArchPath


class Cost(Protocol):
    """A number of each path that can be computed without a supernet."""

    @property
    def name(self) -> str:
        """macs, params or latency."""

    @property
    def low(self) -> float:
        """Minimum cost over all paths."""

    @property
    def high(self) -> float:
        """Maximum cost over all paths."""

    def __call__(self, path: ArchPath) -> float:
        """Cost of one path."""


@dataclass(frozen=True)
class PathCost:
    """A cost that is no sum over the choices, computed for each path."""

    name: str
    compute: Callable[[ArchPath], float]
    paths: Sequence[ArchPath]
    """All of the space, or a sample where they are too many: `low` and `high` are theirs."""
    is_sample: bool

    def __call__(self, path: ArchPath) -> float:
        """Cost of one path."""
        return self.compute(path)

    @property
    def low(self) -> float:
        """Minimum cost over `paths`."""
        return self._bounds[0]

    @property
    def high(self) -> float:
        """Maximum cost over `paths`."""
        return self._bounds[1]

    @cached_property
    def _bounds(self) -> tuple[float, float]:
        costs = [self.compute(path) for path in self.paths]
        return min(costs), max(costs)


@dataclass(frozen=True)
class Additive:
    """A cost that is a sum: of the fixed part (stem and tail), and of one number for each layer's choice."""

    name: str
    fixed: float
    choices: tuple[tuple[float, ...], ...]

    def __call__(self, path: ArchPath) -> float:
        """Cost of one path."""
        return self.fixed + sum(layer[choice] for layer, choice in zip(self.choices, path, strict=True))

    def by_choice(self) -> dict[str, float]:
        """Every number by `layer-choice`, and the fixed one."""
        numbers = {f"{i}-{c}": cost for i, layer in enumerate(self.choices) for c, cost in enumerate(layer)}
        return {"fixed": self.fixed, **numbers}

    @property
    def low(self) -> float:
        """Minimum cost over all paths."""
        return self.fixed + sum(map(min, self.choices))

    @property
    def high(self) -> float:
        """Maximum cost over all paths."""
        return self.fixed + sum(map(max, self.choices))
