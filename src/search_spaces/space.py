"""Base classes of search spaces: the common contract, and the layer-by-layer kind.

L layers, m choices of a layer, C channels, H W size.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from types import MappingProxyType

import torch
from torch import nn

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError, unknown
from src.runtime.run_folder import LISTED_PATHS
from src.search_spaces.costs import Costs, CostTable, Part, measure, tabulate
from src.search_spaces.picture import Block, Blocks, Picture
from src.supernet.choice import ChoiceBlock
from src.supernet.layerwise import LayerwiseSupernet
from src.supernet.path import ArchPath, format_path, parse_path
from src.supernet.supernet import Supernet


class SearchSpace(ABC):
    """A set of networks, each named by a path: one choice per layer."""

    name: str
    sizes: tuple[int, ...]
    """Choices of each layer, (L,)."""
    reference: InputSpec
    """The input that published costs of the space are stated for."""
    named: Mapping[str, ArchPath]
    """Published networks by name."""

    @abstractmethod
    def build(self, in_channels: int, num_classes: int, image_size: int) -> Supernet:
        """The supernet: `net(images, route) -> logits`."""

    @abstractmethod
    def build_path(self, path: ArchPath, in_channels: int, num_classes: int, image_size: int) -> nn.Module:
        """The stand-alone network of one path: `net(images) -> logits`."""

    @abstractmethod
    def costs(self, path: ArchPath, input_spec: InputSpec | None = None) -> Costs:
        """Parameters and multiply-adds of the stand-alone network at `input_spec`, or at the reference input."""

    def additive_costs(self, input_spec: InputSpec) -> CostTable | None:
        """Parameters and multiply-adds of each choice of each layer at one input; None where costs are no such sums."""
        return None

    def extremes(self) -> tuple[ArchPath, ArchPath] | None:
        """The cheapest and the dearest network, where no cost needs looking for them; else None."""
        return None

    def parts(self, input_spec: InputSpec) -> list[Part]:
        """All modules that networks of the space are made of, where `additive_costs` gives a table; else none."""
        return []

    @abstractmethod
    def op_names(self, layer: int) -> list[str]:
        """A short name for each choice of a layer, in the order of the choices."""

    def picture(self, path: ArchPath | None, input_spec: InputSpec) -> Picture | None:  # noqa: B027
        """Blocks or graph of a path's network, of all networks together if it is None; None where there is no such."""

    def same_candidates(self) -> list[tuple[int, ...]]:
        """Layers in groups that offer the same operations to the same cell; layers in a row are each alone."""
        return [(layer,) for layer in range(len(self.sizes))]

    def check_input(self, input_spec: InputSpec) -> None:  # noqa: B027 - most spaces take any input
        """Refuse, by UsageError, images that the space's strides would shrink to nothing."""

    @property
    def count(self) -> int:
        """Number of paths."""
        return math.prod(self.sizes)

    def check(self, path: ArchPath) -> ArchPath:
        """The path itself, if it is one of this space.

        Raises:
            UsageError: a wrong length, or a choice that its layer does not have.
        """
        if len(path) != len(self.sizes):
            raise UsageError(
                f"path {format_path(path)} has {len(path)} choices: {self.name} has {len(self.sizes)} layers"
            )
        for layer, (choice, size) in enumerate(zip(path, self.sizes, strict=True)):
            if not 0 <= choice < size:
                raise UsageError(
                    f"path {format_path(path)} has choice {choice} in layer {layer}: "
                    f"{self.name} offers 0 to {size - 1} there"
                )
        return path

    def sample(self, generator: torch.Generator) -> ArchPath:
        """A path drawn uniformly: in every layer each choice with probability 1 / m."""
        return tuple(int(torch.randint(size, (), generator=generator)) for size in self.sizes)

    def all_paths(self, option: str) -> list[ArchPath]:
        """All paths, as `option` asked for.

        Raises:
            UsageError: there are too many to list.
        """
        if self.count > LISTED_PATHS:
            raise UsageError(
                f"{option}: {self.name} has {self.count:,} paths, more than {LISTED_PATHS:,}: take a sample"
            )
        return list(self.paths())

    def paths(self) -> Iterator[ArchPath]:
        """All paths in lexicographic order, lazily."""
        return itertools.product(*(range(size) for size in self.sizes))

    def sample_distinct(self, count: int, generator: torch.Generator) -> list[ArchPath]:
        """`count` different paths in the order drawn, or all of the space if it holds no more than that."""
        if count >= self.count:
            return list(self.paths())
        drawn: dict[ArchPath, None] = {}
        while len(drawn) < count:  # fast while count is well below the size, which the callers see to
            drawn[self.sample(generator)] = None
        return list(drawn)

    def canonical(self, path: ArchPath) -> ArchPath:
        """One path for all that are the same stand-alone network; without such symmetries the path itself."""
        return path

    def is_connected(self, path: ArchPath) -> bool:
        """Whether the input reaches the output; a network of zeros has one output for all images."""
        return True

    def counts(self, path: ArchPath) -> dict[str, int]:
        """Counting baselines beside parameters and multiply-adds, under the same names for every path of the space."""
        return {}

    def subsets(self, paths: Sequence[ArchPath]) -> dict[str, list[bool]]:
        """Parts of the space that are ranked on their own too: for each, which of the distinct `paths` are in it."""
        return {}

    def parse(self, text: object) -> ArchPath:
        """A path from a published name, from `2-0-2`, or from the space's own arch string.

        Raises:
            UsageError: nothing of the kind, or a path of another space.
        """
        if isinstance(text, str) and text in self.named:
            return self.named[text]
        if isinstance(text, str) and self.named and not text.lstrip()[:1].isdigit() and text.lstrip()[:1] not in "[(":
            raise unknown(f"architecture of {self.name}", text, [*self.named, "a path like 2-0-2"])
        return self.check(parse_path(text))

    def reads(self, text: object) -> bool:
        """True if `parse` accepts the text."""
        try:
            self.parse(text)
        except UsageError:
            return False
        return True

    def whole(self) -> SearchSpace:
        """The space that this one is a subset of; itself where it is not a subset."""
        return self

    def format(self, path: ArchPath) -> str:
        """The arch string by which tables name the path; `parse` reads it back."""
        return format_path(path)

    def benchmark_name(self, path: ArchPath) -> str:
        """The arch string by which benchmarks know the path's network, where they list equal networks once."""
        return self.format(path)


class SequentialSpace(SearchSpace):
    """A space of L layers in a row: subclasses say what the stem, each operation and the tail are."""

    named: Mapping[str, ArchPath] = MappingProxyType({})

    @abstractmethod
    def stem(self, in_channels: int) -> nn.Module:
        """Images to the first layer's input."""

    @abstractmethod
    def op(self, layer: int, choice: int) -> nn.Module:
        """A fresh operation: (B, C, H, W) -> (B, C', H', W'), the same shapes for all choices of a layer."""

    @abstractmethod
    def tail(self, num_classes: int) -> nn.Module:
        """The last layer's output to logits (B, classes)."""

    def picture(self, path: ArchPath | None, input_spec: InputSpec) -> Blocks | None:
        """A block for each layer, with the shape of its output."""
        blocks: list[Block] = []
        if path is None:
            return None
        with torch.device("meta"):  # shapes alone: nothing is computed
            x = self.stem(input_spec.in_channels)(torch.empty(1, input_spec.in_channels, *[input_spec.image_size] * 2))
            for layer, choice in enumerate(self.check(path)):
                x = self.op(layer, choice)(x)
                blocks.append(Block(self.op_names(layer)[choice], x.shape[1], x.shape[2]))
        return Blocks(tuple(blocks))

    def counts(self, path: ArchPath) -> dict[str, int]:
        """Inverted residuals (MB blocks), without the 1x1 convolutions by which identities and pools change shapes."""
        return {"mb_blocks": sum(self.op_names(i)[c].startswith("mb_") for i, c in enumerate(path))}

    def build(self, in_channels: int, num_classes: int, image_size: int) -> LayerwiseSupernet:
        """The supernet, with every choice of every layer."""
        self.check_input(InputSpec(in_channels, num_classes, image_size))
        layers = [ChoiceBlock(self.op(i, c) for c in range(m)) for i, m in enumerate(self.sizes)]
        return LayerwiseSupernet(self.stem(in_channels), layers, self.tail(num_classes))

    def build_path(self, path: ArchPath, in_channels: int, num_classes: int, image_size: int) -> nn.Sequential:
        """The stand-alone network of one path, freshly initialised."""
        self.check_input(InputSpec(in_channels, num_classes, image_size))
        ops = [self.op(i, c) for i, c in enumerate(self.check(path))]
        return nn.Sequential(self.stem(in_channels), nn.Sequential(*ops), self.tail(num_classes))

    def costs(self, path: ArchPath, input_spec: InputSpec | None = None) -> Costs:
        """Sums over the per-choice table of the input, which is built on first use."""
        return self.additive_costs(input_spec or self.reference)(self.check(path))

    @lru_cache(maxsize=8)  # noqa: B019 - a space lives as long as its command
    def additive_costs(self, input_spec: InputSpec) -> CostTable:
        """The per-choice costs at one input."""
        return tabulate(self.parts(input_spec), self.sizes)

    def parts(self, input_spec: InputSpec) -> list[Part]:
        """The stem, every choice of every layer, the tail."""
        self.check_input(input_spec)
        # each part gets the shape that the part before it puts out
        shape: tuple[int, ...] = (input_spec.in_channels, input_spec.image_size, input_spec.image_size)
        parts = []

        def add(build: Callable[[], nn.Module], layers: tuple[int, ...] = (), choice: int = 0) -> tuple[int, ...]:
            costs, after = measure(build, shape)
            parts.append(Part(build, shape, costs, layers, choice))
            return after

        shape = add(partial(self.stem, input_spec.in_channels))
        for layer, size in enumerate(self.sizes):
            after = [add(partial(self.op, layer, choice), (layer,), choice) for choice in range(size)]
            shape = after[0]
        add(partial(self.tail, input_spec.num_classes))
        return parts
