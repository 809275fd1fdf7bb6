"""Hard limits on what a network may cost, at most or within a window: paths are drawn from those within them alone.

Limits on costs that are sums over the choices are met by construction, others by drawing again.
L layers, m choices of a layer, R steps into which the room below a limit is divided.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from src.runtime.errors import UsageError
from src.searchers.path_costs import Additive, Cost, PathCost
from src.supernet.path import ArchPath

STEPS = 2000
"""R: costs are rounded down to a step, so no allowed path is lost; the few others that this lets in are drawn again."""
TRIES = 1000
"""Draws until a set of limits is held to leave nothing."""
FIRST_TRIES, LISTED = 20, 10_000
"""After so many draws, ways to complete a path are looked at one by one, where they are so few."""
WINDOW_TRIES = 30_000
"""The same where one of them is a window: a tenth around 200 M multiply-adds holds one in 1,100 of `expanded`."""
NEAR_TRIES = 300
"""The same where a path within a window is repaired, for another layer can be drawn anew instead."""
Kept = Sequence[int | None]
"""A path in which some layers, None, are still to be drawn."""


@dataclass(frozen=True)
class Limit:
    """`least <= cost(path) <= most`."""

    cost: Cost
    most: float
    least: float = -math.inf

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise UsageError(f"limit.{self.cost.name}={self}: the first of a window is its lower end")
        # of a sample the lowest cost is no bound: whether anything fits is found out by drawing
        if isinstance(self.cost, PathCost) and self.cost.is_sample:
            return
        if self.most < self.cost.low - self._rounding:
            raise self._out_of_reach("below")
        if self.least > self.cost.high + 1e-9 * abs(self.least):
            raise self._out_of_reach("above")

    def __str__(self) -> str:
        """The limit in the words of the command line: `60000`, or `[50000,60000]`."""
        return f"{self.most:.10g}" if self.least == -math.inf else f"[{self.least:.10g},{self.most:.10g}]"

    def _out_of_reach(self, where: str) -> UsageError:
        reach = f"{self.cost.low:.10g} and {self.cost.high:.10g}"
        return UsageError(
            f"limit.{self.cost.name}={self} is {where} every network of the space, which lie between {reach}"
        )

    @property
    def _rounding(self) -> float:
        """Rounding tolerance: sums in another order differ."""
        return 1e-9 * abs(self.most)

    def allows(self, path: ArchPath) -> bool:
        """Whether the path is within the limit."""
        return self.least - self._rounding <= self.cost(path) <= self.most + self._rounding

    def slack(self, fixed: float, least: float) -> float:
        """Budget left beyond the fixed part and the cheapest choices, which cost `least`; below 0: none fits."""
        left = self.most - fixed - least
        return 0.0 if -self._rounding <= left < 0 else left


class FeasiblePaths:
    """The paths within all limits.

    Without limits, or with one, `sample` is uniform over them; with several limits on sums it is nearly so only where
    they go together, as multiply-adds and parameters do.
    """

    def __init__(self, sizes: Sequence[int], limits: Sequence[Limit] = ()) -> None:
        """`sizes` (L,): choices of each layer.

        Raises:
            UsageError: each limit can be met, but no sampled path meets them all.
        """
        self.sizes, self.limits = tuple(sizes), tuple(limits)
        self.sums = [(limit, limit.cost) for limit in limits if isinstance(limit.cost, Additive)]
        """Limits that are met by construction, with their tables."""
        self.tries = TRIES if all(limit.least == -math.inf for limit in limits) else WINDOW_TRIES
        # a window on sums may hold none of them
        is_certain = len(limits) == len(self.sums) <= 1 and all(limit.least == -math.inf for limit in limits)
        if not is_certain and self.complete([None] * len(self.sizes), np.random.default_rng(0)) is None:
            named = " and ".join(f"limit.{limit.cost.name}={limit}" for limit in limits)
            alone = ", ".join(f"{limit.cost.name} {limit.cost.low:.10g} to {limit.cost.high:.10g}" for limit in limits)
            met = "are met" if len(limits) > 1 else "is met"
            raise UsageError(f"{named} {met} by no architecture that was tried; alone {alone}: relax one")

    def allows(self, path: ArchPath) -> bool:
        """Whether a path is within all limits."""
        return all(limit.allows(path) for limit in self.limits)

    def sample(self, rng: np.random.Generator) -> ArchPath:
        """A random path within the limits."""
        while (candidate := self.complete([None] * len(self.sizes), rng)) is None:
            pass  # __init__ drew one in as many draws as a call makes
        return candidate

    def complete(self, kept: Kept, rng: np.random.Generator, tries: int | None = None) -> ArchPath | None:
        """Draw the layers that are None, uniformly among the ways to stay within the limits; None if there is none.

        `tries`: draws until there is held to be none.
        """
        if not self.limits:
            return self._any(kept, rng)
        rooms = [_Room(limit, cost, kept) for limit, cost in self.sums]
        if any(room.slack < 0 for room in rooms):
            return None
        # sums were rounded to steps and several limits taken one by one, others not looked at: check, and draw again
        free = [range(m) if choice is None else (choice,) for choice, m in zip(kept, self.sizes, strict=True)]
        ways = math.prod(map(len, free))
        for attempt in range((tries or self.tries) if ways > 1 else 1):
            path = _draw(kept, rooms, rng) if rooms else self._any(kept, rng)
            if path is not None and self.allows(path):
                return path
            # few ways to go on, of which next to none is within the limits: go through them
            if attempt == FIRST_TRIES and ways <= LISTED:
                listed = [way for way in itertools.product(*free) if self.allows(way)]
                return listed[int(rng.integers(len(listed)))] if listed else None
        return None

    def _any(self, kept: Kept, rng: np.random.Generator) -> ArchPath:
        """Uniform choices in the layers that are None, whatever the limits."""
        return tuple(int(rng.integers(m)) if c is None else c for c, m in zip(kept, self.sizes, strict=True))

    def near(self, path: ArchPath, rng: np.random.Generator) -> ArchPath:
        """The path if it is within the limits; else with layers drawn anew, in random order, as few as it takes."""
        if self.allows(path):
            return path
        kept: list[int | None] = list(path)
        # free one layer after another until the rest can be met; a window is met by few ways or none
        tries = min(self.tries, NEAR_TRIES) if self.tries == WINDOW_TRIES else self.tries
        for layer in rng.permutation(len(path)):
            kept[layer] = None
            candidate = self.complete(kept, rng, tries)
            if candidate is not None:
                return candidate
        return self.sample(rng)


class _Room:
    """Dynamic program: number of completions of layers l..L for each remaining budget, in steps."""

    def __init__(self, limit: Limit, cost: Additive, kept: Kept) -> None:
        options = [
            np.array(costs if choice is None else [costs[choice]])
            for costs, choice in zip(cost.choices, kept, strict=True)
        ]
        # What the limit leaves above the cheapest network, divided into equal steps
        least = sum(float(costs.min()) for costs in options)
        self.slack = limit.slack(cost.fixed, least)
        step = max(self.slack, 0) / STEPS
        self.steps = [_in_steps(costs - costs.min(), step) for costs in options]
        """(m,) for each layer: what a choice takes beyond the cheapest, in steps."""
        # Backwards over the layers: in how many ways those from here on stay within each number of steps. What is left
        # at the end must not reach below a window; each layer was rounded down, so one step each may be missing.
        ends = np.ones(STEPS + 1)
        if limit.least > -math.inf and step > 0:
            ends[min(math.ceil((limit.most - limit.least) / step) + len(options), STEPS) + 1 :] = 0
        self.ways: list[NDArray[np.float64]] = [ends]
        for taken in reversed(self.steps):
            after = self.ways[0]
            self.ways.insert(0, sum((_shifted(after, int(n)) for n in taken), np.zeros(STEPS + 1)))

    def weights(self, layer: int, left: int) -> NDArray[np.float64]:
        """(m,): ways to go on after each choice of a layer, with `left` steps of room before it."""
        rest = left - self.steps[layer]
        return np.where(rest >= 0, self.ways[layer + 1][np.maximum(rest, 0)], 0.0)


def _draw(kept: Kept, rooms: Sequence[_Room], rng: np.random.Generator) -> ArchPath | None:
    """One path layer by layer, each choice with probability proportional to the ways it leaves."""
    # layer by layer, each choice as likely as the number of ways to go on after it
    left = [STEPS] * len(rooms)
    path = []
    for layer, choice in enumerate(kept):
        weights = np.min([room.weights(layer, n) for room, n in zip(rooms, left, strict=True)], axis=0)
        if weights.sum() <= 0:
            return None
        drawn = int(rng.choice(len(weights), p=weights / weights.sum()))
        left = [n - int(room.steps[layer][drawn]) for room, n in zip(rooms, left, strict=True)]
        path.append(drawn if choice is None else choice)
    return tuple(path)


def _in_steps(extra: NDArray[np.float64], step: float) -> NDArray[np.int64]:
    """Rounded down; what is out of reach counts as more than there is room for."""
    if step == 0:
        return np.where(extra > 0, STEPS + 1, 0)
    return np.minimum(extra / step, STEPS + 1).astype(np.int64)


def _shifted(ways: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """The ways that remain after so many steps of room are used."""
    shifted = np.zeros_like(ways)
    if steps < len(ways):
        shifted[steps:] = ways[: len(ways) - steps]
    return shifted
