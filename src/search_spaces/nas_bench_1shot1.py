"""NAS-Bench-1Shot1: three spaces of NAS-Bench-101's cells that one supernet can hold (Zela et al. 2020).

n nodes of a cell, C channels, H W size. A path lists the operations of the nodes, then the sets of parents of those
that have several, in the order of itertools.combinations. Several paths are one cell: nodes that lead nowhere are left
out of it, and nodes have no names.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from types import MappingProxyType

from torch import nn

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError, unknown
from src.search_spaces.cell_101 import HASH, OPS, Cell101, convolutions, vertex_channels
from src.search_spaces.cell_paths import LETTERS, CellPaths
from src.search_spaces.costs import Costs
from src.search_spaces.picture import Graph
from src.search_spaces.space import SearchSpace
from src.search_spaces.stages import check_halved_twice, check_sequence
from src.supernet.batch_norm import BatchNorm
from src.supernet.cell_net import CellNet
from src.supernet.choice import ChoiceBlock
from src.supernet.nas_bench_101 import Graph101Cell, conv_bn_relu, head, operation
from src.supernet.node_cells import NodeCell, NodeGraph
from src.supernet.path import ArchPath
from src.supernet.tied import check_share

VARIANTS = {1: (1, 2, 2, 2, 2), 2: (1, 1, 2, 2, 3), 3: (1, 1, 1, 2, 2, 2)}
"""Parents of the nodes 1..n and of the output."""
STAGES = 3


class NasBench1Shot1(SearchSpace):
    """Variant 1 has 14,580 paths to 2,685 cells, variant 2 has 29,160, variant 3 has 1,312,200 to 55,854.

    Stand-alone networks are NAS-Bench-101's own, whose widths differ from those of the supernet.
    """

    name = "nas_bench_1shot1"
    reference = InputSpec(in_channels=3, num_classes=10, image_size=32)
    named = MappingProxyType({})

    def __init__(
        self,
        variant: int = 1,
        cells: int = 3,
        supernet_channels: int = 16,
        channels: int = 128,
        alone_cells: int = 3,
        bn_momentum: float = 0.003,
        share: int = 1,
    ) -> None:
        """The space, and the sizes of its networks.

        Args:
            variant: 1, 2 or 3, which differ in the parents of each node.
            cells: cells in each of the three stages of the supernet.
            supernet_channels: C of a node in the first stage of the supernet; doubled in each later one.
            channels: C of the stem of stand-alone networks, NAS-Bench-101's 128.
            alone_cells: cells in each of their three stages.
            bn_momentum: 1 - NAS-Bench-101's decay of running statistics, 0.997.
            share: consecutive nodes of a cell of the supernet that use one copy of the convolutions, with batch norms
                of their own (PA&DA supplement, B.1).
        """
        if type(variant) is not int or variant not in VARIANTS:
            raise unknown("search_space.variant", str(variant), [str(number) for number in VARIANTS])
        sizes = {"cells": cells, "supernet_channels": supernet_channels, "channels": channels}
        for key, value in (sizes | {"alone_cells": alone_cells}).items():
            check_sequence(key, [value], 1)
        self.cells, self.supernet_channels, self.channels = cells, supernet_channels, channels
        self.variant, self.alone_cells, self.bn_momentum = variant, alone_cells, bn_momentum
        # node v chooses among the sets of so many earlier nodes
        numbers = enumerate(VARIANTS[variant], 1)
        options = tuple(tuple(itertools.combinations(range(node), count)) for node, count in numbers)
        self.graph = NodeGraph(len(LETTERS), options)
        self.sizes, self.cell_paths = self.graph.sizes, CellPaths(self.graph)
        self.share = check_share(share, self.graph.nodes, "nodes of a cell")

    # networks

    def build(self, in_channels: int, num_classes: int, image_size: int) -> CellNet:
        """The supernet: every operation on every node of every cell."""
        self.check_input(InputSpec(in_channels, num_classes, image_size))
        # three stages; a cell puts out the channels of all its nodes
        inputs, channels, modules = self.supernet_channels, self.supernet_channels, list[nn.Module]()
        for stage in range(STAGES):
            if stage > 0:
                modules.append(nn.MaxPool2d(2, 2))
                channels *= 2
            for _ in range(self.cells):
                modules.append(self._cell(inputs, channels))
                inputs = self.graph.nodes * channels
        # the tail narrows that down to one node's channels
        stem = conv_bn_relu(in_channels, self.supernet_channels, 3, self.bn_momentum)
        norm = BatchNorm(channels, affine=False, momentum=self.bn_momentum)
        tail = nn.Sequential(nn.ReLU(), nn.Conv2d(inputs, channels, 1, bias=False), norm, head(channels, num_classes))
        return CellNet(stem, modules, tail)

    def _cell(self, inputs: int, channels: int) -> NodeCell:
        def project(node: int) -> nn.Module:
            outputs = channels if node <= self.graph.nodes else self.graph.nodes * channels
            return conv_bn_relu(inputs, outputs, 1, self.bn_momentum)

        def block() -> ChoiceBlock:
            return ChoiceBlock(operation(letter, channels, self.bn_momentum) for letter in LETTERS)

        return NodeCell(self.graph, project, (block() for _ in range(self.graph.nodes)), self.share)

    def build_path(self, path: ArchPath, in_channels: int, num_classes: int, image_size: int) -> nn.Sequential:
        """NAS-Bench-101's network of the cell, freshly initialised."""
        self.check_input(InputSpec(in_channels, num_classes, image_size))
        cell, body = self.cell(path), list[nn.Module]()
        for stage, (inputs, outputs) in enumerate(self._stages()):
            if stage > 0:
                body.append(nn.MaxPool2d(2, 2))
            for number in range(self.alone_cells):
                before = inputs if number == 0 else outputs
                widths = "-".join(map(str, vertex_channels(cell, before, outputs)[1:-1]))
                body.append(Graph101Cell(before, outputs, cell.ops, cell.matrix, widths, self.bn_momentum))
        stem = conv_bn_relu(in_channels, self.channels, 3, self.bn_momentum)
        return nn.Sequential(stem, nn.Sequential(*body), head(self._stages()[-1][1], num_classes))

    def _stages(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of the first cell of each stage of a stand-alone network."""
        widths = [self.channels * 2**stage for stage in range(STAGES)]
        return list(zip([self.channels, *widths], widths, strict=False))

    def same_candidates(self) -> list[tuple[int, ...]]:
        """The operations of all nodes, then each set of parents."""
        nodes = self.graph.nodes
        return [tuple(range(nodes)), *((layer,) for layer in range(nodes, len(self.sizes)))]

    def check_input(self, input_spec: InputSpec) -> None:
        """Refuse images that cannot be halved twice down to 2x2 or more."""
        check_halved_twice(self.name, input_spec.image_size)

    # costs

    def costs(self, path: ArchPath, input_spec: InputSpec | None = None) -> Costs:
        """Those of the stand-alone network, in closed form; widths depend on the whole cell, so they are no sums."""
        return self._costs(self.cell(path), input_spec or self.reference)

    @lru_cache(maxsize=2**16)  # noqa: B019 - a space lives as long as its command
    def _costs(self, cell: Cell101, input_spec: InputSpec) -> Costs:
        # stem: a 3x3 convolution and its batch norm
        size = input_spec.image_size
        weights = 9 * input_spec.in_channels * self.channels
        params, macs = weights + 2 * self.channels, weights * size**2
        # cells: each convolution at its stage's size, with a scale and a shift for each channel it puts out
        for stage, (inputs, outputs) in enumerate(self._stages()):
            for number in range(self.alone_cells):
                for conv in convolutions(cell, inputs if number == 0 else outputs, outputs):
                    weights = conv.inputs * conv.outputs * conv.kernel**2
                    params, macs = params + weights + 2 * conv.outputs, macs + weights * (size // 2**stage) ** 2
        # the linear layer
        weights = self._stages()[-1][1] * input_spec.num_classes
        return Costs(params + weights + input_spec.num_classes, macs + weights)

    def counts(self, path: ArchPath) -> dict[str, int]:
        """3x3 convolutions of the cell, and all its convolutions, without those that project its input."""
        ops = self.cell(path).ops
        return {"conv_3x3": ops.count("3"), "convolutions": len(ops) - ops.count("p")}

    # cells

    def cell(self, path: ArchPath) -> Cell101:
        """The cell of a path: without the nodes that lead nowhere."""
        return self.cell_paths.cell(self.check(path))

    def picture(self, path: ArchPath | None, input_spec: InputSpec) -> Graph | None:
        """The cell: an operation on each node, without the nodes that lead nowhere."""
        if path is None:
            return None
        cell = self.cell(path)
        return Graph(("input", *(OPS[op] for op in cell.ops), "output"), tuple((*ends, "") for ends in cell.edges()))

    def canonical(self, path: ArchPath) -> ArchPath:
        """The first path, in lexicographic order, to the same cell."""
        canonical = self.cell_paths.path_of(self.cell(path))
        assert canonical is not None
        return canonical

    def is_listed(self, path: ArchPath) -> bool:
        """Whether every node has the one before it as a parent: such a cell uses all nodes, and no other path is it.

        These are the cells of the list that the authors meant to search without loose ends: 1,944, 2,916 and 14,580.
        """
        return all(node - 1 in parents for node, parents in enumerate(self.graph.parents(path), 1))

    def subsets(self, paths: Sequence[ArchPath]) -> dict[str, list[bool]]:
        """`distinct cells`, one path each, and those that use every node in turn."""
        return {
            "distinct cells": [self.canonical(path) == path for path in paths],
            "without loose ends": [self.is_listed(path) for path in paths],
        }

    # text

    def op_names(self, layer: int) -> list[str]:
        """Operations of a node, or its sets of parents: `0+2`."""
        if layer < self.graph.nodes:
            return list(OPS.values())
        several = [sets for sets in self.graph.options if len(sets) > 1]
        return ["+".join(map(str, parents)) for parents in several[layer - self.graph.nodes]]

    def parse(self, text: object) -> ArchPath:
        """A path from `nb101:<operations>:<matrix>`, NAS-Bench-101's hash, `2-0-2-...` or a list.

        Raises:
            UsageError: nothing of the kind, or a cell of another variant.
        """
        if not isinstance(text, str) or not (text.startswith("nb101:") or HASH.fullmatch(text)):
            return super().parse(text)
        is_hash = HASH.fullmatch(text) is not None
        path = self.cell_paths.by_hash.get(text) if is_hash else self.cell_paths.path_of(Cell101.parse(text))
        if path is None:
            raise UsageError(f"'{text}' is no cell of {self.name} search_space.variant={self.variant}")
        return path

    def format(self, path: ArchPath) -> str:
        """`nb101:<operations>:<matrix>` of the first path to a cell; other paths to it are `2-0-2-...`."""
        return self.benchmark_name(path) if self.canonical(path) == path else super().format(path)

    def benchmark_name(self, path: ArchPath) -> str:
        """`nb101:<operations>:<matrix>`, the same for all paths to a cell."""
        return str(self.cell(self.canonical(path)))
