"""Cells: small graphs whose edges are the choices, with one path shared by all cells of a net (as in NAS-Bench-201).

B batch, C channels, H W size, R routes, m choices of an edge. A layer of a path is an edge of the cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn

from src.supernet.batch_norm import BatchNorm, repeated, stacked
from src.supernet.cell_graph import NAS_BENCH_201, CellGraph
from src.supernet.choice import ChoiceBlock, Routing
from src.supernet.path import ArchPath, OpId, Route
from src.supernet.segment import Segment
from src.supernet.supernet import Supernet


class Cell(nn.Module):
    """A cell of the supernet: each edge offers m operations that keep the shape (B, C, H, W)."""

    def __init__(self, edges: Iterable[ChoiceBlock], graph: CellGraph = NAS_BENCH_201) -> None:
        super().__init__()
        self.edges = nn.ModuleList(edges)
        self.graph = graph

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

    def modules_of(self, path: ArchPath) -> list[nn.Module]:
        """The operations that a path runs."""
        return [block.operation_on(path, edge) for edge, block in enumerate(self.blocks())]


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


class CellNet(Supernet):
    """A supernet of cells: all follow the same route; reductions between them have no choice."""

    def __init__(self, stem: nn.Module, cells: Iterable[nn.Module], tail: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.cells = nn.ModuleList(cells)
        self.tail = tail
        self.graph = next(cell.graph for cell in self.cells if isinstance(cell, Cell))

    def forward(self, x: Tensor, route: Route) -> Tensor:
        """Images (B, C, H, W) through one route: logits (B, classes)."""
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x, route) if isinstance(cell, Cell) else cell(x)
        return self.tail(x)

    def window(self, x: Tensor, routes: Sequence[Route]) -> list[Tensor]:
        """Images (B, C, H, W) through R routes, cell by cell: R logits (B, classes); the tail gets R * B inputs."""
        count = len(routes)
        # One pass of the stem stands for R: its BN statistics must move as R passes would have moved them.
        with repeated([self.stem], count):
            features = self.stem(x)
        xs: Sequence[Tensor] = [features] * count
        for cell in self.cells:
            if isinstance(cell, Cell):
                xs = [cell(x, route) for x, route in zip(xs, routes, strict=True)]
            else:
                # A reduction is the same for all routes: one large convolution instead of R small ones.
                with stacked([cell], count):
                    xs = cell(torch.cat(list(xs))).chunk(count)
        with stacked([self.tail], count):
            return list(self.tail(torch.cat(list(xs))).chunk(count))

    def compilable_window(self, x: Tensor, routing: Routing) -> Tensor:
        """Images (B, C, H, W) through m paths whose choices are tensors: logits (m, B, classes)."""
        m = routing.choices.shape[1]
        features = self.stem(x)
        xs = torch.stack([features] * m)
        for cell in self.cells:
            xs = cell.run_all(xs, routing) if isinstance(cell, Cell) else cell(xs.flatten(0, 1)).unflatten(0, (m, -1))
        return self.tail(xs.flatten(0, 1)).unflatten(0, (m, -1))

    def subnet(self, path: ArchPath) -> nn.Sequential:
        """The network of one path, made of these very modules, nested and named as stand-alone networks are."""
        cells = [
            FixedCell(cell.modules_of(path), self.graph) if isinstance(cell, Cell) else cell for cell in self.cells
        ]
        return nn.Sequential(self.stem, nn.Sequential(*cells), self.tail)

    def stacked_modules(self) -> list[nn.Module]:
        """The reductions and the tail."""
        return [*(cell for cell in self.cells if not isinstance(cell, Cell)), self.tail]

    def unreached(self, path: ArchPath) -> list[nn.Module]:
        """Operations of a path whose outputs reach the last node through a Zero alone: they get no gradient."""
        # All cells follow the same path, so the first one decides for all.
        blocks = [cell.blocks() for cell in self.cells if isinstance(cell, Cell)]
        passes = [not isinstance(block.operation_on(path, edge), Zero) for edge, block in enumerate(blocks[0])]
        # Backwards from the last node: edges are sorted by target, so a target is decided before its sources.
        reached = {self.graph.nodes - 1}
        edges = self.graph.edges
        for edge in reversed(range(len(edges))):
            source, target = edges[edge]
            if passes[edge] and target in reached:
                reached.add(source)
        dead = [edge for edge, (_, target) in enumerate(edges) if target not in reached]
        return [cell[edge].operation_on(path, edge) for cell in blocks for edge in dead]

    def segments(self) -> list[Segment]:
        """The stem, each edge of the first cell, all the rest: a later cell's input depends on the whole path."""
        first, *rest = self.cells
        assert isinstance(first, Cell)

        def finish(nodes: Nodes, path: ArchPath) -> Tensor:
            x = nodes[-1]
            for cell in rest:
                x = cell(x, path) if isinstance(cell, Cell) else cell(x)
            return self.tail(x)

        def modules(path: ArchPath) -> list[nn.Module]:
            # Every module whose norms `finish` runs: each is calibrated together with the rest of the path.
            cells = [cell.modules_of(path) if isinstance(cell, Cell) else [cell] for cell in rest]
            return [*chain.from_iterable(cells), self.tail]

        stem = Segment(0, lambda x, _: (self.stem(x), *[None] * (self.graph.nodes - 1)), lambda _: [self.stem])
        edges = [edge_segment(first, edge) for edge in range(len(self.graph.edges))]
        return [stem, *edges, Segment(len(edges), finish, modules)]

    def blocks(self) -> list[tuple[int, ChoiceBlock]]:
        """(edge, block) of all cells in turn."""
        return [entry for cell in self.cells if isinstance(cell, Cell) for entry in enumerate(cell.blocks())]

    def ancestors(self, layer: int, depth: int) -> tuple[int, ...]:
        """The edges of the same cell whose outputs reach edge `layer` in `depth` hops at most."""
        ancestors: set[int] = set()
        # One hop back at a time: the edges that end where an edge of the frontier begins.
        frontier = {layer}
        for _ in range(depth):
            frontier = {edge for later in frontier for edge, _ in self.graph.incoming(self.graph.edges[later][0])}
            ancestors |= frontier
        return tuple(sorted(ancestors))

    def op_modules(self, op: OpId) -> list[nn.Module]:
        """The operation of (edge, choice) in each cell, and its copies after a split."""
        layer, choice = op
        return [module for edge, block in self.blocks() if edge == layer for module in block.operations(choice)]


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
