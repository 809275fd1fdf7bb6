"""A layer-by-layer supernet: stem, L choice blocks, tail."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from src.supernet.choice import ChoiceBlock
from src.supernet.path import Route


class Supernet(nn.Module):
    """Every network of a layer-by-layer space in one; which of them runs is passed in with each call."""

    def __init__(self, stem: nn.Module, layers: Iterable[ChoiceBlock], tail: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.layers = nn.ModuleList(layers)
        self.tail = tail

    def forward(self, x: Tensor, route: Route) -> Tensor:
        """Images (B, C, H, W) through the given route: logits (B, classes)."""
        x = self.stem(x)
        for layer, choice in zip(self.layers, route, strict=True):
            x = layer(x, choice)
        return self.tail(x)

    def choice_modules(self, layer: int, choice: int) -> list[nn.Module]:
        """The modules that one choice of one layer stands for."""
        block = self.layers[layer]
        assert isinstance(block, ChoiceBlock)
        return [block.choices[choice]]
