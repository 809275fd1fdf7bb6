"""A layer-by-layer supernet: stem, L choice blocks, tail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from src.supernet.batch_norm import repeated, stacked
from src.supernet.choice import ChoiceBlock, Routing
from src.supernet.path import ArchPath, Route
from src.supernet.segment import Segment


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
        for (_, block), entry in zip(self.blocks(), route, strict=True):
            x = block(x, entry, block.entries_before(route))
        return self.tail(x)

    def window(self, x: Tensor, routes: Sequence[Route]) -> list[Tensor]:
        """The same images (B, C, H, W) through R routes, layer by layer: R logits (B, classes), as R calls give them.

        What the routes share runs once: the stem, and the tail on R * B inputs. The activations of all R are alive.
        """
        with repeated([self.stem], len(routes)):
            shared = self.stem(x)
        xs = [shared] * len(routes)
        for layer, block in self.blocks():
            xs = [block(x, route[layer], block.entries_before(route)) for x, route in zip(xs, routes, strict=True)]
        with stacked([self.tail], len(routes)):
            return list(self.tail(torch.cat(xs)).chunk(len(routes)))

    def static_window(self, x: Tensor, routing: Routing) -> Tensor:
        """As `window`, but which path runs what is data: the same operations in every step. Logits (m, B, classes).

        The caller says what is shared: `repeated` for the stem, `stacked` for what `shared` names.
        """
        m = routing.choices.shape[1]
        shared = self.stem(x)
        xs = torch.stack([shared] * m)
        for layer, block in self.blocks():
            xs = block.run_all(xs, routing, layer)
        return self.tail(xs.flatten(0, 1)).unflatten(0, (m, -1))

    def along(self, path: ArchPath) -> nn.Sequential:
        """What a path runs, as a network of these very modules, nested and named as stand-alone networks are."""
        operations = [block.operation_on(path, layer) for layer, block in self.blocks()]
        return nn.Sequential(self.stem, nn.Sequential(*operations), self.tail)

    def shared(self) -> list[nn.Module]:
        """What runs on the images of all paths of a window at once, beside the stem."""
        return [self.tail]

    def unreached(self, path: ArchPath) -> list[nn.Module]:
        """Operations on a path whose outputs go nowhere: none here."""
        return []

    def segments(self) -> list[Segment]:
        """The stem, each layer, the tail."""
        stem = Segment(0, lambda x, _: self.stem(x), lambda _: [self.stem])
        tail = Segment(len(self.layers), lambda x, _: self.tail(x), lambda _: [self.tail])
        return [stem, *(_segment(layer, block) for layer, block in self.blocks()), tail]

    def blocks(self) -> list[tuple[int, ChoiceBlock]]:
        """(layer, block) in the order in which they run."""
        return [(layer, block) for layer, block in enumerate(self.layers) if isinstance(block, ChoiceBlock)]

    def ancestors(self, layer: int, depth: int) -> tuple[int, ...]:
        """The layers whose outputs reach this one in `depth` hops at most: in a row, the `depth` ones before it."""
        return tuple(range(max(layer - depth, 0), layer))

    def choice_modules(self, layer: int, choice: int) -> list[nn.Module]:
        """The modules that one choice of one layer stands for."""
        return self.blocks()[layer][1].operations(choice)


def _segment(layer: int, block: ChoiceBlock) -> Segment:
    def run(x: Tensor, path: ArchPath) -> Tensor:
        return block(x, path[layer], block.entries_before(path))

    return Segment(layer + 1, run, lambda path: [block.operation_on(path, layer)], is_block=True)
