"""The mobile spaces: FairNAS (a) and (b), and ProxylessNAS with its 21 positions.

Operations in the order of the FairNAS supplement, table 4. k kernel, e expansion, L layers, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from torch import nn

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.search_spaces.space import SequentialSpace
from src.search_spaces.stages import bracketed, check_sequence, check_size, identities_last, layer_shapes
from src.supernet.ops import InvertedResidual, classifier, conv_bn
from src.supernet.path import ArchPath, parse_path

OPS = ((3, 3), (5, 3), (7, 3), (3, 6), (5, 6), (7, 6))
"""(k, e) of choices 0 to 5."""

IDENTITY = len(OPS)

STRIDES = (2, 2, 2, 1, 2, 1)


class MobileNet(SequentialSpace):
    """Inverted residuals in six stages, between MobileNetV2's stem and a tail of 1,280 channels.

    With a stem stride of 2 and the stages' own strides, images shrink 32 times in all. Small images need other strides,
    which are asked for by name and never chosen silently.
    """

    reference = InputSpec(in_channels=3, num_classes=1000, image_size=224)
    depths: tuple[int, ...]
    has_identity = False

    def __init__(self, channels: Sequence[int], stem_stride: int = 2, strides: Sequence[int] = STRIDES) -> None:
        if stem_stride not in (1, 2):
            raise UsageError(f"search_space.stem_stride={stem_stride}: give 1 or 2")
        channels = check_sequence("channels", channels, len(self.depths))
        strides = check_sequence("strides", strides, len(self.depths), (1, 2))
        self.stem_stride, self.strides = stem_stride, strides
        # the stem puts out 16 channels; where a layer keeps its shape there may be an identity more
        self.shapes = layer_shapes(16, channels, self.depths, strides)
        self.sizes = tuple(len(self.op_names(layer)) for layer in range(len(self.shapes)))

    def stem(self, in_channels: int) -> nn.Module:
        """3x3 convolution to 32 channels, BN, ReLU6, and a fixed k3 e1 block to 16."""
        return nn.Sequential(conv_bn(in_channels, 32, 3, self.stem_stride), InvertedResidual(32, 16, 1, 3, 1))

    def op(self, layer: int, choice: int) -> nn.Module:
        """Choices 0 to 5 are inverted residuals; 6, where the layer keeps its shape, is the identity."""
        inputs, outputs, stride = self.shapes[layer]
        return InvertedResidual(inputs, outputs, stride, *OPS[choice]) if choice != IDENTITY else nn.Identity()

    def tail(self, num_classes: int) -> nn.Module:
        """1x1 to 1,280 channels, BN, ReLU6, global average pooling, a linear layer."""
        return classifier(self.shapes[-1].outputs, 1280, num_classes)

    def op_names(self, layer: int) -> list[str]:
        """Six names, and `identity` where the space has one and the layer keeps its shape."""
        names = [f"mb_k{kernel}_e{expansion}" for kernel, expansion in OPS]
        return [*names, "identity"] if self.has_identity and self.shapes[layer].is_kept else names

    def check_input(self, input_spec: InputSpec) -> None:
        """Refuse images whose last feature map would be smaller than 2x2, naming strides that work."""
        check_size(self.name, input_spec.image_size, (self.stem_stride, *self.strides), _as_settings)


def _as_settings(strides: tuple[int, ...]) -> str:
    return f"search_space.stem_stride={strides[0]} search_space.strides={bracketed(strides[1:])}"


def _paths(**named: str) -> Mapping[str, ArchPath]:
    return MappingProxyType({name: parse_path(text) for name, text in named.items()})


class MobileNetA(MobileNet):
    """FairNAS (a): MobileNetV2's own 16 searchable layers, 6^16 networks.

    Named are the models of the FairNAS supplement, table 3, as far as it prints all 16 indices. With k3 e6
    everywhere it is MobileNetV2 itself.
    """

    name = "mobilenet_a"
    depths = (2, 3, 4, 3, 3, 1)
    named = _paths(
        fairnas_model_2="0-0-0-0-0-0-0-1-0-0-0-0-0-1-0-0",
        fairnas_model_3="0-0-0-0-1-0-1-0-0-0-1-0-0-1-0-0",
        fairnas_model_4="0-0-0-0-0-0-1-1-0-1-1-0-0-1-0-0",
        fairnas_model_5="0-1-0-1-0-0-1-1-0-0-0-0-0-1-0-0",
        fairnas_model_6="0-1-0-0-1-1-1-1-1-1-0-0-0-1-2-0",
        fairnas_model_7="0-1-0-1-1-4-1-1-1-1-1-0-0-1-2-0",
        fairnas_model_8="0-1-4-1-0-3-1-1-1-1-1-1-0-2-0-0",
        fairnas_model_9="0-1-0-0-1-5-1-1-0-5-1-1-0-1-2-3",
        fairnas_model_10="3-1-4-1-3-4-1-4-1-3-1-1-3-1-2-0",
        fairnas_model_11="0-1-4-3-1-3-1-1-1-3-4-1-3-1-2-3",
        fairnas_model_12="1-5-3-2-1-4-3-4-1-5-1-1-3-5-5-3",
    )

    def __init__(
        self,
        channels: Sequence[int] = (24, 32, 64, 96, 160, 320),
        stem_stride: int = 2,
        strides: Sequence[int] = STRIDES,
    ) -> None:
        super().__init__(channels, stem_stride, strides)


class MobileNetB(MobileNet):
    """FairNAS (b): 19 layers, 6^19 networks, among them the published FairNAS-A, -B and -C."""

    name = "mobilenet_b"
    depths = (2, 4, 4, 4, 4, 1)
    named = _paths(
        fairnas_a="2-0-2-3-5-0-0-5-5-1-3-1-1-3-3-5-3-5-4",
        fairnas_b="1-0-1-0-3-1-2-0-3-1-0-3-2-0-5-4-5-3-4",
        fairnas_c="1-0-2-0-0-0-0-0-0-3-0-0-0-0-5-5-3-3-4",
    )

    def __init__(
        self,
        channels: Sequence[int] = (32, 40, 80, 96, 192, 320),
        stem_stride: int = 2,
        strides: Sequence[int] = STRIDES,
    ) -> None:
        super().__init__(channels, stem_stride, strides)


class Proxyless(MobileNetB):
    """ProxylessNAS: as FairNAS (b), but 21 positions, 15 of which may also do nothing: 6^6 x 7^15 networks."""

    name = "proxyless"
    depths = (4, 4, 4, 4, 4, 1)
    has_identity = True
    named = MappingProxyType({})

    def canonical(self, path: ArchPath) -> ArchPath:
        """The identities of each stage moved to its end."""
        return identities_last(path, self.shapes, IDENTITY)
