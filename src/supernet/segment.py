"""A forward pass cut into segments, so that paths with a common prefix run it once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from src.supernet.choice import ChoiceBlock
from src.supernet.path import ArchPath

State = Any
"""The value between two segments: a tensor or a tuple of tensors. The first segment takes images (B, C, H, W), the
last gives logits (B, classes).

No segment changes its input in place: the states of a prefix are read again by every path that shares it.
"""


class Segment(NamedTuple):
    """A piece of a forward pass; running all segments in order is the net's forward, bit for bit."""

    depth: int
    """Length of the path's prefix that the output depends on."""
    run: Callable[[State, ArchPath], State]
    """(state, path) -> state; reads only the first `depth` choices of the path."""
    modules: Callable[[ArchPath], list[nn.Module]]
    """The modules that it runs on a path, for the batch norms in them."""
    is_block: bool = False
    """True for one choice block (of one cell): only these count as block evaluations."""


def block_segment(layer: int, block: ChoiceBlock) -> Segment:
    """The segment of a choice block that follows all earlier layers in a row: (B, C, H, W) to (B, C', H', W')."""

    def run(x: Tensor, path: ArchPath) -> Tensor:
        return block(x, path[layer], block.entries_before(path))

    return Segment(layer + 1, run, lambda path: [block.operation_on(path, layer)], is_block=True)
