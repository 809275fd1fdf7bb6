"""Modules of NAS-Bench-101's networks, which stand alone, and of supernets over its cells (Ying et al. 2019).

B batch, C channels, H W size, V vertices.
"""

from __future__ import annotations

import itertools
from functools import reduce

import torch
from torch import Tensor, nn

from src.supernet.batch_norm import BatchNorm


def conv_bn_relu(inputs: int, outputs: int, kernel: int, momentum: float) -> nn.Sequential:
    """Bias-free convolution with 'same' padding, BN of this momentum, ReLU."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, BatchNorm(outputs, momentum=momentum), nn.ReLU())


def operation(letter: str, channels: int, momentum: float) -> nn.Module:
    """The operation `p`, `1` or `3`, which keeps (B, C, H, W)."""
    return nn.MaxPool2d(3, 1, 1) if letter == "p" else conv_bn_relu(channels, channels, int(letter), momentum)


class Graph101Cell(nn.Module):
    """A cell: vertices sum what leads to them and apply their operation; the output joins its vertices' channels.

    The input comes through a 1x1 convolution of its own wherever it leads. (B, inputs, H, W) -> (B, outputs, H, W).
    """

    def __init__(self, inputs: int, outputs: int, ops: str, matrix: str, channels: str, momentum: float) -> None:
        """`ops` and `matrix` as in Cell101; `channels` of the inner vertices, joined by `-`."""
        super().__init__()
        self.inputs, self.outputs, self.ops, self.matrix = inputs, outputs, ops, matrix
        self.channels, self.momentum = channels, momentum
        # the graph: the sources of each vertex
        widths = [int(width) for width in channels.split("-")] + [outputs]
        pairs = itertools.combinations(range(len(ops) + 2), 2)
        edges = [pair for pair, bit in zip(pairs, matrix, strict=True) if bit == "1"]
        self.sources = [[source for source, target in edges if target == v] for v in range(len(ops) + 2)]
        # one for each vertex that the input leads to; ModuleDict keys are text
        fed = [target for source, target in edges if source == 0]
        self.projections = nn.ModuleDict({str(v): conv_bn_relu(inputs, widths[v - 1], 1, momentum) for v in fed})
        self.vertices = nn.ModuleList(
            operation(letter, width, momentum) for letter, width in zip(ops, widths, strict=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        values = [x]
        for vertex, module in enumerate(self.vertices, 1):
            # wider values are cut to the channels of the vertex
            width = int(self.channels.split("-")[vertex - 1])
            terms = [values[source][:, :width] for source in self.sources[vertex] if source > 0]
            if str(vertex) in self.projections:
                terms.append(self.projections[str(vertex)](x))
            values.append(module(reduce(torch.add, terms)))
        # the output joins its vertices; the input is added to that
        last = len(self.vertices) + 1
        joined = torch.cat([values[source] for source in self.sources[last] if source > 0], 1)
        return joined + self.projections[str(last)](x) if str(last) in self.projections else joined


def head(channels: int, classes: int) -> nn.Sequential:
    """Global average pooling and a linear layer: (B, C, H, W) to logits (B, classes)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
