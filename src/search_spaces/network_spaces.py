"""Network spaces: an expanded space of widths and depths, cut into ranges of each.

The supplement of Network Space Search leaves the partition open. Here every decision is cut evenly, so that all spaces
have equally many networks and tile the whole. m choices of a decision, K ranges of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from src.datasets.input_spec import InputSpec
from src.runtime.devices import move
from src.runtime.errors import UsageError
from src.search_spaces.expanded import Expanded, StageMoments
from src.supernet.path import ArchPath

NEAR = 0.1
"""A network hits a target if its cost is within a tenth of it."""
HIT_DRAWS = 20_000
"""Networks drawn to estimate how many of a space hit the target."""


class NetworkSpaces:
    """The ranges of each decision, d1, w1, d2, w2, d3, w3, and what networks drawn from them cost."""

    space: Expanded
    input_spec: InputSpec

    def __init__(self, sizes: Sequence[int], partition: Mapping[str, int]) -> None:
        """`sizes`: depths and widths of each stage in turn; `partition`: `depth` and `width`, how many a range has.

        Raises:
            UsageError: ranges that do not tile the choices.
        """
        self.sizes = tuple(sizes)
        self.widths = [int(partition["width" if layer % 2 else "depth"]) for layer in range(len(self.sizes))]
        """Choices of a range, of each decision."""
        for layer, (size, width) in enumerate(zip(self.sizes, self.widths, strict=True)):
            kind = "width" if layer % 2 else "depth"
            if width < 1 or size % width:
                raise UsageError(f"partition.{kind}={width} does not tile the {size} {kind}s of stage {layer // 2 + 1}")
        self.counts = [size // width for size, width in zip(self.sizes, self.widths, strict=True)]
        """K of each decision."""

    @classmethod
    def of(cls, space: Expanded, partition: Mapping[str, int], input_spec: InputSpec) -> NetworkSpaces:
        """Those of a space, with costs on such images."""
        spaces = cls(space.sizes, partition)
        spaces.space, spaces.input_spec = space, input_spec
        return spaces

    def names(self, layer: int) -> list[str]:
        """`1-2` for each range of a decision."""
        names, width = self.space.op_names(layer), self.widths[layer]
        return [f"{names[at]}-{names[at + width - 1]}" for at in range(0, len(names), width)]

    def draw_values(self, generator: torch.Generator) -> list[Tensor]:
        """A choice of each range, uniformly: int64 (K,) of each decision."""
        return [
            width * torch.arange(count) + torch.randint(width, (count,), generator=generator)
            for count, width in zip(self.counts, self.widths, strict=True)
        ]

    def spread(self, probabilities: Sequence[Tensor]) -> list[Tensor]:
        """Probabilities (K,) of ranges as those (m,) of choices: each range's, divided evenly."""
        return [
            (p / width).repeat_interleave(width, output_size=size)
            for p, width, size in zip(probabilities, self.widths, self.sizes, strict=True)
        ]

    def expected(self, of: str, weights: Sequence[Tensor]) -> Tensor:
        """The mean cost () of networks whose decisions are drawn by weights (m,) each, differentiable in them."""
        # independent decisions: means of depth, width and its square are all that a cost needs
        moments = []
        for stage, (depths, widths) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
            d, w = (
                move(torch.tensor(list(values), dtype=share.dtype), share.device)
                for values, share in ((self.space.depths[stage], depths), (self.space.widths[stage], widths))
            )
            # sums, not products of vectors, which autocast would take in bfloat16
            moments.append(StageMoments((depths * d).sum(), (widths * w).sum(), (widths * w.square()).sum()))
        cost: Tensor = self.space.expected_cost(of, moments, self.input_spec)
        return cost

    def cost(self, of: str, path: ArchPath) -> int:
        """The cost of a network on the run's images."""
        cost: int = getattr(self.space.costs(path, self.input_spec), of)
        return cost

    def bounds(self, of: str) -> tuple[int, int]:
        """Costs of the smallest and of the largest network."""
        low, high = (self.cost(of, path) for path in self.space.extremes())
        return low, high

    def check_target(self, key: str, of: str, target: float) -> None:
        """Refuse a target that no network reaches; costs rise with every depth and width.

        Raises:
            UsageError: it names `key`, which the target was given by, and what can be reached.
        """
        low, high = self.bounds(of)
        if not low <= target <= high:
            reach = f"networks of {self.space.name} have {low:,} to {high:,} {of} at {self.input_spec.image_size} px"
            raise UsageError(f"{key}={target:.10g} is out of reach: {reach}")

    def costs_of(self, of: str, choices: Tensor) -> Tensor:
        """Costs (n,) float64 of n networks, by their choices (n, L)."""
        # a choice counts from the lowest value that the space offers
        lowest = torch.tensor([r[0] for stage in zip(self.space.depths, self.space.widths, strict=True) for r in stage])
        values = choices + lowest
        return self.space.costs_of(of, values[:, ::2], values[:, 1::2], self.input_spec)

    def draw(self, draws: int, generator: torch.Generator) -> Tensor:
        """Choices (draws, L) of networks drawn uniformly from the whole."""
        within = torch.rand(draws, len(self.sizes), generator=generator, dtype=torch.float64)
        return (within * torch.tensor(self.sizes)).long()

    def draw_in(self, ranges: Tensor, draws: int, generator: torch.Generator) -> Tensor:
        """Choices (S, draws, L) of networks drawn uniformly from each of S spaces, by their ranges (S, L)."""
        # one draw for all spaces at once; a loop over 262,144 of them would take hours
        width = torch.tensor(self.widths)
        within = torch.rand(len(ranges), draws, len(self.widths), generator=generator, dtype=torch.float64)
        return ranges[:, None] * width + (within * width).long()

    def drawn_costs(self, of: str, ranges: Sequence[int], draws: int = HIT_DRAWS) -> Tensor:
        """Costs (draws,) of networks drawn uniformly from one space, the same in every call."""
        (choices,) = self.draw_in(torch.tensor([list(ranges)]), draws, torch.Generator().manual_seed(0))
        return self.costs_of(of, choices)


def hit_share(costs: Tensor, target: float) -> Tensor:
    """Share of the costs (..., n) within a tenth of the target: (...), float64."""
    return ((costs - target).abs() <= NEAR * target).double().mean(-1)
