"""The space `mini`: five layers of three choices for 8 px digits, small enough to score all 243 paths in a minute."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from src.datasets.input_spec import InputSpec
from src.search_spaces.space import SequentialSpace
from src.search_spaces.stages import bracketed, check_sequence, check_size
from src.supernet.ops import InvertedResidual, PoolBlock, classifier, conv_bn
from src.supernet.path import ArchPath


class Mini(SequentialSpace):
    """3x3 stem, five blocks out of {3x3 average pool, MB k3 e1, MB k3 e3}, global pooling, a linear layer."""

    name = "mini"
    reference = InputSpec(in_channels=1, num_classes=10, image_size=8)
    ops = ("pool_3x3", "mb_k3_e1", "mb_k3_e3")

    def __init__(
        self, channels: Sequence[int] = (8, 8, 12, 12, 12), strides: Sequence[int] = (1, 1, 2, 1, 1), stem: int = 8
    ) -> None:
        layers = len(channels) if isinstance(channels, Sequence) else 1
        first = check_sequence("stem", [stem], 1)
        self.channels = (*first, *check_sequence("channels", channels, max(layers, 1)))
        self.strides = check_sequence("strides", strides, layers, (1, 2))
        self.sizes = (len(self.ops),) * layers

    def check_input(self, input_spec: InputSpec) -> None:
        """Refuse images that the strides shrink to less than 2x2."""
        check_size(self.name, input_spec.image_size, self.strides, lambda s: f"search_space.strides={bracketed(s)}")

    def stem(self, in_channels: int) -> nn.Module:
        """3x3 convolution, BN, ReLU6 at full resolution."""
        return conv_bn(in_channels, self.channels[0], 3)

    def op(self, layer: int, choice: int) -> nn.Module:
        """Choice 0 pools, 1 and 2 are inverted residuals of expansion 1 and 3."""
        inputs, outputs = self.channels[layer : layer + 2]
        if choice == 0:
            return PoolBlock(inputs, outputs, self.strides[layer])
        return InvertedResidual(inputs, outputs, self.strides[layer], kernel=3, expansion=(1, 3)[choice - 1])

    def tail(self, num_classes: int) -> nn.Module:
        """Global average pooling and a linear layer."""
        return classifier(self.channels[-1], None, num_classes)

    def counts(self, path: ArchPath) -> dict[str, int]:
        """Inverted residuals, and those of expansion 3 among them."""
        return {**super().counts(path), "e3_blocks": path.count(self.ops.index("mb_k3_e3"))}

    def op_names(self, layer: int) -> list[str]:
        """The three choices, the same in every layer."""
        return list(self.ops)
