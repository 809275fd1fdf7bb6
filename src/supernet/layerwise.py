"""A layer-by-layer supernet: stem, L choice blocks, tail.

B batch, C channels, H W size, R routes, m choices of a layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from src.supernet.batch_norm import repeated, stacked
from src.supernet.choice import ChoiceBlock, Routing
from src.supernet.path import ArchPath, OpId, Route
from src.supernet.segment import Segment, block_segment
from src.supernet.supernet import Supernet


class LayerwiseSupernet(Supernet):
    """Choice blocks in a row, each fed by the one before it."""

    def __init__(self, stem: nn.Module, layers: Iterable[ChoiceBlock], tail: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.layers = nn.ModuleList(layers)
        self.tail = tail

    @property
    def sizes(self) -> tuple[int, ...]:
        """Choices of each layer, (L,)."""
        return tuple(len(block.choices) for _, block in self.blocks())

    def forward(self, x: Tensor, route: Route) -> Tensor:
        """Images (B, C, H, W) through one route: logits (B, classes)."""
        x = self.stem(x)
        for (_, block), entry in zip(self.blocks(), route, strict=True):
            x = block(x, entry, block.entries_before(route))
        return self.tail(x)

    def window(self, x: Tensor, routes: Sequence[Route]) -> list[Tensor]:
        """Images (B, C, H, W) through R routes, layer by layer: R logits (B, classes); the tail gets R * B inputs."""
        # One pass of the stem stands for R: its BN statistics must move as R passes would have moved them.
        with repeated([self.stem], len(routes)):
            features = self.stem(x)
        # For the backward pass autograd keeps the activations of all R routes: R times the memory of one.
        xs = [features] * len(routes)
        for layer, block in self.blocks():
            xs = [block(x, route[layer], block.entries_before(route)) for x, route in zip(xs, routes, strict=True)]
        with stacked([self.tail], len(routes)):
            return list(self.tail(torch.cat(xs)).chunk(len(routes)))

    def compilable_window(self, x: Tensor, routing: Routing) -> Tensor:
        """Images (B, C, H, W) through m paths whose choices are tensors: logits (m, B, classes)."""
        m = routing.choices.shape[1]
        features = self.stem(x)
        xs = torch.stack([features] * m)
        for layer, block in self.blocks():
            xs = block.run_all(xs, routing, layer)
        return self.tail(xs.flatten(0, 1)).unflatten(0, (m, -1))

    def path_state(self, path: ArchPath) -> dict[str, Tensor]:
        """Weights and statistics of one path, named as its stand-alone network names them."""
        return self.subnet(path).state_dict()

    def subnet(self, path: ArchPath) -> nn.Sequential:
        """The network of one path, made of these very modules, nested and named as stand-alone networks are."""
        operations = [block.operation_on(path, layer) for layer, block in self.blocks()]
        return nn.Sequential(self.stem, nn.Sequential(*operations), self.tail)

    def stacked_modules(self) -> list[nn.Module]:
        """The tail."""
        return [self.tail]

    def unreached(self, path: ArchPath) -> list[nn.Module]:
        """None: every layer of a row is reached."""
        return []

    def segments(self) -> list[Segment]:
        """The stem, each layer, the tail."""
        stem = Segment(0, lambda x, _: self.stem(x), lambda _: [self.stem])
        tail = Segment(len(self.layers), lambda x, _: self.tail(x), lambda _: [self.tail])
        return [stem, *(block_segment(layer, block) for layer, block in self.blocks()), tail]

    def blocks(self) -> list[tuple[int, ChoiceBlock]]:
        """(layer, block) in the order in which they run."""
        return [(layer, block) for layer, block in enumerate(self.layers) if isinstance(block, ChoiceBlock)]

    def ancestors(self, layer: int, depth: int) -> tuple[int, ...]:
        """In a row, the `depth` layers before this one."""
        return tuple(range(max(layer - depth, 0), layer))

    def op_modules(self, op: OpId) -> list[nn.Module]:
        """The operation of (layer, choice), and its copies after a split."""
        layer, choice = op
        return self.blocks()[layer][1].operations(choice)
