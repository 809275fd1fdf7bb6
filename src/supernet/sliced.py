"""Layers of one kernel for many widths: they run their first channels alone, with the very weights of a cut network.

B batch, C channels of an input, C' of an output, H W size. The input's channels say how many inputs are in use.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.supernet.batch_norm import BatchNorm, synchronised_batch_norm


class SlicedConv(nn.Conv2d):
    """A convolution of which the first outputs run, on the first inputs: bitwise that of the cut weights."""

    def forward(self, x: Tensor, outputs: int | None = None) -> Tensor:
        """(B, C, H, W) to (B, outputs, H', W'); None: all outputs."""
        return F.conv2d(x, self.weight[:outputs, : x.shape[1]], None, self.stride, self.padding)


class SlicedNorm(BatchNorm):
    """A batch norm of the first C channels of its input; statistics of the others stay as they are."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        if x.shape[1] == self.num_features:
            return super().forward(x)
        assert self.ghost_batch is None and self.stacked == self.repeats == 1  # settings of nets without masks
        # views of parameters and buffers: what moves them moves the norm
        part = self.first(x.shape[1])
        tracks = self.training and self.track_running_stats
        if self.training and self.synchronised:
            return synchronised_batch_norm(x, part)
        # as nn.BatchNorm2d does: None is a cumulative average, by which a path is recalibrated
        momentum = 0.0 if self.momentum is None else self.momentum
        if tracks:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        mean, variance = (part.running_mean, part.running_var) if tracks or not self.training else (None, None)
        return F.batch_norm(x, mean, variance, part.weight, part.bias, self.training, momentum, self.eps)

    def first(self, channels: int) -> Any:
        """Parameters, buffers and settings of the norm of so many channels: views, which write through."""
        names = ("weight", "bias", "running_mean", "running_var")
        views = {name: None if (value := getattr(self, name)) is None else value[:channels] for name in names}
        kept = ("num_batches_tracked", "track_running_stats", "momentum", "eps")
        return SimpleNamespace(**views, **{name: getattr(self, name) for name in kept})


class SlicedLinear(nn.Linear):
    """A linear layer on the first inputs; all outputs are in use."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C) to (B, out_features)."""
        return F.linear(x, self.weight[:, : x.shape[1]], self.bias)


def prefix_mask(weights: Tensor, least: int) -> Tensor:
    """The mask of channels for weights over widths: how much weight the widths have that hold a channel.

    Args:
        weights: (m,) of the widths least, least + 1, ..., least + m - 1.
        least: smallest width.

    Returns:
        (least + m - 1,), falling from the sum of all weights to that of the largest width: M_c = sum over w > c of g_w
        (FBNetV2, section 3.1).
    """
    # a product with a triangle, for cumsum is not deterministic on a GPU
    above = (weights * torch.ones(len(weights), len(weights), dtype=weights.dtype, device=weights.device).triu()).sum(1)
    return torch.cat([above[:1].expand(least - 1), above])
