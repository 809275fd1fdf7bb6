"""The candidates that a sampler can learn about: choices that are operations, in layers that draw together.

L layers, m choices of a layer, K candidates over all groups that learn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from src.runtime.errors import UsageError
from src.search_spaces.space import SearchSpace
from src.supernet.path import OpId, Route
from src.supernet.supernet import Supernet
from src.supernet.tied import are_tied


class Group(NamedTuple):
    """Layers that draw from one distribution over m choices."""

    layers: tuple[int, ...]
    size: int
    """m"""
    candidates: slice | None
    """Its choices among the K candidates; None: no operations, such as sets of parents, which are drawn uniformly."""
    names: list[str]
    """(m,) of the choices in its first layer."""


class Candidates:
    """All groups of layers of a supernet, and which of their choices are the K candidates."""

    def __init__(self, space: SearchSpace, net: Supernet, together: bool) -> None:
        """`together`: layers that offer the same candidates, the edges of a cell, are one group; else each is its own.

        Raises:
            UsageError: no layer has several operations.
        """
        self.net, self.tied = net, are_tied(net)
        blocks = dict(net.blocks())  # the last cell's tells, as all have the same
        layers = space.same_candidates() if together else [(number,) for number in range(len(space.sizes))]
        self.groups: list[Group] = []
        has_parameters: list[bool] = []
        for members in layers:
            first, size = members[0], space.sizes[members[0]]
            learns = first in blocks and size > 1
            place = slice(len(has_parameters), len(has_parameters) + size) if learns else None
            self.groups.append(Group(members, size, place, space.op_names(first)))
            if learns:
                operations = [blocks[first].operations(choice) for choice in range(size)]
                has_parameters += [any(list(module.parameters()) for module in modules) for modules in operations]
        self.has_parameters = torch.tensor(has_parameters, dtype=torch.bool)
        """(K,)"""
        self.group_of = {layer: number for number, group in enumerate(self.groups) for layer in group.layers}
        if not has_parameters:
            raise UsageError(f"sampler=path_importance: no layer of {space.name} has several operations to draw from")

    @property
    def count(self) -> int:
        """K."""
        return len(self.has_parameters)

    @property
    def learning_layers(self) -> int:
        """Layers whose draws are learnt."""
        return sum(len(group.layers) for group in self.groups if group.candidates is not None)

    def index(self, op: OpId) -> int | None:
        """The candidate that an operation is; None: of another kind."""
        layer, choice = op
        place = self.groups[self.group_of[layer]].candidates if layer in self.group_of else None
        return None if place is None else place.start + choice

    def uses(self, routes: Iterable[Route]) -> Counter[int]:
        """Candidate -> operations of the routes that are it; tied ones count once a route."""
        indices = (self.index(op) for route in routes for op in self.net.operations(route))
        return Counter(index for index in indices if index is not None)

    def by_group(self, values: Tensor) -> list[Tensor | None]:
        """Values (K,) of each group, (m,); None where it does not learn."""
        return [None if group.candidates is None else values[group.candidates] for group in self.groups]
