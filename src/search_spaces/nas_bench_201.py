"""NAS-Bench-201: a cell of six edges, repeated N times in each of three stages (Dong and Yang 2020).

C channels, N cells a stage, m choices of an edge. With the default switches the stand-alone networks are the
benchmark's own: its `params_m` is met by 15,421 of its 15,625 cells, and the other 204 numbers belong to no cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from types import MappingProxyType

from torch import nn

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError, unknown
from src.search_spaces.cell_arch import expression, first_paths, format_cell, live_edges, parse_cell
from src.search_spaces.costs import Costs, CostTable, Part, measure, tabulate
from src.search_spaces.picture import Graph
from src.search_spaces.space import SearchSpace
from src.search_spaces.stages import check_halved_twice
from src.supernet.batch_norm import BatchNorm
from src.supernet.cell_graph import NAS_BENCH_201
from src.supernet.cell_net import CellNet
from src.supernet.cells import Cell, FixedCell, Reduction, Zero, relu_conv_bn
from src.supernet.choice import ChoiceBlock
from src.supernet.path import ArchPath
from src.supernet.tied import check_share

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
SUBSETS = {"all": OPS, "no_none": OPS[1:], "conv_only": OPS[2:4]}


class NasBench201(SearchSpace):
    """15,625 cells, or the 4,096 without `none`, or the 64 of convolutions alone.

    The choices of a subset are counted 0..m-1 within it, so tables are joined on the benchmark's arch strings.
    """

    name = "nas_bench_201"
    reference = InputSpec(in_channels=3, num_classes=10, image_size=32)
    channels: tuple[int, ...] = (16, 32, 64)
    """C of each of the three stages."""
    named = MappingProxyType({})

    def __init__(
        self,
        subset: str = "all",
        cells: int = 5,
        affine: bool = True,
        fixed_affine: bool = True,
        running_stats: bool = True,
        conv_bias: bool = False,
        linear_transformer: bool = False,
        count_include_pad: bool = False,
        share: int = 1,
    ) -> None:
        """The switches in which systems differ.

        Args:
            subset: all, no_none or conv_only.
            cells: N, cells in each of the three stages; the benchmark has 5.
            affine: scale and shift in the BN of the choices.
            fixed_affine: the same in stem, reductions and head.
            running_stats: running statistics in every BN; without them batches are normalised by their own.
            conv_bias: biases on the choices' convolutions and the 3x3 ones of the reductions (PA&DA's code).
            linear_transformer: in the supernet, but not in stand-alone networks, skip_connect is a bias-free 1x1
                convolution without BN.
            count_include_pad: whether average pooling counts the border's zeros; the benchmark does not.
            share: consecutive edges of a cell of the supernet that use one copy of the convolutions, with batch norms
                of their own: 1, 2, 3 or 6 (PA&DA supplement, B.1: 1 is its S1, 6 its S2).
        """
        if subset not in list(SUBSETS):
            raise unknown("search_space.subset", subset, SUBSETS)
        if type(cells) is not int or cells < 1:
            raise UsageError(f"search_space.cells={cells}: give a whole number of cells a stage, 1 or more")
        self.ops, self.cells = SUBSETS[subset], cells
        self.sizes = (len(self.ops),) * len(NAS_BENCH_201.edges)
        self.affine, self.fixed_affine = _switch("affine", affine), _switch("fixed_affine", fixed_affine)
        self.running_stats, self.conv_bias = _switch("running_stats", running_stats), _switch("conv_bias", conv_bias)
        self.linear_transformer = _switch("linear_transformer", linear_transformer)
        self.count_include_pad = _switch("count_include_pad", count_include_pad)
        self.share = check_share(share, len(NAS_BENCH_201.edges), "edges of a cell")

    def build(self, in_channels: int, num_classes: int, image_size: int) -> CellNet:
        """The supernet, with every operation on every edge of every cell."""
        self.check_input(InputSpec(in_channels, num_classes, image_size))
        return CellNet(self._stem(in_channels), self._stages(self._cell), self._tail(num_classes))

    def build_path(self, path: ArchPath, in_channels: int, num_classes: int, image_size: int) -> nn.Sequential:
        """The stand-alone network of one cell, freshly initialised; convolutions that feed nothing are kept."""
        self.check_input(InputSpec(in_channels, num_classes, image_size))
        cells = self._stages(partial(self._fixed_cell, self.check(path)))
        return nn.Sequential(self._stem(in_channels), nn.Sequential(*cells), self._tail(num_classes))

    def op(self, choice: int, channels: int) -> nn.Module:
        """A fresh operation of a stand-alone network: (B, C, H, W) to the same shape."""
        name = self.ops[choice]
        # names and order of operations as in the benchmark
        if name.startswith("nor_conv"):
            kernel = 1 if name == "nor_conv_1x1" else 3
            return relu_conv_bn(channels, channels, kernel, 1, self.affine, self.running_stats, self.conv_bias)
        if name == "avg_pool_3x3":
            return nn.AvgPool2d(3, 1, padding=1, count_include_pad=self.count_include_pad)
        return Zero() if name == "none" else nn.Identity()

    def _shared_op(self, choice: int, channels: int) -> nn.Module:
        if self.ops[choice] == "skip_connect" and self.linear_transformer:
            return nn.Conv2d(channels, channels, 1, bias=False)
        return self.op(choice, channels)

    def _cell(self, channels: int) -> Cell:
        blocks = (ChoiceBlock(self._shared_op(c, channels) for c in range(size)) for size in self.sizes)
        return Cell(blocks, share=self.share)

    def _fixed_cell(self, path: ArchPath, channels: int) -> FixedCell:
        return FixedCell(self.op(choice, channels) for choice in path)

    def _stages(self, cell: Callable[[int], nn.Module]) -> list[nn.Module]:
        """3N cells of `cell(C)`, with a reduction before the second and the third stage."""
        modules: list[nn.Module] = []
        for stage, channels in enumerate(self.channels):
            if stage > 0:
                modules.append(self._reduction(stage))
            modules += [cell(channels) for _ in range(self.cells)]
        return modules

    def _stem(self, in_channels: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(in_channels, self.channels[0], 3, padding=1, bias=False), self._norm(self.channels[0])
        )

    def _reduction(self, stage: int) -> Reduction:
        inputs, outputs = self.channels[stage - 1 : stage + 1]
        return Reduction(inputs, outputs, self.fixed_affine, self.running_stats, self.conv_bias)

    def _tail(self, num_classes: int) -> nn.Sequential:
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(self._norm(self.channels[-1]), nn.ReLU(), pool, nn.Linear(self.channels[-1], num_classes))

    def _norm(self, channels: int) -> BatchNorm:
        return BatchNorm(channels, affine=self.fixed_affine, track_running_stats=self.running_stats)

    def costs(self, path: ArchPath, input_spec: InputSpec | None = None) -> Costs:
        """Sums over the per-edge table of the input, which is built on first use."""
        return self.additive_costs(input_spec or self.reference)(self.check(path))

    @lru_cache(maxsize=8)  # noqa: B019 - a space lives as long as its command
    def additive_costs(self, input_spec: InputSpec) -> CostTable:
        """The costs of the fixed part, and of each choice of an edge in all 3N cells together."""
        return tabulate(self.parts(input_spec), self.sizes)

    def parts(self, input_spec: InputSpec) -> list[Part]:
        """The stem, the choices in each of the three stages, the reductions, the tail."""
        self.check_input(input_spec)
        stem, edges = partial(self._stem, input_spec.in_channels), tuple(range(len(NAS_BENCH_201.edges)))
        start = (input_spec.in_channels, input_spec.image_size, input_spec.image_size)
        costs, shape = measure(stem, start)
        parts = [Part(stem, start, costs)]
        # A choice is used on any of the edges, in N cells of each stage
        for stage, channels in enumerate(self.channels):
            if stage > 0:
                reduction = partial(self._reduction, stage)
                costs, after = measure(reduction, shape)
                parts.append(Part(reduction, shape, costs))
                shape = after
            for choice in range(len(self.ops)):
                op = partial(self.op, choice, channels)
                parts.append(Part(op, shape, measure(op, shape)[0], edges, choice, self.cells))
        tail = partial(self._tail, input_spec.num_classes)
        return [*parts, Part(tail, shape, measure(tail, shape)[0])]

    def op_names(self, layer: int) -> list[str]:
        """The subset's operations, the same on every edge."""
        return list(self.ops)

    def same_candidates(self) -> list[tuple[int, ...]]:
        """All edges of a cell."""
        return [tuple(range(len(self.sizes)))]

    def check_input(self, input_spec: InputSpec) -> None:
        """Refuse images that cannot be halved twice down to 2x2 or more."""
        check_halved_twice(self.name, input_spec.image_size)

    def canonical(self, path: ArchPath) -> ArchPath:
        """The first path, in lexicographic order, that computes the same function: 4,930 of the 15,625 remain.

        A convolution of zeros counts as zero, exact but for the shift of an affine BN; costs may differ, as dead
        convolutions count there. NAS-Bench-201 itself speaks of 6,466: its strings keep zeros as terms of a sum, and
        bracket the sums that a skip passes on.
        """
        return first_paths(self.ops)[expression(self._names(path))]

    def is_connected(self, path: ArchPath) -> bool:
        """False for cells whose output is zeros, whatever the input."""
        return bool(expression(self._names(path)))

    def picture(self, path: ArchPath | None, input_spec: InputSpec) -> Graph | None:
        """The cell: an operation on each edge, edges of zeros left out."""
        if path is None:
            return None
        pairs = zip(NAS_BENCH_201.edges, self._names(self.check(path)), strict=True)
        inner = (str(node) for node in range(1, NAS_BENCH_201.nodes - 1))
        edges = tuple((*ends, name) for ends, name in pairs if name != "none")
        return Graph(("input", *inner, "output"), edges)

    def counts(self, path: ArchPath) -> dict[str, int]:
        """Live convolutions: those that the input reaches and that reach the output."""
        ops = self._names(path)
        live = sum(op.startswith("nor_conv") and live for op, live in zip(ops, live_edges(ops), strict=True))
        return {"live_convolutions": live}

    def subsets(self, paths: Sequence[ArchPath]) -> dict[str, list[bool]]:
        """`no none` and `convolutions only`, as far as the space holds more than them, and `distinct cells`."""
        named = {"no none": SUBSETS["no_none"], "convolutions only": SUBSETS["conv_only"]}
        smaller = {name: ops for name, ops in named.items() if len(ops) < len(self.ops)}
        parts = {name: [set(self._names(path)) <= set(ops) for path in paths] for name, ops in smaller.items()}
        distinct = [self.canonical(path) == path for path in paths]
        return parts if all(distinct) else parts | {"distinct cells": distinct}

    def whole(self) -> NasBench201:
        """All 15,625 cells."""
        return type(self)()

    def parse(self, text: object) -> ArchPath:
        """A path from the benchmark's arch string, from `2-0-2-1-3-0` or from a list.

        Raises:
            UsageError: nothing of the kind, or a path of another space.
        """
        if isinstance(text, str) and text.startswith("|"):
            return tuple(self.ops.index(op) for op in parse_cell(text, self.ops))
        return super().parse(text)

    def format(self, path: ArchPath) -> str:
        """The benchmark's arch string, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`."""
        return format_cell(self._names(path))

    def _names(self, path: ArchPath) -> list[str]:
        return [self.ops[choice] for choice in self.check(path)]


def _switch(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise unknown(f"value of search_space.{key}", value, ("true", "false"))
    return value
