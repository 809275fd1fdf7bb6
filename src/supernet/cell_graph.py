"""The graph of a cell whose edges are the choices: which nodes they join, and how a feature map passes through it.

B batch, C channels, H W size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor


class CellGraph(NamedTuple):
    """Node 0 is the input, every later node the sum of its incoming edges, the last node the output."""

    edges: tuple[tuple[int, int], ...]
    """(source, target) nodes of each edge, sorted by target; the order in which a path lists its choices."""

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return 1 + max(target for _, target in self.edges)

    def incoming(self, node: int) -> list[tuple[int, int]]:
        """(edge, source node) of the edges that end in a node."""
        return [(edge, source) for edge, (source, target) in enumerate(self.edges) if target == node]

    def run(self, x: Tensor, edges: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
        """x (B, C, H, W) is node 0; returns the last node."""
        nodes = [x]
        # reduce, not sum(): adding to a 0 first would cost one more operation on a GPU for every node.
        for node in range(1, self.nodes):
            nodes.append(reduce(torch.add, [edges[edge](nodes[source]) for edge, source in self.incoming(node)]))
        return nodes[-1]


NAS_BENCH_201 = CellGraph(((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)))
"""Every node is joined with all earlier ones (Dong and Yang 2020)."""
