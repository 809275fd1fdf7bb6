"""NAS-Bench-Macro: eight layers of three choices, all 6,561 networks trained on CIFAR-10 (Su et al. 2021).

Costs are those of the benchmark's table, to the last digit. k kernel, e expansion, L layers, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from torch import nn

from src.datasets.input_spec import InputSpec
from src.search_spaces.space import SequentialSpace
from src.search_spaces.stages import bracketed, check_sequence, check_size, identities_last, layer_shapes
from src.supernet.ops import InvertedResidual, classifier, conv_bn
from src.supernet.path import ArchPath

IDENTITY = 0


class NasBenchMacro(SequentialSpace):
    """Stages of 2, 3 and 3 layers out of {identity, MB k3 e3, MB k5 e6}, with ReLU throughout.

    Arch strings have one digit for each layer: `02012100`.
    """

    name = "nas_bench_macro"
    reference = InputSpec(in_channels=3, num_classes=10, image_size=32)
    named = MappingProxyType({})
    depths = (2, 3, 3)

    def __init__(self, channels: Sequence[int] = (64, 128, 256), strides: Sequence[int] = (2, 2, 2)) -> None:
        channels = check_sequence("channels", channels, len(self.depths))
        self.strides = check_sequence("strides", strides, len(self.depths), (1, 2))
        self.shapes = layer_shapes(32, channels, self.depths, self.strides)
        self.sizes = (3,) * len(self.shapes)

    def stem(self, in_channels: int) -> nn.Module:
        """3x3 convolution to 32 channels at full resolution, BN, ReLU."""
        return conv_bn(in_channels, 32, 3, act=nn.ReLU)

    def op(self, layer: int, choice: int) -> nn.Module:
        """Choice 0 is the identity, or a linear 1x1 convolution with BN where the layer changes the shape."""
        inputs, outputs, stride = shape = self.shapes[layer]
        if choice == IDENTITY:
            return nn.Identity() if shape.is_kept else conv_bn(inputs, outputs, 1, stride, act=None)
        kernel, expansion = ((3, 3), (5, 6))[choice - 1]
        return InvertedResidual(inputs, outputs, stride, kernel, expansion, act=nn.ReLU)

    def tail(self, num_classes: int) -> nn.Module:
        """1x1 to 1,280 channels, BN, ReLU, global average pooling, a linear layer."""
        return classifier(self.shapes[-1].outputs, 1280, num_classes, act=nn.ReLU)

    def op_names(self, layer: int) -> list[str]:
        """Choice 0 is named `conv_1x1` where it does work."""
        return ["identity" if self.shapes[layer].is_kept else "conv_1x1", "mb_k3_e3", "mb_k5_e6"]

    def canonical(self, path: ArchPath) -> ArchPath:
        """The identities of each stage moved to its end, but for its first layer: 3,969 distinct networks."""
        return identities_last(path, self.shapes, IDENTITY)

    def subsets(self, paths: Sequence[ArchPath]) -> dict[str, list[bool]]:
        """`no identity`, and `distinct networks`: the first path of each stand-alone network."""
        first_of: dict[ArchPath, ArchPath] = {}
        first = [first_of.setdefault(self.canonical(path), path) == path for path in paths]
        named = [[self.op_names(i)[c] for i, c in enumerate(path)] for path in paths]
        return {"no identity": ["identity" not in ops for ops in named], "distinct networks": first}

    def check_input(self, input_spec: InputSpec) -> None:
        """Refuse images whose last feature map would be smaller than 2x2, naming strides that work."""
        check_size(self.name, input_spec.image_size, self.strides, lambda s: f"search_space.strides={bracketed(s)}")

    def parse(self, text: object) -> ArchPath:
        """A path from `02012100`, also as a number, from `0-2-0-1-2-1-0-0` or from a list.

        Raises:
            UsageError: nothing of the kind, or a path of another space.
        """
        digits = str(text) if isinstance(text, str | int) else ""
        return super().parse([*digits] if digits.isdigit() else text)

    def format(self, path: ArchPath) -> str:
        """One digit for each layer, as in the benchmark's table."""
        return "".join(map(str, path))
