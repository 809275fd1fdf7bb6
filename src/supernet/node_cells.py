"""Cells whose nodes choose an operation and their parents (NAS-Bench-1Shot1, Zela et al. 2020).

B batch, C channels, H W size, n nodes between input (node 0) and output (node n + 1), m choices, L decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import reduce
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn

from src.runtime.errors import UsageError
from src.supernet.choice import ChoiceBlock
from src.supernet.path import ArchPath, Entry, OpId, Route, chosen
from src.supernet.segment import Segment
from src.supernet.shared_cell import SharedCell
from src.supernet.tied import tie

Factor = Tensor | None
"""Weight of an edge; None: 1."""


class NodeGraph(NamedTuple):
    """Which parents each node may have; a path lists the operations of the n nodes, then the sets of parents."""

    operations: int
    """Choices of a node's operation."""
    options: tuple[tuple[tuple[int, ...], ...], ...]
    """Sets of parents of the nodes 1..n and the output, (n + 1,)."""

    @property
    def nodes(self) -> int:
        """n"""
        return len(self.options) - 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """Choices of each decision, (L,): a node with one set of parents has none to make."""
        return (self.operations,) * self.nodes + tuple(len(sets) for sets in self.options if len(sets) > 1)

    def entries(self, route: Route) -> list[Entry]:
        """The route's entry for the parents of the nodes 1..n and the output, (n + 1,)."""
        decided = iter(route[self.nodes :])
        return [next(decided) if len(sets) > 1 else 0 for sets in self.options]

    def parents(self, route: Route) -> list[dict[int, Factor]]:
        """Parent -> weight of its edge, for the nodes 1..n and the output, (n + 1,); edges of weight 0 are left out."""
        return [_edges(sets, entry) for sets, entry in zip(self.options, self.entries(route), strict=True)]


def _edges(sets: Sequence[Sequence[int]], entry: Entry) -> dict[int, Factor]:
    """Parent -> weight of its edge: the sum of the weights of all sets it is in."""
    if not isinstance(entry, Tensor):
        return dict.fromkeys(sets[entry])
    # a learnt weight that happens to be 0 still needs its output for its gradient
    weights: dict[int, Tensor] = {}
    for parents, weight in zip(sets, entry.unbind(), strict=True):
        if weight.requires_grad or weight != 0:
            weights |= {p: weights[p] + weight if p in weights else weight for p in parents}
    return {p: weights[p] for p in sorted(weights)}


def live_nodes(parents: Sequence[Iterable[int]]) -> set[int]:
    """Nodes on a way to the output, itself and perhaps the input among them; `parents` of the nodes 1..n + 1."""
    live = {len(parents)}
    for node in reversed(range(1, len(parents) + 1)):
        if node in live:
            live |= {*parents[node - 1]}
    return live


class NodeCell(SharedCell):
    """Each node sums its parents, the input through a 1x1 of the node's own, and applies one of m operations.

    The output joins the channels of all n nodes, zeros in the place of those that are not its parents, and adds the
    input through a 1x1 if that is one. Nodes that lead nowhere are not run: (B, inputs, H, W) -> (B, n C, H, W).
    """

    def __init__(
        self, graph: NodeGraph, project: Callable[[int], nn.Module], nodes: Iterable[ChoiceBlock], share: int = 1
    ) -> None:
        """The cell of a graph.

        Args:
            graph: nodes, their operations and sets of parents.
            project: of a node: makes the 1x1 by which the input reaches it (C channels) or the output (n C).
            nodes: the choice block of each.
            share: consecutive nodes that use one copy of the operations' convolutions.
        """
        super().__init__()
        self.graph, self.sizes, self.share = graph, graph.sizes, share
        self.nodes = nn.ModuleList(tie(nodes, share))
        self.projections = nn.ModuleList(project(node) for node in range(1, graph.nodes + 2))
        # the choices of operations, then the projections, numbered after the decisions
        choices = [(node, choice) for node in range(0, graph.nodes, share) for choice in range(graph.operations)]
        self.op_ids = (*choices, *((len(self.sizes) + node, 0) for node in range(graph.nodes + 1)))

    def forward(self, x: Tensor, route: Route) -> Tensor:
        """(B, inputs, H, W) along a route of L entries to (B, n C, H, W)."""
        parents = self.graph.parents(route)
        live = live_nodes(parents)
        # node by node, those that lead to the output
        values: dict[int, Tensor] = {}
        for node, block in enumerate(self.blocks(), 1):
            if node in live:
                terms = [self._term(values, x, source, node, w) for source, w in parents[node - 1].items()]
                values[node] = block(reduce(torch.add, terms), route[node - 1], block.entries_before(route))
        # the output, with zeros for nodes that are no parent of it
        *_, ends = parents
        present = {source: _scaled(values[source], w) for source, w in ends.items() if source > 0}
        zeros = torch.zeros_like(next(iter(present.values())))
        joined = torch.cat([present.get(node, zeros) for node in range(1, self.graph.nodes + 1)], 1)
        return joined + self._term(values, x, 0, self.graph.nodes + 1, ends[0]) if 0 in ends else joined

    def _term(self, values: dict[int, Tensor], x: Tensor, source: int, node: int, weight: Factor) -> Tensor:
        """A parent's contribution to a node, (B, C', H, W)."""
        return _scaled(self.projections[node - 1](x) if source == 0 else values[source], weight)

    def blocks(self) -> list[ChoiceBlock]:
        """The choice block of each node, which are the first decisions; sets of parents have none."""
        return [block for block in self.nodes if isinstance(block, ChoiceBlock)]

    def fixed(self, path: ArchPath) -> nn.Module:
        """There is none.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            "stand-alone networks of this space have NAS-Bench-101's widths, and its supernet other ones, so no path "
            "can be taken out of it: retrain with weights=scratch"
        )

    def modules_of(self, path: ArchPath) -> list[nn.Module]:
        """The operations and projections that a path runs."""
        # operations as the path's earlier choices have them, projections as they are
        parents, blocks = self.graph.parents(path), self.blocks()
        live = live_nodes(parents)
        operations = [blocks[node].operation_on(path, node) for node in range(self.graph.nodes) if node + 1 in live]
        return [*operations, *chain.from_iterable(map(self.op_modules, self._projections(parents, live)))]

    def segments(self) -> list[Segment]:
        """The whole cell: its first node may depend on the last decision."""
        return [Segment(len(self.sizes), lambda x, path: self(x, path), self.modules_of, is_block=True)]

    def ancestors(self, layer: int, depth: int) -> tuple[int, ...]:
        """Nodes that may come before this one."""
        reached, frontier = set[int](), {layer + 1}
        for _ in range(depth):
            sets = [parents for node in frontier for parents in self.graph.options[node - 1]]
            frontier = {parent for parents in sets for parent in parents if parent > 0}
            reached |= frontier
        return tuple(sorted(node - 1 for node in reached))

    def operations(self, route: Route) -> list[OpId]:
        """The operations of the nodes that lead to the output, and the projections of the input to them."""
        parents = self.graph.parents(route)
        live = live_nodes(parents)
        ops = [(node, choice) for node, choice in chosen(route[: self.graph.nodes]) if node + 1 in live]
        return [*self.owners(ops), *self._projections(parents, live)]

    def _projections(self, parents: Sequence[Collection[int]], live: set[int]) -> list[OpId]:
        """The projections of the input to the live nodes that have it as a parent; `parents` of the nodes 1..n + 1."""
        last = self.graph.nodes + 1
        fed = [node for node in range(1, last + 1) if node in live and 0 in parents[node - 1]]
        return [(len(self.sizes) + node - 1, 0) for node in fed]

    def op_modules(self, op: OpId) -> list[nn.Module]:
        """The operation of a node, or of nodes that are tied, with its copies after a split; or a projection."""
        number, _ = op
        if number < self.graph.nodes:
            return super().op_modules(op)
        return [self.projections[number - len(self.sizes)]]


def _scaled(value: Tensor, weight: Factor) -> Tensor:
    return value if weight is None else weight * value
