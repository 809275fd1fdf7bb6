"""Contents of a drawing of a network, without its looks: blocks in a row, or the graph of a cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Block(NamedTuple):
    """A block of a network, or of the networks of a space."""

    name: str
    """Of its operation, as in `op_names`."""
    channels: int
    """Of its output; in a space the fewest."""
    size: int
    """Pixels a side of its output."""
    most: int | None = None
    """In a space the most channels; None: `channels`."""
    is_optional: bool = False
    """In a space: whether some networks are without it."""


class Blocks(NamedTuple):
    """Blocks in a row, from the stem's output to the tail's input."""

    blocks: tuple[Block, ...]
    by_channels: bool = False
    """Whether blocks differ in their channels alone and are as tall as these; else they are as tall as their kernel."""


class Graph(NamedTuple):
    """A cell: nodes in topological order, the input first, the output last."""

    nodes: tuple[str, ...]
    """A text in each; an operation where the choices are nodes."""
    edges: tuple[tuple[int, int, str], ...]
    """Source, target, and the operation on it or ""; edges of zeros are left out."""


Picture = Blocks | Graph


def residual_blocks(stages: Sequence[tuple[range, range]], strides: Sequence[int], image_size: int) -> Blocks:
    """Stages of blocks, as the supplement of Network Space Search draws them (Figure S1).

    Args:
        stages: depths and widths that networks may have; one network's are ranges of one number.
        strides: of the stages.
        image_size: pixels a side of the stem's output.
    """
    blocks, size = [], image_size
    for stride, (depths, widths) in zip(strides, stages, strict=True):
        size = math.ceil(size / stride)
        for number in range(depths[-1]):
            blocks.append(Block("basic", widths[0], size, widths[-1], number >= depths[0]))
    return Blocks(tuple(blocks), by_channels=True)
