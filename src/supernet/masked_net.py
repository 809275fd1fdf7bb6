"""A supernet of widths and depths: stages whose choices are prefixes of one stack of kernels.

B batch, C channels, H W size, R routes. A path has two decisions a stage: depth, then width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from src.supernet.choice import ChoiceBlock, Routing
from src.supernet.path import ArchPath, OpId, Route
from src.supernet.residual import SlicedBlock, SlicedStage, Slices
from src.supernet.segment import Segment
from src.supernet.sliced import SlicedLinear
from src.supernet.supernet import Supernet


class MaskedSupernet(Supernet):
    """Stem, stages of sliced blocks, global pooling, a linear layer on the last stage's channels."""

    is_masked = True

    def __init__(self, stem: nn.Module, stages: Iterable[SlicedStage], num_classes: int) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.tail = SlicedLinear(self.all_stages()[-1].widths[-1], num_classes)

    def all_stages(self) -> list[SlicedStage]:
        """The stages in order."""
        return [stage for stage in self.stages if isinstance(stage, SlicedStage)]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Depths and widths of each stage, (2 x stages,)."""
        return tuple(size for stage in self.all_stages() for size in (len(stage.depths), len(stage.widths)))

    def forward(self, x: Tensor, route: Route) -> Tensor:
        """Images (B, C, H, W) through one route: logits (B, classes)."""
        x = self.stem(x)
        for stage, depth, width in zip(self.all_stages(), route[::2], route[1::2], strict=True):
            x = stage(x, depth, width)
        return self.classify(x)

    def classify(self, x: Tensor) -> Tensor:
        """The last feature map (B, C, H, W) to logits (B, classes)."""
        return self.tail(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))

    def window(self, x: Tensor, routes: Sequence[Route]) -> list[Tensor]:
        """One route after another: networks of different widths have no layer in common."""
        return [self(x, route) for route in routes]

    def compilable_window(self, x: Tensor, routing: Routing) -> Tensor:
        """There is none: a mask is no module of its own.

        Raises:
            NotImplementedError: always; nothing plans every choice of such a space once.
        """
        raise NotImplementedError("widths and depths are slices of one kernel")

    def path_state(self, path: ArchPath) -> dict[str, Tensor]:
        """Weights and statistics of one path, cut out and named as its stand-alone network names them."""
        # the stem has no choice and is whole
        cut = self.slices(path)
        state = {f"0.{name}": value for name, value in self.stem.state_dict().items()}
        for number, stage in enumerate(self.all_stages()):
            depth, width = stage.depths[path[2 * number]], stage.widths[path[2 * number + 1]]
            for place, block in enumerate(stage.blocks[:depth]):
                assert isinstance(block, SlicedBlock)
                # a projection that the path does not have is not among its slices
                skipped = block.shortcut is not None and not any(p in cut for p in block.shortcut.parameters())
                for name, value in block.state_dict(keep_vars=True).items():
                    if not (skipped and name.startswith("shortcut")):
                        part = cut.get(value, (slice(0, width),) if value.dim() else ())
                        state[f"1.{number}.{place}.{name}"] = value.detach()[part]
        for name, value in self.tail.state_dict(keep_vars=True).items():
            state[f"2.linear.{name}"] = value.detach()[cut.get(value, ())]
        return state

    def slices(self, path: ArchPath, is_soft: bool = False) -> Slices:
        """The part of each parameter that a path runs; those of the stem are whole, and missing.

        `is_soft`: weights over the widths, under which every stage projects.
        """
        parts: Slices = {}
        inputs = self.all_stages()[0].first_block.conv1.in_channels
        for stage, depth, width in zip(self.all_stages(), path[::2], path[1::2], strict=True):
            parts |= stage.slices(inputs, depth, width, is_soft)
            inputs = stage.widths[width]
        return parts | {self.tail.weight: (slice(None), slice(0, inputs))}

    def parts_of(self, routes: Iterable[Route]) -> dict[Tensor, list[tuple[slice, ...]]]:
        """The parts of each parameter that some of the routes train.

        Weights run whole stages, and multiply by 0 what is beyond the largest depth or width with a weight: its
        gradient is 0, and its part here is empty. Reading them waits for a GPU.
        """
        parts: dict[Tensor, list[tuple[slice, ...]]] = {}
        for route in routes:
            path = tuple(int(e.nonzero().max()) if isinstance(e, Tensor) else e for e in route)
            is_soft = any(isinstance(e, Tensor) for e in route)
            trained = self.slices(path, is_soft)
            if is_soft:
                trained = {p: (slice(0),) for stage in self.stages for p in stage.parameters()} | trained
            for parameter, part in trained.items():
                parts.setdefault(parameter, []).append(part)
        return parts

    def stacked_modules(self) -> list[nn.Module]:
        """None: no window stacks paths here."""
        return []

    def unreached(self, path: ArchPath) -> list[nn.Module]:
        """None: stages follow one another."""
        return []

    def segments(self) -> list[Segment]:
        """The stem, each stage, the tail: paths with the same first stages run them once."""
        stem = Segment(0, lambda x, _: self.stem(x), lambda _: [self.stem])
        tail = Segment(len(self.sizes), lambda x, _: self.classify(x), lambda _: [self.tail])
        return [stem, *(stage_segment(number, stage) for number, stage in enumerate(self.all_stages())), tail]

    def blocks(self) -> list[tuple[int, ChoiceBlock]]:
        """None: no choice is an operation of its own."""
        return []

    def ancestors(self, layer: int, depth: int) -> tuple[int, ...]:
        """In a row, the `depth` decisions before this one."""
        return tuple(range(max(layer - depth, 0), layer))

    def operations(self, route: Route) -> list[OpId]:
        """None: what a route runs are slices, not operations."""
        return []

    def op_modules(self, op: OpId) -> list[nn.Module]:
        """None."""
        return []


def stage_segment(number: int, stage: SlicedStage) -> Segment:
    """The segment of a stage, which follows all earlier ones: (B, C, H, W) to (B, C', H', W')."""

    def run(x: Tensor, path: ArchPath) -> Tensor:
        return stage(x, path[2 * number], path[2 * number + 1])

    def modules(path: ArchPath) -> list[nn.Module]:
        return list(stage.blocks[: stage.depths[path[2 * number]]])

    return Segment(2 * number + 2, run, modules, is_block=True)
