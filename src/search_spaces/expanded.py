"""The expanded space of Network Space Search: widths and depths of three residual stages, designed by nobody.

Hong et al., supplement, section A, Figures S1 and S2. w_i width, d_i depth of stage i, H_i positions of its maps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor, nn

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.search_spaces.costs import Costs
from src.search_spaces.picture import Blocks, residual_blocks
from src.search_spaces.space import SearchSpace
from src.search_spaces.stages import bracketed, check_sequence, check_size, sub_ranges
from src.supernet.masked_net import MaskedSupernet
from src.supernet.ops import classifier, conv_bn
from src.supernet.path import ArchPath
from src.supernet.residual import SlicedStage, plain_stage

SHORTCUTS, LAST_RELUS = ("always", "he"), ("after", "before")
ARCH = re.compile(r"(\d+)x(\d+)-(\d+)x(\d+)-(\d+)x(\d+)")


class StageMoments(NamedTuple):
    """Means over networks, numbers or tensors: of a stage's depth, of its width, and of the square of its width."""

    depth: Any
    width: Any
    square: Any


class Expanded(SearchSpace):
    """Three stages of basic residual blocks, 1 to `depth` blocks deep and 1 to `width` channels wide each.

    A path is d1, w1, d2, w2, d3, w3, each counted from 0; an arch string like 4x64-8x128-4x256 says what they are.
    """

    name = "expanded"
    reference = InputSpec(in_channels=3, num_classes=10, image_size=32)
    named: Mapping[str, ArchPath] = MappingProxyType({})

    def __init__(
        self,
        depth: int = 16,
        width: int = 512,
        stem: int = 16,
        strides: Sequence[int] = (1, 2, 2),
        shortcut: str = "always",
        last_relu: str = "after",
        ranges: Sequence[str] | None = None,
        within: str | None = None,
    ) -> None:
        """All widths and depths, or those of a sub-space.

        Args:
            depth: most blocks of a stage.
            width: most channels of a stage.
            stem: channels of the stem.
            strides: of the stages.
            shortcut: of the first block of a stage, a projection `always`, or where shapes differ (`he`).
            last_relu: of a block, `after` the addition or `before` it.
            ranges: `1-4` for each of d1, w1, d2, w2, d3, w3; None: all.
            within: where the ranges were read from.

        Raises:
            UsageError: a value that its key does not take.
        """
        for key, value, options in (("shortcut", shortcut, SHORTCUTS), ("last_relu", last_relu, LAST_RELUS)):
            if value not in options:
                raise UsageError(f"search_space.{key}={value}: give one of {', '.join(options)}")
        (self.stem_width,) = check_sequence("stem", [stem], 1)
        (largest_depth,), (largest_width,) = check_sequence("depth", [depth], 1), check_sequence("width", [width], 1)
        self.strides = check_sequence("strides", strides, 3, (1, 2))
        self.shortcut, self.last_relu = shortcut, last_relu
        self.within = within
        # a path counts from the lowest of each range; a supernet is as large as the largest network that it offers
        all_of = [range(1, most + 1) for most in (largest_depth, largest_width)] * 3
        offered = all_of if ranges is None else sub_ranges(ranges, all_of)
        self.depths, self.widths = tuple(offered[::2]), tuple(offered[1::2])

    @property
    def sizes(self) -> tuple[int, ...]:  # type: ignore[override]
        """Depths and widths of each stage, (6,)."""
        return tuple(len(r) for stage in zip(self.depths, self.widths, strict=True) for r in stage)

    @property
    def settings(self) -> dict[str, Any]:
        """Keys beside widths and depths that say what its networks cost."""
        return {
            "stem": self.stem_width,
            "strides": list(self.strides),
            "shortcut": self.shortcut,
            "last_relu": self.last_relu,
        }

    def stages(self, path: ArchPath) -> list[tuple[int, int]]:
        """(d, w) of each stage of a path."""
        self.check(path)
        return [
            (depths[d], widths[w])
            for depths, widths, d, w in zip(self.depths, self.widths, path[::2], path[1::2], strict=True)
        ]

    def check_input(self, input_spec: InputSpec) -> None:
        """Refuse images that the strides shrink to less than 2x2."""
        check_size(self.name, input_spec.image_size, self.strides, lambda s: f"search_space.strides={bracketed(s)}")

    def build(self, in_channels: int, num_classes: int, image_size: int) -> MaskedSupernet:
        """The supernet, which is its largest network."""
        self.check_input(InputSpec(in_channels, num_classes, image_size))
        inputs = (self.stem_width, *(widths[-1] for widths in self.widths[:-1]))
        stages = [
            SlicedStage(before, depths, widths, stride, self.shortcut, self.last_relu)
            for before, depths, widths, stride in zip(inputs, self.depths, self.widths, self.strides, strict=True)
        ]
        return MaskedSupernet(self.stem(in_channels), stages, num_classes)

    def stem(self, in_channels: int) -> nn.Module:
        """3x3 convolution, BN, ReLU at full resolution."""
        return conv_bn(in_channels, self.stem_width, 3, act=nn.ReLU)

    def build_path(self, path: ArchPath, in_channels: int, num_classes: int, image_size: int) -> nn.Sequential:
        """The stand-alone network of one path, freshly initialised."""
        self.check_input(InputSpec(in_channels, num_classes, image_size))
        inputs, stages = self.stem_width, list[nn.Module]()
        for (depth, width), stride in zip(self.stages(path), self.strides, strict=True):
            stages.append(plain_stage(inputs, depth, width, stride, self.shortcut, self.last_relu))
            inputs = width
        return nn.Sequential(self.stem(in_channels), nn.Sequential(*stages), classifier(inputs, None, num_classes))

    def costs(self, path: ArchPath, input_spec: InputSpec | None = None) -> Costs:
        """Parameters, and multiply-adds of convolutions and linear layer, in closed form."""
        spec = input_spec or self.reference
        self.check_input(spec)
        stages = self.stages(path)
        moments, widths = [StageMoments(d, w, w**2) for d, w in stages], [w for _, w in stages]
        params, macs = (self.expected_cost(of, moments, spec) - self.spared(of, widths, spec) for of in Costs._fields)
        return Costs(params, macs)

    def expected_cost(self, of: str, stages: Sequence[StageMoments], input_spec: InputSpec) -> Any:
        """The mean of `macs` or `params` over networks whose decisions are independent of each other.

        A width of a stage is that of its outputs and of the next one's inputs: costs are sums of products in which each
        decision stands alone, but the square of a width. Every stage projects here; see `spared`. Of numbers it is a
        number, of tensors of one shape a tensor.
        """
        # kernels are used once per position, and counted once as parameters
        is_macs = of == "macs"
        size, inputs = input_spec.image_size, self.stem_width
        total: Any = 9 * input_spec.in_channels * inputs * (size**2 if is_macs else 1)
        # two numbers of each channel of a norm, and the biases of the outputs
        total += 0 if is_macs else 2 * inputs + input_spec.num_classes
        for (depth, width, square), stride in zip(stages, self.strides, strict=True):
            size = -(-size // stride)
            kernels = 10 * inputs * width + 9 * square + 18 * (depth - 1) * square
            norms = 0 if is_macs else 6 * width + 4 * (depth - 1) * width
            total = total + kernels * (size**2 if is_macs else 1) + norms
            inputs = width
        return total + inputs * input_spec.num_classes

    def spared(self, of: str, widths: Sequence[Any], input_spec: InputSpec) -> Any:
        """Costs of the projections that networks of these widths, numbers or tensors, do without under shortcut=he."""
        total: Any = 0
        size, inputs = input_spec.image_size, self.stem_width
        for width, stride in zip(widths, self.strides, strict=True):
            size = -(-size // stride)
            if self.shortcut == "he" and stride == 1:
                total = total + (inputs == width) * (width**2 * size**2 if of == "macs" else width * (width + 2))
            inputs = width
        return total

    def costs_of(self, of: str, depths: Tensor, widths: Tensor, input_spec: InputSpec) -> Tensor:
        """`macs` or `params` (n,) float64 of n networks of depths (n, 3) and widths (n, 3), exactly."""
        d, w = depths.double().T, widths.double().T
        moments = [StageMoments(*each) for each in zip(d, w, w.square(), strict=True)]
        costs: Tensor = self.expected_cost(of, moments, input_spec) - self.spared(of, list(w), input_spec)
        return costs

    def picture(self, path: ArchPath | None, input_spec: InputSpec) -> Blocks:
        """The blocks of each stage; of all networks the fewest and the most channels."""
        ranges = list(zip(self.depths, self.widths, strict=True))
        if path is not None:
            ranges = [(range(d, d + 1), range(w, w + 1)) for d, w in self.stages(path)]
        return residual_blocks(ranges, self.strides, input_spec.image_size)

    def counts(self, path: ArchPath) -> dict[str, int]:
        """Blocks of all stages."""
        return {"blocks": sum(depth for depth, _ in self.stages(path))}

    def extremes(self) -> tuple[ArchPath, ArchPath]:
        """The least and the most of every depth and width."""
        return (0,) * len(self.sizes), tuple(size - 1 for size in self.sizes)

    def op_names(self, layer: int) -> list[str]:
        """The depths or widths of a decision."""
        return [str(value) for value in (self.widths if layer % 2 else self.depths)[layer // 2]]

    def parse(self, text: object) -> ArchPath:
        """A path, or an arch string like 4x64-8x128-4x256."""
        if not (isinstance(text, str) and (match := ARCH.fullmatch(text.strip()))):
            return super().parse(text)
        # depth and width in turn, as the path has them
        values = [int(value) for value in match.groups()]
        path = []
        for number, value in enumerate(values):
            kind, offered = ("width", self.widths) if number % 2 else ("depth", self.depths)
            choices = offered[number // 2]
            if value not in choices:
                raise UsageError(
                    f"arch {text}: {kind} {value} in stage {number // 2 + 1}, where {self.name} offers "
                    f"{choices[0]} to {choices[-1]}"
                )
            path.append(choices.index(value))
        return tuple(path)

    def format(self, path: ArchPath) -> str:
        """Depth and width of each stage: 4x64-8x128-4x256."""
        return "-".join(f"{depth}x{width}" for depth, width in self.stages(path))


class ExpandedMini(Expanded):
    """The expanded space for 8 px digits: 2,097,152 networks that a CPU trains in seconds."""

    name = "expanded_mini"
    reference = InputSpec(in_channels=1, num_classes=10, image_size=8)

    def __init__(self, depth: int = 4, width: int = 32, stem: int = 8, **keys: Any) -> None:
        """The keys of Expanded."""
        super().__init__(depth, width, stem, **keys)
