"""The space of the searchers' toy problem, of which nothing is ever built."""

from __future__ import annotations

from torch import nn

from src.datasets.input_spec import InputSpec
from src.search_spaces.costs import Costs, CostTable, Part
from src.search_spaces.space import SearchSpace
from src.supernet.path import ArchPath
from src.supernet.supernet import Supernet
from tests.searchers import toy


class ToySpace(SearchSpace):
    name, sizes, reference, named = "toy", toy.SIZES, InputSpec(1, 10, 8), {}

    def build(self, in_channels: int, num_classes: int, image_size: int) -> Supernet:
        raise NotImplementedError

    def build_path(self, path: ArchPath, in_channels: int, num_classes: int, image_size: int) -> nn.Module:
        raise NotImplementedError

    def parts(self, input_spec: InputSpec) -> list[Part]:
        raise NotImplementedError

    def additive_costs(self, input_spec: InputSpec) -> CostTable:
        return CostTable(Costs(0, 1), tuple(tuple(Costs(1, int(c)) for c in layer) for layer in toy.MACS.choices))

    def costs(self, path: ArchPath, input_spec: InputSpec | None = None) -> Costs:
        return self.additive_costs(self.reference)(path)

    def op_names(self, layer: int) -> list[str]:
        return [f"op{choice}" for choice in range(self.sizes[layer])]
