"""Base of all searchers: ask for paths to be scored, tell what they reach.

L layers, m choices of a layer, n paths, K objectives.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.runtime.errors import UsageError
from src.searchers.limits import FeasiblePaths
from src.searchers.objectives import Objectives
from src.supernet.path import ArchPath

LOOKED_UP = 100_000
"""In a space of no more paths than this the last new ones are looked up, not waited for."""
TRIES = 20
"""Draws for each path that is asked for, until the searcher makes do with fewer new ones."""


@dataclass(frozen=True)
class SearchProblem:
    """The feasible paths and the objectives of a search."""

    feasible: FeasiblePaths
    """The paths within the limits; nothing else is ever asked for."""
    objectives: Objectives
    seed: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Choices of each layer, (L,)."""
        return self.feasible.sizes


class Searcher(ABC):
    """Ask and tell, generation by generation; its state is all that a bit-identical continuation needs."""

    def __init__(self, problem: SearchProblem, population: int) -> None:
        """`population`: paths of a generation."""
        if type(population) is not int or population < 2:
            raise UsageError(f"searcher.population={population}: give a whole number of 2 or more")
        self.feasible, self.objectives, self.sizes = problem.feasible, problem.objectives, problem.sizes
        self.population = population
        self.rng = np.random.default_rng([problem.seed, 1])
        self.seen: set[ArchPath] = set()
        """Every path that was told; a searcher asks for one of them again only if its method needs to."""

    @abstractmethod
    def ask(self) -> list[ArchPath]:
        """The next paths to be scored, all within the limits; none if the searcher finds nothing new."""

    @abstractmethod
    def learn(self, paths: Sequence[ArchPath], values: NDArray[np.float64]) -> None:
        """Take in what the asked paths reach: values (n, K), all to be minimised."""

    def tell(self, paths: Sequence[ArchPath], values: NDArray[np.float64]) -> None:
        """Take the results of the asked paths, or of the first of them: values (n, K), all to be minimised."""
        self.seen.update(paths)
        self.learn(paths, values)

    def new(self, count: int, draw: Callable[[], ArchPath]) -> list[ArchPath]:
        """Up to `count` different paths that were never told, as `draw` gives them."""
        drawn: dict[ArchPath, None] = {}
        # a bound on the draws: a small or exhausted space has fewer
        for _ in range(TRIES * count):
            if len(drawn) == count:
                break
            path = draw()
            if path not in self.seen:
                drawn[path] = None
        return list(drawn)

    def random(self, count: int) -> list[ArchPath]:
        """`count` new paths, uniform over those within the limits; fewer where no more are left."""
        drawn = self.new(count, lambda: self.feasible.sample(self.rng))
        if len(drawn) == count or math.prod(self.sizes) > LOOKED_UP:
            return drawn
        known = self.seen.union(drawn)
        # few are left, and guessing would hardly meet them: list them
        every = itertools.product(*map(range, self.sizes))
        left = [path for path in every if path not in known and self.feasible.allows(path)]
        order = self.rng.permutation(len(left))[: count - len(drawn)]
        return [*drawn, *(left[i] for i in order)]

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors."""
        return {"rng": generator_state(self.rng), "seen": sorted(self.seen)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        restore_generator(self.rng, state["rng"])
        self.seen = {tuple(path) for path in state["seen"]}


def generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """The state of a PCG64 generator; its 128-bit numbers as text, which every reader of checkpoints knows."""
    state: Any = rng.bit_generator.state
    return state | {"state": {name: str(value) for name, value in state["state"].items()}}


def restore_generator(rng: np.random.Generator, state: dict[str, Any]) -> None:
    """Put a state back."""
    rng.bit_generator.state = state | {"state": {name: int(text) for name, text in state["state"].items()}}


def probability(key: str, value: Any) -> float:
    """A setting of a searcher that lies in [0, 1].

    Raises:
        UsageError: it does not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UsageError(f"searcher.{key}={value}: give a number from 0 to 1")
    return float(value)
