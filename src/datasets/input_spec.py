"""The input that networks are built for."""

from __future__ import annotations

from typing import NamedTuple


class InputSpec(NamedTuple):
    """What a network reads and tells apart: images (in_channels, image_size, image_size) of num_classes classes."""

    in_channels: int
    num_classes: int
    image_size: int
