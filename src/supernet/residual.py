"""Stages of basic residual blocks (He et al. 2016), as stand-alone networks have them and as one supernet of all.

B batch, C channels, H W size, w width of a stage, d its depth in blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from src.supernet.batch_norm import BatchNorm
from src.supernet.path import Entry
from src.supernet.sliced import SlicedConv, SlicedNorm, prefix_mask

Slices = dict[Tensor, tuple[slice, ...]]
"""The part of each parameter that a route runs; parameters that it does not run at all are missing."""


class BasicBlock(nn.Module):
    """conv3x3-BN-ReLU-conv3x3-BN plus shortcut, then ReLU: (B, C, H, W) -> (B, C', ceil(H / s), ceil(W / s))."""

    def __init__(self, inputs: int, outputs: int, stride: int, projects: bool, last_relu: str = "after") -> None:
        """`projects`: a 1x1 convolution with BN in the shortcut. `last_relu` after the addition, or before it."""
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = BatchNorm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = BatchNorm(outputs)
        self.shortcut: nn.Module | None = None
        if projects:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, BatchNorm(outputs))
        self.inputs, self.outputs, self.stride, self.projects = inputs, outputs, stride, projects
        self.last_relu = last_relu

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        y = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
        kept = x if self.shortcut is None else self.shortcut(x)
        return (y + kept).relu() if self.last_relu == "after" else y.relu() + kept


class SlicedBlock(nn.Module):
    """A basic block of which a route runs the first channels, or all of them under a mask."""

    def __init__(self, inputs: int, outputs: int, stride: int, projects: bool, last_relu: str) -> None:
        """The arguments of BasicBlock, whose names its parameters have."""
        super().__init__()
        self.conv1 = SlicedConv(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = SlicedNorm(outputs)
        self.conv2 = SlicedConv(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = SlicedNorm(outputs)
        self.shortcut: nn.ModuleList | None = None
        if projects:
            self.shortcut = nn.ModuleList([SlicedConv(inputs, outputs, 1, stride, bias=False), SlicedNorm(outputs)])
        self.last_relu = last_relu

    def forward(self, x: Tensor, width: int, mask: Tensor | None = None, projects: bool = True) -> Tensor:
        """(B, C, H, W) to (B, width, H', W').

        A mask (width,) acts after every batch norm: before one it would be normalised away, and with it the gradient of
        who made it. Channels of mask 0 are those that a narrower network lacks. `projects` False: an identity shortcut
        in spite of the projection.
        """
        # under bf16 the mask must not make a float32 feature map
        scale = None if mask is None else mask.to(x.dtype)[:, None, None]

        def masked(y: Tensor) -> Tensor:
            return y if scale is None else y * scale

        y = masked(self.norm1(self.conv1(x, width)).relu())
        y = masked(self.norm2(self.conv2(y, width)))
        kept = x
        if self.shortcut is not None and projects:
            conv, norm = self.shortcut
            kept = masked(norm(conv(x, width)))
        return (y + kept).relu() if self.last_relu == "after" else y.relu() + kept

    def slices(self, inputs: int, width: int, projects: bool) -> Slices:
        """The part of each parameter that runs on so many inputs at a width."""
        ins, outs = slice(0, inputs), slice(0, width)
        parts: Slices = {self.conv1.weight: (outs, ins), self.conv2.weight: (outs, outs)}
        # scales and shifts of norms go by outputs alone
        norms = [self.norm1, self.norm2]
        if self.shortcut is not None and projects:
            conv, norm = self.shortcut
            parts[conv.weight] = (outs, ins)  # type: ignore[index]
            norms.append(norm)  # type: ignore[arg-type]
        return parts | {parameter: (outs,) for norm in norms for parameter in norm.parameters()}


class SlicedStage(nn.Module):
    """The blocks of a stage, of which a route runs the first d at width w."""

    def __init__(
        self, inputs: int, depths: range, widths: range, stride: int, shortcut: str, last_relu: str = "after"
    ) -> None:
        """`depths` and `widths` that can be chosen; `shortcut` of the first block: always | he, see `projects`."""
        super().__init__()
        self.depths, self.widths, self.stride, self.rule = depths, widths, stride, shortcut
        largest = widths[-1]
        self.blocks = nn.ModuleList(
            SlicedBlock(largest if number else inputs, largest, 1 if number else stride, not number, last_relu)
            for number in range(depths[-1])
        )

    def forward(self, x: Tensor, depth: Entry, width: Entry) -> Tensor:
        """(B, C, H, W) to (B, w, H', W').

        An index takes one depth or width and leaves the rest of the stage alone; weights over the depths mix the
        outputs of the blocks, weights over the widths mask the channels of the largest one.
        """
        soft = isinstance(width, Tensor)
        mask = prefix_mask(width, self.widths[0]) if isinstance(width, Tensor) else None
        channels = self.widths[-1] if isinstance(width, Tensor) else self.widths[width]
        last = self.depths[-1] if isinstance(depth, Tensor) else self.depths[depth]
        # blocks deeper than asked for are not run: no gradient, no statistics
        outputs = []
        for number, block in enumerate(self.blocks[:last], 1):
            x = block(x, channels, mask, number > 1 or soft or self.projects(x.shape[1], channels))
            if number in self.depths:
                outputs.append(x)
        if not isinstance(depth, Tensor):
            return x
        return torch.stack([weight * y for weight, y in zip(depth.to(x.dtype).unbind(), outputs, strict=True)]).sum(0)

    def projects(self, inputs: int, width: int) -> bool:
        """Whether the first block's shortcut is a projection: always, or as in He et al. where shapes differ."""
        return projects(self.rule, self.stride, inputs, width)

    def slices(self, inputs: int, depth: int, width: int, is_soft: bool = False) -> Slices:
        """The part of each parameter that runs on so many inputs; `is_soft`: under weights over the widths."""
        channels = self.widths[width]
        parts = self.first_block.slices(inputs, channels, is_soft or self.projects(inputs, channels))
        for block in self.blocks[1 : self.depths[depth]]:
            assert isinstance(block, SlicedBlock)
            parts |= block.slices(channels, channels, True)
        return parts

    @property
    def first_block(self) -> SlicedBlock:
        """The one with stride and projection."""
        block = self.blocks[0]
        assert isinstance(block, SlicedBlock)
        return block


def projects(rule: str, stride: int, inputs: int, width: int) -> bool:
    """Whether the first block of a stage projects in its shortcut, under the rule `always` or `he`."""
    return rule == "always" or stride != 1 or inputs != width


def plain_stage(inputs: int, depth: int, width: int, stride: int, rule: str, last_relu: str) -> nn.Sequential:
    """The stage of a stand-alone network: (B, inputs, H, W) to (B, width, H', W')."""
    first = BasicBlock(inputs, width, stride, projects(rule, stride, inputs, width), last_relu)
    rest: Sequence[nn.Module] = [BasicBlock(width, width, 1, False, last_relu) for _ in range(depth - 1)]
    return nn.Sequential(first, *rest)
