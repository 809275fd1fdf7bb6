"""A stand-alone network taken apart as exported networks are: stem, layers, final layers, classifier; and its levels.

B batch, C channels, H W size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

PROBE = 64
"""Side in px of the images whose way through the network shows its strides: a multiple of all of them."""


class Shape(NamedTuple):
    """What a module makes of images: C channels in, C out, and how many times smaller the output is a side."""

    inputs: int
    outputs: int
    reduction: int


@dataclass(frozen=True)
class Parts:
    """The modules of a network themselves, under the names that exported networks give them."""

    stem: nn.Module
    layers: nn.Sequential
    final: nn.Module
    """(B, C, H, W) to what is pooled."""
    classifier: nn.Linear
    shapes: Mapping[nn.Module, Shape]

    def state_dict(self) -> dict[str, Tensor]:
        """The weights and statistics by their exported names, on the CPU."""
        names = ("stem", "layers", "final", "classifier")
        parts = nn.ModuleDict({name: getattr(self, name) for name in names})
        return {key: value.detach().cpu() for key, value in parts.state_dict().items()}

    def levels(self) -> list[dict[str, Any]]:
        """The last module of each size, as timm's feature_info lists them, finest first."""
        rows = [("stem", self.stem), *((f"layers.{i}", layer) for i, layer in enumerate(self.layers))]
        found = {}
        for name, module in rows:
            _, channels, reduction = self.shapes[module]
            found[reduction] = {"num_chs": channels, "reduction": reduction, "module": name}
        return list(found.values())


def take_apart(net: nn.Module, in_channels: int) -> Parts:
    """The parts of what `space.build_path` gives: a row of stem, layers and a tail that pools and classifies."""
    stem, layers, tail = net.children()
    *before, classifier = tail.children()
    final = [m for m in before if not any(isinstance(part, nn.AdaptiveAvgPool2d | nn.Flatten) for part in m.modules())]
    assert isinstance(layers, nn.Sequential) and isinstance(classifier, nn.Linear)
    return Parts(stem, layers, _in_a_row(final), classifier, _shapes(net, in_channels))


def _in_a_row(modules: list[nn.Module]) -> nn.Module:
    if not modules:
        return nn.Identity()
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)


@torch.no_grad()
def _shapes(net: nn.Module, in_channels: int) -> dict[nn.Module, Shape]:
    """Of every module that maps feature maps to feature maps."""
    found: dict[nn.Module, Shape] = {}

    def see(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.dim() == 4:
            found[module] = Shape(inputs[0].shape[1], output.shape[1], PROBE // output.shape[-1])

    hooks = [module.register_forward_hook(see) for module in net.modules()]
    was_training = net.training
    net.eval()(torch.zeros(2, in_channels, PROBE, PROBE))
    net.train(was_training)
    for hook in hooks:
        hook.remove()
    return found
