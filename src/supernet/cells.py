"""Cells whose edges are the choices, and what stands between them (as in NAS-Bench-201).

B batch, C channels, H W size, m choices of an edge. A layer of a path is an edge of the cell.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from src.supernet.batch_norm import BatchNorm
from src.supernet.cell_graph import NAS_BENCH_201, CellGraph
from src.supernet.choice import ChoiceBlock, Routing
from src.supernet.path import ArchPath, Route
from src.supernet.segment import Segment, State
from src.supernet.shared_cell import SharedCell
from src.supernet.tied import tie, tied_ops


class Cell(SharedCell):
    """A cell of the supernet: each edge offers m operations that keep the shape (B, C, H, W)."""

    def __init__(self, edges: Iterable[ChoiceBlock], graph: CellGraph = NAS_BENCH_201, share: int = 1) -> None:
        """Each `share` consecutive edges use one copy of the operations' convolutions."""
        super().__init__()
        self.edges = nn.ModuleList(tie(edges, share))
        self.graph, self.share = graph, share
        self.op_ids = tied_ops(len(self.edges), len(self.blocks()[0].choices), share)
        self.sizes = tuple(len(block.choices) for block in self.blocks())

    def forward(self, x: Tensor, route: Route) -> Tensor:
        """(B, C, H, W) to the same shape; the route has one entry per edge."""
        blocks = zip(self.blocks(), route, strict=True)
        return self.graph.run(x, [partial(b, entry=entry, before=b.entries_before(route)) for b, entry in blocks])

    def run_all(self, xs: Tensor, routing: Routing) -> Tensor:
        """Every choice of every edge once: xs (m, B, C, H, W) of m paths to the same shape."""
        # The additions of CellGraph.run in the same order, with a dimension of paths in front.
        nodes, blocks = [xs], self.blocks()
        for node in range(1, self.graph.nodes):
            sums = [blocks[edge].run_all(nodes[source], routing, edge) for edge, source in self.graph.incoming(node)]
            nodes.append(sum(sums[1:], sums[0]))
        return nodes[-1]

    def blocks(self) -> list[ChoiceBlock]:
        """The choice block of each edge."""
        return [edge for edge in self.edges if isinstance(edge, ChoiceBlock)]

    def fixed(self, path: ArchPath) -> FixedCell:
        """The operations of a path in the same graph."""
        return FixedCell(self.modules_of(path), self.graph)

    def modules_of(self, path: ArchPath) -> list[nn.Module]:
        """The operations that a path runs."""
        return [block.operation_on(path, edge) for edge, block in enumerate(self.blocks())]

    def segments(self) -> list[Segment]:
        """One for each edge."""
        return [edge_segment(self, edge) for edge in range(len(self.graph.edges))]

    def begun(self, x: Tensor) -> Nodes:
        """The input is node 0; no edge has added anything to the others."""
        return (x, *[None] * (self.graph.nodes - 1))

    def ended(self, state: State) -> Tensor:
        """The last node."""
        return state[-1]

    def unreached(self, path: ArchPath) -> list[nn.Module]:
        """Operations of a path whose outputs reach the last node through a Zero alone."""
        operations, edges = self.modules_of(path), self.graph.edges
        # Backwards from the last node: edges are sorted by target, so a target is decided before its sources.
        reached = {self.graph.nodes - 1}
        for edge in reversed(range(len(edges))):
            source, target = edges[edge]
            if target in reached and not isinstance(operations[edge], Zero):
                reached.add(source)
        return [operations[edge] for edge, (_, target) in enumerate(edges) if target not in reached]

    def ancestors(self, layer: int, depth: int) -> tuple[int, ...]:
        """The edges whose outputs reach edge `layer` in `depth` hops at most."""
        ancestors: set[int] = set()
        # One hop back at a time: the edges that end where an edge of the frontier begins.
        frontier = {layer}
        for _ in range(depth):
            frontier = {edge for later in frontier for edge, _ in self.graph.incoming(self.graph.edges[later][0])}
            ancestors |= frontier
        return tuple(sorted(ancestors))


Nodes = tuple[Tensor | None, ...]
"""Partial sums (B, C, H, W) of the nodes of a cell while its edges run one by one; None: nothing added yet."""


def edge_segment(cell: Cell, edge: int) -> Segment:
    """The segment of one edge of a cell: adds the edge's output to the partial sum of its target node."""
    (source, target), block = cell.graph.edges[edge], cell.blocks()[edge]

    # A graph lists a node's edges in the order in which it adds them, so the sums are equal bit for bit.

    def run(nodes: Nodes, path: ArchPath) -> Nodes:
        y, before = block(nodes[source], path[edge], block.entries_before(path)), nodes[target]
        # A new tuple and no in-place addition: other paths continue from the old sums.
        return (*nodes[:target], y if before is None else before + y, *nodes[target + 1 :])

    return Segment(edge + 1, run, lambda path: [block.operation_on(path, edge)], is_block=True)


class FixedCell(nn.Module):
    """A cell of a stand-alone network: one operation on each edge."""

    def __init__(self, edges: Iterable[nn.Module], graph: CellGraph = NAS_BENCH_201) -> None:
        super().__init__()
        self.edges = nn.ModuleList(edges)
        self.graph = graph

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return self.graph.run(x, list(self.edges))


class Zero(nn.Module):
    """The operation `none`: cuts the gradient too, so parameters that feed only zeros keep .grad = None, frozen."""

    def forward(self, x: Tensor) -> Tensor:
        """Zeros of the shape of x."""
        # Not x * 0: that would pass a zero gradient on, and momentum and weight decay would move the weights.
        return torch.zeros_like(x)


def relu_conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int, affine: bool, running_stats: bool, bias: bool
) -> nn.Sequential:
    """ReLU, convolution with 'same' padding, BN: (B, C, H, W) -> (B, C', ceil(H / stride), ceil(W / stride))."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias)
    return nn.Sequential(nn.ReLU(), conv, BatchNorm(outputs, affine=affine, track_running_stats=running_stats))


class Reduction(nn.Module):
    """Residual block that halves the size: two 3x3 convolutions, beside 2x2 average pooling and a bias-free 1x1.

    (B, C, H, W) -> (B, C', H / 2, W / 2); H and W are even.
    """

    def __init__(self, inputs: int, outputs: int, affine: bool, running_stats: bool, bias: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            relu_conv_bn(inputs, outputs, 3, 2, affine, running_stats, bias),
            relu_conv_bn(outputs, outputs, 3, 1, affine, running_stats, bias),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / 2, W / 2)."""
        return self.shortcut(x) + self.body(x)
