"""A space to measure growth on: L layers of m equal choices, so that nothing but their numbers changes.

C channels, L layers, m choices of a layer.
"""

from __future__ import annotations

from torch import nn

from src.datasets.input_spec import InputSpec
from src.search_spaces.space import SequentialSpace
from src.supernet.ops import InvertedResidual, classifier, conv_bn


class Blocks(SequentialSpace):
    """3x3 stem to C channels, L layers of m inverted residuals k3 e3 that keep shape and size, pooling, linear."""

    name = "blocks"
    reference = InputSpec(in_channels=3, num_classes=10, image_size=16)

    def __init__(self, layers: int, choices: int, channels: int) -> None:
        self.channels = channels
        self.sizes = (choices,) * layers

    def stem(self, in_channels: int) -> nn.Module:
        """(B, in_channels, H, W) -> (B, C, H, W)."""
        return conv_bn(in_channels, self.channels, 3)

    def op(self, layer: int, choice: int) -> nn.Module:
        """The same for all choices of all layers."""
        return InvertedResidual(self.channels, self.channels, 1, kernel=3, expansion=3)

    def tail(self, num_classes: int) -> nn.Module:
        """Global average pooling and a linear layer."""
        return classifier(self.channels, None, num_classes)

    def op_names(self, layer: int) -> list[str]:
        """Numbered, for they are alike."""
        return [f"mb_k3_e3_{choice}" for choice in range(self.sizes[layer])]
