"""A forward pass cut into segments, so that paths with a common beginning can share it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from src.supernet.path import ArchPath

State = Any
"""What a segment hands to the next: a tensor or a tuple of tensors. The first takes images, the last gives logits.

No segment changes the state it is given: other paths go on from it.
"""


class Segment(NamedTuple):
    """A stretch of a forward pass; running all segments in order is the net's forward, bit for bit."""

    depth: int
    """How many of a path's first choices decide what the segment hands on."""
    run: Callable[[State, ArchPath], State]
    """(state, path) -> state; of the path it reads the first `depth` choices alone."""
    modules: Callable[[ArchPath], list[nn.Module]]
    """What it runs on a path, for the batch norms in it."""
    is_block: bool = False
    """Whether it runs one choice block (of one cell)."""
