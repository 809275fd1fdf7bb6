"""The parts of a stand-alone network under their exported names: stem, layers, final layers, classifier; its levels.

B batch, C channels, H W size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

PROBE = 64
"""Side in px of the images that are run through a network to read its strides: a multiple of all of them."""


class FeatureShape(NamedTuple):
    """Channels in and out of a module, and how many times smaller than the images its output is, a side."""

    inputs: int
    outputs: int
    reduction: int


@dataclass(frozen=True)
class BackboneParts:
    """The modules of a network, not copies, under the names that exported networks give them."""

    stem: nn.Module
    layers: nn.Sequential
    final: nn.Module
    """(B, C, H, W) to the features (B, C', H, W) that are pooled."""
    classifier: nn.Linear
    shapes: Mapping[nn.Module, FeatureShape]

    def state_dict(self) -> dict[str, Tensor]:
        """The weights and statistics by their exported names, on the CPU."""
        names = ("stem", "layers", "final", "classifier")
        parts = nn.ModuleDict({name: getattr(self, name) for name in names})
        return {key: value.detach().cpu() for key, value in parts.state_dict().items()}

    def levels(self) -> list[dict[str, Any]]:
        """The last module of each size, as timm's feature_info lists them, finest first."""
        rows = [("stem", self.stem), *((f"layers.{i}", layer) for i, layer in enumerate(self.layers))]
        # A later module of the same size replaces an earlier one.
        by_reduction = {}
        for name, module in rows:
            _, channels, reduction = self.shapes[module]
            by_reduction[reduction] = {"num_chs": channels, "reduction": reduction, "module": name}
        return list(by_reduction.values())


def split_backbone(net: nn.Module, in_channels: int) -> BackboneParts:
    """Split what `space.build_path` returns: a row of stem, layers and a tail that pools and classifies."""
    stem, layers, tail = net.children()
    *before, classifier = tail.children()
    # Pooling and flattening are written out in Backbone.forward_head; what stands before them makes features.
    final = [m for m in before if not any(isinstance(part, nn.AdaptiveAvgPool2d | nn.Flatten) for part in m.modules())]
    assert isinstance(layers, nn.Sequential) and isinstance(classifier, nn.Linear)
    # A Sequential of one would put a `0.` into the names of the weights.
    only = final[0] if len(final) == 1 else nn.Sequential(*final)
    return BackboneParts(stem, layers, only if final else nn.Identity(), classifier, feature_shapes(net, in_channels))


@torch.no_grad()
def feature_shapes(net: nn.Module, in_channels: int) -> dict[nn.Module, FeatureShape]:
    """The shape of every module that maps (B, C, H, W) to (B, C', H', W'), read off a run on zeros."""
    shapes: dict[nn.Module, FeatureShape] = {}

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.dim() == 4:
            shapes[module] = FeatureShape(inputs[0].shape[1], output.shape[1], PROBE // output.shape[-1])

    # Zeros do: only the shapes are read.
    hooks = [module.register_forward_hook(record) for module in net.modules()]
    was_training = net.training  # evaluation mode leaves the BN statistics as they are
    net.eval()(torch.zeros(2, in_channels, PROBE, PROBE))
    net.train(was_training)
    for hook in hooks:
        hook.remove()
    return shapes
