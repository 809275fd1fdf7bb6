"""Parameters and multiply-adds of a path from per-choice tables, built once: a path costs L additions.

Multiply-adds are those of convolutions and linear layers for one image, biases and normalisation not counted, as in
the NAS-Bench-Macro and FairNAS tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from src.supernet.path import ArchPath


class Costs(NamedTuple):
    """Trainable parameters, and multiply-adds for one image."""

    params: int
    macs: int

    def plus(self, other: Costs) -> Costs:
        """The sum of both, field by field."""
        return Costs(self.params + other.params, self.macs + other.macs)

    def times(self, count: int) -> Costs:
        """The costs of `count` such modules."""
        return Costs(self.params * count, self.macs * count)


@dataclass(frozen=True)
class CostTable:
    """Costs of the fixed part (stem and tail), and those that each choice of each layer adds."""

    fixed: Costs
    choices: tuple[tuple[Costs, ...], ...]

    def __call__(self, path: ArchPath) -> Costs:
        """The costs of one path: L additions."""
        total = self.fixed
        for layer, choice in zip(self.choices, path, strict=True):
            total = total.plus(layer[choice])
        return total


class Part(NamedTuple):
    """A module that networks of a space are made of: one of stem, reductions and tail, or a choice."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    """(C, H, W) of its input."""
    costs: Costs
    layers: tuple[int, ...] = ()
    """Where it is a choice; of the fixed part none."""
    choice: int = 0
    repeats: int = 1
    """How often a network has it, at each of these layers."""


def tabulate(parts: Iterable[Part], sizes: Sequence[int]) -> CostTable:
    """The costs of all parts by layer and choice; `sizes` (L,) are the choices of each layer."""
    fixed = Costs(0, 0)
    choices = [[Costs(0, 0)] * size for size in sizes]
    for part in parts:
        costs = part.costs.times(part.repeats)
        # stem, reductions and tail are in every network
        if not part.layers:
            fixed = fixed.plus(costs)
        for layer in part.layers:
            choices[layer][part.choice] = choices[layer][part.choice].plus(costs)
    return CostTable(fixed, tuple(map(tuple, choices)))


def measure(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> tuple[Costs, tuple[int, ...]]:
    """Costs of a module on one input of `shape` (C, H, W), and its output shape."""
    macs = 0

    def count(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        nonlocal macs
        assert isinstance(module.weight, torch.Tensor)
        macs += module.weight.numel() * (output[0, 0].numel() if output.dim() == 4 else 1)

    # Weights without values, and without a draw from any generator; zeros, since a CPU is slow at denormal numbers
    with torch.device("meta"):
        module = build().eval()
    module.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.zero_()
        # Count at every convolution and linear layer while one image passes
        hooks = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        output = module(torch.zeros(1, *shape))
    for hook in hooks:
        hook.remove()
    return Costs(sum(p.numel() for p in module.parameters()), macs), tuple(output.shape[1:])
