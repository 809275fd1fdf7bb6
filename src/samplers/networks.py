"""Single paths drawn by the networks that they are: each distinct one alike, or in proportion to its size.

The two rivals that PA&DA's supplement names in appendix C.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from src.runtime.errors import UsageError, unknown
from src.runtime.run_folder import LISTED_PATHS
from src.samplers.plan import Plan, Update
from src.samplers.sampler import PlannedRun, Sampler
from src.search_spaces.space import SearchSpace
from src.supernet.path import ArchPath
from src.supernet.supernet import Supernet

COSTS = ("params", "macs")


class Accepted(Sampler, ABC):
    """One path per mini-batch: uniform ones are drawn until one is accepted."""

    space: SearchSpace

    @property
    def passes_per_step(self) -> int:
        """One pass."""
        return 1

    def plan(self) -> Plan:
        """One update of the first path that is accepted."""
        while True:
            path = self.uniform_path()
            if self.accepts(path):
                return [Update((path,))]

    @abstractmethod
    def accepts(self, path: ArchPath) -> bool:
        """Whether a path that was drawn uniformly is trained."""


class Distinct(Accepted):
    """One path per mini-batch, uniform over the space's distinct networks (de-isomorphic sampling; Ning et al. 2021).

    Of the paths that are the same stand-alone network only the canonical one is trained.
    """

    def prepare(self, space: SearchSpace, net: Supernet, run: PlannedRun) -> None:
        """Learn which paths are the same network.

        Raises:
            UsageError: no two of the space are.
        """
        super().prepare(space, net, run)
        if type(space).canonical is SearchSpace.canonical:
            raise UsageError(f"sampler=distinct: no two paths of {space.name} are the same network: use sampler=spos")
        self.space = space

    def accepts(self, path: ArchPath) -> bool:
        """True for the canonical path of a network."""
        return self.space.canonical(path) == path


class SizeProportional(Accepted):
    """One path per mini-batch, in proportion to the size of its stand-alone network (Luo et al. 2019)."""

    def __init__(self, sizes: Sequence[int], seed: int = 0, total_steps: int = 1, size: str = "params") -> None:
        """`size` is a cost of the space: params or macs."""
        super().__init__(sizes, seed, total_steps)
        if size not in COSTS:
            raise unknown("sampler.size", size, COSTS)
        self.size = size

    def prepare(self, space: SearchSpace, net: Supernet, run: PlannedRun) -> None:
        """Learn the largest size, by which draws are accepted.

        Raises:
            UsageError: costs are no sums, and there are too many paths to go through them all.
        """
        super().prepare(space, net, run)
        self.space = space
        table = space.additive_costs(space.reference)
        if table is not None:
            by_layer = [[getattr(costs, self.size) for costs in layer] for layer in table.choices]
            self.largest = self.size_of(tuple(costs.index(max(costs)) for costs in by_layer))
        elif space.count <= LISTED_PATHS:
            self.largest = max(map(self.size_of, space.paths()))
        else:
            raise UsageError(
                f"sampler=size_proportional: the largest of the {space.count:,} networks of {space.name} is not known, "
                f"since their costs are no sums: use a space of {LISTED_PATHS:,} paths at most"
            )

    def size_of(self, path: ArchPath) -> float:
        """The size of a path's network at the space's reference input."""
        return float(getattr(self.space.costs(path), self.size))

    def accepts(self, path: ArchPath) -> bool:
        """True with its size as a share of the largest."""
        mark = float(torch.rand((), dtype=torch.float64, generator=self.generator))
        return mark * self.largest < self.size_of(path)
