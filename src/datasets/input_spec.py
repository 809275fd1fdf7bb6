"""The input that networks are built for."""

from __future__ import annotations

from typing import NamedTuple


class InputSpec(NamedTuple):
    """Shapes of a network's input (in_channels, image_size, image_size) and output (num_classes,)."""

    in_channels: int
    num_classes: int
    image_size: int
