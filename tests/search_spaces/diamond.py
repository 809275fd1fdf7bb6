"""A space of cells with a graph of its own, written with what src offers: nothing there knows of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MappingProxyType

from torch import nn

from src.datasets.input_spec import InputSpec
from src.search_spaces.costs import Costs, measure
from src.search_spaces.space import SearchSpace
from src.supernet.cell_graph import CellGraph
from src.supernet.cell_net import CellNet
from src.supernet.cells import Cell, FixedCell, Reduction, relu_conv_bn
from src.supernet.choice import ChoiceBlock
from src.supernet.ops import classifier, conv_bn
from src.supernet.path import ArchPath

GRAPH = CellGraph(((0, 1), (0, 2), (1, 3), (2, 3)))
"""Two ways of two edges each, which meet in the output."""


class Diamond(SearchSpace):
    """Cells of four edges out of {1x1, 3x3, identity}; costs are computed path by path, not summed."""

    name, sizes, reference, named = "diamond", (3,) * 4, InputSpec(1, 10, 8), MappingProxyType({})

    def build(self, in_channels: int, num_classes: int, image_size: int) -> CellNet:
        def cell(channels: int) -> Cell:
            return Cell((ChoiceBlock(self.op(c, channels) for c in range(m)) for m in self.sizes), GRAPH)

        return CellNet(conv_bn(in_channels, 4, 3), self.body(cell), classifier(8, None, num_classes))

    def build_path(self, path: ArchPath, in_channels: int, num_classes: int, image_size: int) -> nn.Sequential:
        def cell(channels: int) -> FixedCell:
            return FixedCell((self.op(choice, channels) for choice in self.check(path)), GRAPH)

        return nn.Sequential(
            conv_bn(in_channels, 4, 3), nn.Sequential(*self.body(cell)), classifier(8, None, num_classes)
        )

    def body(self, cell: Callable[[int], nn.Module]) -> list[nn.Module]:
        return [cell(4), Reduction(4, 8, True, True, False), cell(8)]

    def op(self, choice: int, channels: int) -> nn.Module:
        return nn.Identity() if choice == 2 else relu_conv_bn(channels, channels, (1, 3)[choice], 1, True, True, False)

    def costs(self, path: ArchPath, input_spec: InputSpec | None = None) -> Costs:
        spec = input_spec or self.reference
        shape = (spec.in_channels, spec.image_size, spec.image_size)
        return measure(partial(self.build_path, path, *spec), shape)[0]

    def op_names(self, layer: int) -> list[str]:
        return ["conv_1x1", "conv_3x3", "identity"]
